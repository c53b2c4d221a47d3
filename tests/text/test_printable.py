"""What could lie on a terminal is escaped; what is plainly read is left."""

import pytest

from sexton.text.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-4 älter 模型 🙂", "gpt-4 älter 模型 🙂"),
        ("a\nok  all_checks", "a\\nok  all_checks"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028", "\\u2028"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone \udce9", "lone \\udce9"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("", ""),
    ],
)
def test_what_is_shown(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
