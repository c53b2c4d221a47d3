"""docs/your-own-tables.md: every command does what the page says."""

import re
import shlex

import psycopg
import pytest
from alembic.config import main as alembic

from sexton.database import connect
from tests.support.project import ROOT
from tests.support.tools import Cli

PAGE = (ROOT / "docs" / "your-own-tables.md").read_text()
# The exit code of what finds something; of all others it is 0.
CODES = {
    "audit --confirm-after 0": [1, 0],
    "repair": [1],
    "revision --dry-run": [1],
    "upgrade --plan": [1],
}
# What the page tells to add to the project file, and after which line.
ADDED = {'alembic = "alembic.ini"': 'project = "shop"', 'key = "none"': "guard = true"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page(database, capfd, tmp_path, monkeypatch):
    url = database("empty")
    [tables] = blocks("sql")
    with connect(url, name="tests") as connection:
        connection.execute(tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    sexton = Cli(url, capfd)
    [declared, _], [ini], [env, _] = map(blocks, ("toml", "ini", "python"))
    codes = {command: list(given) for command, given in CODES.items()}
    said = []
    for block in blocks("console"):
        for line in block.strip().splitlines():
            program, _, command = line.removeprefix("$ ").partition(" ")
            if program == "alembic":
                alembic(argv=command.split())
                continue
            result = sexton(*shlex.split(command))
            wanted = codes[command].pop(0) if codes.get(command) else 0
            assert result.code == wanted, (
                f"docs/your-own-tables.md: {line}: {result.stdout}{result.stderr}"
            )
            said.append(result.stdout)
        if block.startswith("$ alembic init"):
            for line, after in ADDED.items():
                assert f"`{line}`" in PAGE
                declared = declared.replace(after, f"{after}\n{line}")
            (tmp_path / "alembic.ini").write_text(ini)
            (tmp_path / "db" / "env.py").write_text(env)
        (tmp_path / "sexton.toml").write_text(declared)
    assert not any(codes.values())
    assert said[-1].startswith("nothing differs")
    refused = pytest.raises(psycopg.errors.ForeignKeyViolation)
    with connect(url, name="tests") as connection, refused:
        connection.execute("update customers set deleted = true where id = 1")
