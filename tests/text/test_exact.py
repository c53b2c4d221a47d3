"""Numbers stay as they are written."""

from sexton.text.exact import canonical, loads


def test_numbers_stay_as_they_are_written():
    text = '{"a":0.12345678901234567890123,"b":[1.10,12345678901234567890],"c":"0.10"}'
    assert canonical(loads(text)) == text
