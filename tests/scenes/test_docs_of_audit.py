"""The example of docs/audit.md does what the page says."""

import re

import pytest

from tests.support.project import ROOT
from tests.support.tools import Cli

PAGE = (ROOT / "docs" / "audit.md").read_text()


def block(language):
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def timeless(text):
    """The text without what differs from run to run."""
    return re.sub(r"[\d.]+ ms|^\S+ at \S+ as .*", "", text)


@pytest.mark.parametrize("indexed", [True, False])
def test_the_own_check_finds_what_the_page_shows(database, capfd, tmp_path, indexed):
    from contextlib import closing

    from sexton.database import connect

    url = database("empty")
    with closing(connect(url, name="tests")) as connection:
        connection.execute(block("sql"))
        if not indexed:
            connection.execute("drop index invoices_customer_id")
        connection.execute("analyze")
    (tmp_path / "invoice_without_customer.py").write_text(block("python"))
    command, shown = block("console").split("\n", 1)
    arguments = command.removeprefix("$ sexton ").replace("DIR", str(tmp_path)).split()
    result = Cli(url, capfd)(*arguments)
    assert result.code == 1
    assert timeless(result.stdout) == timeless(shown), "correct docs/audit.md"


def test_the_rule_is_the_one_in_the_code():
    from sexton.audit import references

    for rule in (
        f"{references.GAP} × parents",
        f"{references.LOOSE} × distinct values",
        f"{references.ANTI_CHILD:.5f} × children",
        f"{references.ANTI_PARENT} × parents",
    ):
        assert rule in PAGE, f"docs/audit.md does not say: {rule}"
