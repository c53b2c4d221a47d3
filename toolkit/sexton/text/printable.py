"""Text from a database on its way to a terminal or a report: what could lie is escaped.

Names and values are anybody's: control characters would move the cursor or forge lines,
and bidirectional ones would reorder what is read.
"""

import re

# C0 and C1 controls, line and paragraph separators, bidirectional marks and isolates,
# zero-width and other invisible characters, the tag block, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """The text on one line, with every character that is not plainly shown escaped."""
    return _UNSAFE.sub(lambda found: _SHORT.get(found[0]) or _escape(found[0]), text)


def count_rows(count: int) -> str:
    """A number of rows in a sentence: `1 row`, `1,234 rows`."""
    return "1 row" if count == 1 else f"{count:,} rows"


def shown(file: object) -> str:
    """A file's name in a sentence."""
    return printable(str(file))


def _escape(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
