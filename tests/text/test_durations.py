"""Times: one grammar in, one way of saying them out."""

import pytest

from sexton.text.durations import duration, parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30", 30),
        ("30s", 30),
        (" 2 s ", 2),
        ("1.5s", 1.5),
        ("10min", 600),
        ("10m", 600),
        ("1h", 3600),
        ("7d", 604800),
        ("0", 0),
    ],
)
def test_what_is_read(text, seconds):
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1", "1e300", "nan", "inf", "10 hours", "١s", "1s2s", "9" * 13, "99999d"],
)
def test_what_is_refused(text):
    with pytest.raises(ValueError, match="is no time: write 500ms, 30s, 10min"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.08, "80 ms"), (1.44, "1.4 s"), (180, "3 min"), (7200, "2.0 h"), (777600, "9 days")],
)
def test_what_is_said(seconds, said):
    assert duration(seconds) == said
