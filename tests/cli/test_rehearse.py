"""`sexton rehearse`: exit codes, and what goes to which stream."""

from tests.support.rehearsals import Environment
from tests.support.schemas import conforms
from tests.support.tools import Cli


def test_exit_codes_and_streams(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    environment = Environment(tmp_path)
    sexton = Cli(None, capfd)
    line = ("rehearse", "--base", "rev:root", "--alembic", "alembic.ini")
    empty = sexton(*line, database=False)
    assert (empty.code, empty.stderr) == (0, "")
    assert "no new revisions" in empty.stdout
    up = 'op.create_index("i", "invoices", ["total"])'
    environment.add("one", up, 'op.drop_index("i")')
    (tmp_path / "rows.toml").write_text("invoices = 5_000_000\n")
    found = sexton(*line, "--rows", "rows.toml", database=False)
    assert found.code == 1
    assert found.stderr == "sexton: rehearsing one\n"
    assert "error blocking-index-build: db/versions/one.py:13: " in found.stdout
    assert "takes about 10.0 s, by size" in found.stdout
    assert found.stdout.endswith("1 finding\n")
    document = sexton(*line, "--format", "json", database=False)
    assert conforms(document.json, "rehearsal")["summary"]["exit_code"] == 1
    assert "never-shown" not in document.stdout + document.stderr + found.stdout
    wrong = sexton("rehearse", "--alembic", "nowhere.ini", database=False)
    assert wrong.code == 2
