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
    plain = ["https://host/a@b", "http://host_1:80/v1", "https://[::1]/", ""]
    secret = [
        *("https://me:secret@host", "https://host/?key=x", "https://host/v1#x", "sk-x"),
        *("https://host/v1;key=x", "https://host/v1&key=x", "https://host/%3Fx"),
    ]
    for urls, hidden in ((plain, False), (secret, True)):
        found = rows(connection, asked, pattern, urls)
        assert {row["hidden"] for row in found} == {hidden}, found
