"""`sexton revision`: exit codes, and what goes to which stream."""

import shutil

from tests.support.revisions import TEMPLATE
from tests.support.tools import Cli

FILE = """
project = "shop"
alembic = "alembic.ini"
[[soft_delete]]
table = "customers"
deleted = "gone"
"""


def test_exit_codes_and_streams(team, empty, empty_url, capfd, monkeypatch):
    monkeypatch.chdir(team)
    shutil.copy(TEMPLATE, team / "db")
    sexton = Cli(empty_url, capfd)
    (team / "sexton.toml").write_text(FILE)
    empty.execute("create table customers (id int primary key)")
    rehearsed = sexton("revision", "--dry-run")
    assert rehearsed.code == 1
    assert "op.add_column_online(" in rehearsed.stdout
    assert "next: read it" not in rehearsed.stderr
    assert "sexton: connected to " in rehearsed.stderr
    made = sexton("revision", "-m", "soften")
    assert made.code == 0
    assert made.stdout.splitlines()[1:] == ["  add gone to customers"]
    assert "next: read it, then sexton upgrade" in made.stderr
    assert "  customers: add Column('gone', Boolean(), " in made.stderr
    (team / "sexton.toml").unlink()
    built_in = sexton("revision")
    assert (built_in.code, built_in.stdout) == (2, "")
    assert "come with Sexton" in built_in.stderr
