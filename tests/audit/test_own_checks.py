"""Checks of your own are loaded from files; what is wrong is said with file and reason."""

import contextlib

import pytest

from sexton.database import connect
from tests.support.audits import SLEEPER, valid
from tests.support.tools import Cli


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("check = 1", "defines no `check"),
        ("1 /", "SyntaxError"),
        (
            SLEEPER.replace('"""It', "'''It").partition('"""')[0] + "'''",
            "defines no `check",
        ),
        (SLEEPER.replace("find=", "finds="), "TypeError"),
        (SLEEPER[SLEEPER.index("from") :], "has no docstring"),
        (SLEEPER.replace("Severity.ERROR", "'eror'"), "'eror' is not a valid Severity"),
        (SLEEPER + "import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
@pytest.mark.usefixtures("clean")
def test_a_check_that_does_not_load_is_named(sexton, tmp_path, text, says):
    (tmp_path / "mine.py").write_text(text)
    result = sexton("audit", "--checks", str(tmp_path))
    assert result.code == 2
    assert "mine.py" in result.stderr
    assert says in result.stderr


@pytest.mark.usefixtures("clean")
def test_a_check_cannot_take_the_name_of_ours(sexton, tmp_path):
    (tmp_path / "default_missing.py").write_text(SLEEPER)
    assert sexton("audit", "--checks", str(tmp_path)).code == 2


OWN = """\"\"\"It is there.

Why: {why}.

Cure: none.
\"\"\"

from sexton.check import Check

print("it prints")


def judge(row):
    print("its judge prints")
    return row{judged}


check = Check(
    __name__,
    severity="warning",
    table="things",
    key=("id",),
    message="{message}",
    find="select id from things order by id",
    reads={{"things": ("id",)}},
    judge=judge,
)
"""


@pytest.fixture
def things(database, capfd):
    """A database of somebody else's, with two rows."""
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("create table things (id int primary key)")
        connection.execute("insert into things values (1), (2)")
    return Cli(url, capfd)


def test_only_own_checks_run_on_anybodys_tables(things, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        text = OWN.format(why=folder, judged="", message="thing {id}")
        (tmp_path / folder / f"{folder}.py").write_text(text)
    folders = ("--checks", str(tmp_path / "one"), "--checks", str(tmp_path / "two"))
    result = things("audit", *folders, "--only-own", "--format", "json")
    assert result.code == 1
    document = valid(result.json)
    assert [c["check"] for c in document["checks"]] == ["one", "two"]
    assert [c["count"] for c in document["checks"]] == [2, 2]
    assert "it prints" in result.stderr
    assert "its judge prints" in result.stderr
    assert things("audit", *folders).code == 4, "the product's tables are not there"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"message": "thing {amount}"}, "its message names amount, but its rows have id"),
        ({"message": "thing {id"}, "its message is no template of its rows"),
        ({"judged": "['amount']"}, "its judge failed: KeyError: 'amount'"),
        ({"judged": " and {}"}, "its rows do not have id, which is its key"),
    ],
)
def test_a_slip_in_an_own_check_makes_it_incomplete(things, tmp_path, broken, says):
    for name, more in (("good", {}), ("bad", broken)):
        text = OWN.format(**{"why": "", "judged": "", "message": "thing {id}", **more})
        (tmp_path / f"{name}.py").write_text(text)
    result = things(*("audit", "--checks", str(tmp_path), "--only-own"))
    assert result.code == 3
    assert f"the check contradicts itself: {says}" in result.stdout
    assert "warning     good " in result.stdout
