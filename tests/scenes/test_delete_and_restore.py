"""Every command of docs/delete-and-restore.md works, in its order."""

import re
import shlex

from sexton import project as projects
from sexton.database import connect, rows, scalar
from tests.support.project import ROOT
from tests.support.tools import Cli

PAGE = (ROOT / "docs" / "delete-and-restore.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page(database, capfd, tmp_path, monkeypatch):
    url = database("empty")
    [tables], [declared], [program] = map(blocks, ("sql", "toml", "python"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sexton.toml").write_text(declared)
    cli = Cli(url, capfd)
    with connect(url, name="tests") as connection:
        connection.execute(tables)
        lines = [line for block in blocks("console") for line in block.splitlines()]
        assert len(lines) == 6
        for line in lines:
            result = cli(*shlex.split(line.removeprefix("$ sexton ")))
            assert result.code == 0, result.stderr
            if "--reason" in line:
                live = "select count(*) from invoices where deleted_at is null"
                assert scalar(connection, live) == 0
                assert scalar(connection, "select customer_id from notes") is None
        with projects.afresh():
            exec(program, {"connection": connection})
        assert (
            rows(connection, "select * from customers where deleted_at is not null") == []
        )
        assert scalar(connection, "select customer_id from notes") == 7
        assert scalar(connection, "select id from addresses where is_default") == 1
