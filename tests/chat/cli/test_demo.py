"""The demo tells the whole story, and leaves nothing behind unless asked."""

import os
import tempfile

from sexton.database import database, scalar


def test_the_story_ends_well(sexton, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = sexton("demo", database=False)
    assert result.code == 0
    for command in (
        "upgrade",
        "provider delete openai --dry-run",
        "provider delete openai",
        "audit --sample 2",
        "repair",
        "repair --apply",
        "downgrade 0002",
    ):
        assert f"\n$ sexton {command}\n" in result.stdout
    assert "Nothing is lost" in result.stdout
    assert os.listdir(tmp_path) == []
    # The preview is the deed.
    preview, execution = (
        result.stdout.split(f"$ sexton provider delete openai{flag}\n")[1].split("\n\n")[0]
        for flag in (" --dry-run", "")
    )
    assert (
        preview.replace("would ", "")
        .replace("delete ", "deleted ", 1)
        .replace("become", "became")
        .replace("go with", "went with")
        == execution
    )


def test_keep_keeps_a_database_to_play_with(sexton, tmp_path):
    kept = tmp_path / "kept"
    assert sexton("demo", "--keep", str(kept), database=False).code == 0
    with database(f"embedded:{kept}") as connection:
        assert scalar(connection, "select count(*) from chats") == 5000
    again = sexton("demo", "--keep", str(kept), database=False)
    assert again.code == 5
    assert "is not empty" in again.stderr
