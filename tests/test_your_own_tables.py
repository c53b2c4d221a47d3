"""docs/your-own-tables.md: every command does what the page says."""

import re
from pathlib import Path

import psycopg
import pytest

from sexton.database import connect
from tests.support.tools import Cli

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-tables.md").read_text()
# The exit code of what finds something; of all others it is 0.
CODES = {"audit --confirm-after 0": [1, 0], "repair": [1]}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page(database, capfd, tmp_path, monkeypatch):
    url = database("empty")
    [tables] = blocks("sql")
    with connect(url, name="tests") as connection:
        connection.execute(tables)
    monkeypatch.chdir(tmp_path)
    sexton = Cli(url, capfd)
    [declared] = blocks("toml")
    codes = {command: list(given) for command, given in CODES.items()}
    for block in blocks("console"):
        for line in block.strip().splitlines():
            command = line.removeprefix("$ sexton ")
            result = sexton(*command.split())
            wanted = codes[command].pop(0) if codes.get(command) else 0
            assert result.code == wanted, f"{line}: {result.stdout}{result.stderr}"
        (tmp_path / "sexton.toml").write_text(declared)
    assert not any(codes.values())
    refused = pytest.raises(psycopg.errors.ForeignKeyViolation)
    with connect(url, name="tests") as connection, refused:
        connection.execute("update customers set deleted = true where id = 1")
