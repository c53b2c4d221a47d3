"""The line of a project file that an entry's path, such as `reference[2].child`, means."""

import re
from pathlib import Path

from sexton.text.printable import printable

_STRINGS = re.compile(r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''", re.DOTALL)
_PATH = re.compile(r"(?:\w+(?:\[\d+\])?\.)?\w+(?:\[\d+\])?(?=[:. ])")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")


def located(file: Path, sentence: str) -> str:
    """`reference[2].child: …` as `sexton.toml:12: reference[2].child: …`.

    The line is left out if the sentence starts with no path, or it cannot be found.
    """
    path = _PATH.match(sentence)
    line = _line(file, path[0]) if path else None
    return printable(f"{file}{f':{line}' if line else ''}: {sentence}")


def _line(file: Path, path: str) -> int | None:
    found = re.fullmatch(r"(?:(\w+)(?:\[(\d+)\])?\.)?(\w+)(?:\[(\d+)\])?.*", path)
    if not found:
        return None
    entry, index, key, own = found.groups()
    if entry is None and own is not None:
        entry, index, key = key, own, ""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    # A string of several lines may hold what looks like a header.
    text = _STRINGS.sub(lambda m: "\n" * m[0].count("\n"), text)
    return _find(text.split("\n"), entry, int(index or 0), key)


def _find(lines: list[str], entry: str | None, index: int, key: str) -> int | None:
    """The line of a key of the nth such entry, else of its header."""
    seen, header, inside = -1, None, entry is None
    for number, line in enumerate(lines, 1):
        if opened := _HEADER.match(line):
            name = opened[2].removeprefix("tool.sexton").removeprefix(".")
            if entry is None and name == key:
                return number
            seen += name == entry
            inside = seen == index if name == entry else entry is None and not name
            if inside and entry is not None:
                header = number
        elif inside and key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return header
