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
    more = ("--format", "github", "-o", "markdown:m.md", "-o", "sarif:s.sarif")
    written = sexton(*line, *more, database=False)
    assert written.code == 1
    assert written.stdout.startswith("::error file=db/versions/one.py,line=13,title=sexton")
    assert "| error | `blocking-index-build` | 13 |" in (tmp_path / "m.md").read_text()
    assert '"startLine": 13' in (tmp_path / "s.sarif").read_text()
    fixed = sexton(*line, "--fix", database=False)
    assert fixed.stderr == "sexton: rehearsing one\nsexton: rewrote db/versions/one.py\n"
    assert sexton(*line, database=False).code == 0
    for wrong in ("html:x", "markdown", "markdown:"):
        refused = sexton(*line, "-o", wrong, database=False)
        assert refused.code == 2
        assert "FORMAT:FILE" in refused.stderr
    wrong = sexton("rehearse", "--alembic", "nowhere.ini", database=False)
    assert wrong.code == 2
