"""A cursor is a file about one database."""

import pytest

from sexton.audit import cursor as cursors
from sexton.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"schema_version": 9}', "[" * 100_000),
        '{"schema_version": 1, "database": {}, "scans": {"a": {"shape": 0, "position": 0, '
        '"bound": "\\u0000", "began": null, "last_full_pass": null, "found": {}}}}',
    ],
)
def test_what_is_no_cursor_is_refused(tmp_path, text):
    file = tmp_path / "cursor.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="is not a cursor"):
        cursors.load(file, 60, None)
