"""What the chat product declares is what its tables have."""

from sexton.chat.project import LIVE_MODELS, PROJECT
from sexton.database import rows


def test_what_may_be_written_is_there(upstream):
    known = {
        (row["table_name"], row["column_name"])
        for row in rows(
            upstream,
            "select table_name, column_name from information_schema.columns "
            "where table_schema = 'public'",
        )
    }
    declared = {(name, c) for name, columns in PROJECT.writable.items() for c in columns}
    assert declared - known == set(), "correct WRITABLE in chat/project.py"


def test_its_folders_are_found_and_hold_what_they_should():
    assert [folder.name for folder in PROJECT.checks_folders] == ["checks"]
    assert PROJECT.migrations.name == "migrations"
    assert all(path.is_dir() for path in (*PROJECT.checks_folders, PROJECT.migrations))
    assert LIVE_MODELS.check in PROJECT.checks


def test_only_a_value_with_credentials_in_it_is_sensitive(connection):
    pattern = PROJECT.sensitive["base_url"]
    asked = "select t.url, t.url ~ %s as hidden from unnest(%s::text[]) as t (url)"
    urls = ["https://me:secret@host", "https://host/?key=x", "https://host/a@b", ""]
    assert [row["hidden"] for row in rows(connection, asked, pattern, urls)] == [
        *(True, True, False, False),
    ]
