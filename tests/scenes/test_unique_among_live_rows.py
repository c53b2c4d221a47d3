"""Every command of docs/unique-among-live-rows.md works, in its order."""

import re
import shlex

import psycopg
import pytest

from sexton import project as projects
from tests.support.project import ROOT
from tests.support.revisions import TEMPLATE
from tests.support.tools import Cli

PAGE = (ROOT / "docs" / "unique-among-live-rows.md").read_text()


def block(language):
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def packed(text):
    """Python whatever the width to which it is laid out."""
    text = text.replace("def upgrade() -> None:", "def upgrade():")
    lines = [line for line in text.splitlines() if not re.match(r"\s*(#|\"\"\")", line)]
    return "".join("".join(lines).split()).replace(",)", ")")


def test_every_command_of_the_page(empty, empty_url, team, capfd, monkeypatch):
    empty.execute(block("sql"))
    (team / "sexton.toml").write_text(block("toml"))
    (team / "db" / "script.py.mako").write_text(TEMPLATE.read_text())
    monkeypatch.chdir(team)
    cli = Cli(empty_url, capfd)
    with projects.afresh():
        found = cli("audit", "--confirm-after", "0")
        assert "1 warn (users_key_counts_deleted)" in found.stdout
        for line in block("console").splitlines():
            result = cli(*shlex.split(line.removeprefix("$ sexton ")))
            assert result.code == ("--plan" in line), result
        again = "insert into users (email) values ('ada@example.com')"
        empty.execute(again)
        with pytest.raises(psycopg.errors.UniqueViolation):
            empty.execute(again)
        refused = cli("downgrade", "base")
        assert refused.code == 5
        assert "have the same email" in refused.stderr
    [file] = (team / "db" / "versions").glob("*.py")
    assert packed(block("python")) in packed(file.read_text())
