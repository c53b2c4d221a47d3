"""`sexton delete` and `restore` on the command line."""

import json

import pytest

from sexton.database import connect, scalar
from sexton.rows.result import schema
from tests.rows.test_delete import FILE, TABLES
from tests.support.schemas import FILES, conforms
from tests.support.tools import Cli


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    with connect(url, name="tests") as connection:
        connection.execute(TABLES)
    (tmp_path / "sexton.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return Cli(url, capfd)


def test_a_row_is_deleted_and_restored(run):
    seen = run("delete", "customers", "1", "--dry-run")
    assert seen.code == 0
    assert seen.stdout.endswith("nothing was changed\n")
    done = run("delete", "customers", "1", "--reason", "asked to")
    assert done.code == 0, done.stderr
    assert "invoices   2 rows soft-deleted: no=x, tenant=1, no=x, tenant=2" in done.stdout
    assert "addresses: default of 1: 1 -> none" in done.stdout
    assert "run 1; to revert it: sexton undo 1" in done.stdout
    assert "asked to" in run("history", "1").stdout
    back = run("restore", "customers", "1")
    assert back.code == 0, back.stderr
    assert "customers  1 row restored: 1" in back.stdout


def test_documents_and_exit_codes(run):
    deleted = run("delete", "invoices", "1,x", "2,z", "--format", "json")
    assert deleted.code == 0, deleted.stderr
    document = deleted.json
    conforms(document, "rows", "sexton delete")
    assert document["schema_version"] == 1
    assert document["dry_run"] is False
    assert document["changes"][0] == {
        "table": "invoices",
        "action": "soft_delete",
        "count": 2,
        "keys": [{"no": "x", "tenant": 1}, {"no": "z", "tenant": 2}],
    }
    again = run("delete", "invoices", "1,x", "--format", "json")
    assert again.code == 2
    assert again.json["error"]["message"] == "invoices no=x, tenant=1 was deleted"
    with connect(run.url, name="tests") as connection:
        connection.execute("update invoices set customer_id = 2 where no = 'x'")
    refused = run("restore", "--run", str(document["run"]))
    assert refused.code == 5
    assert "--partial" in refused.stderr
    partly = run("restore", "--run", str(document["run"]), "--partial", "--format", "json")
    assert partly.code == 1
    conforms(partly.json, "rows", "sexton restore --partial")
    assert [left["key"] for left in partly.json["left"] if left["table"] == "invoices"] == [
        {"no": "x", "tenant": 1}
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("delete", "customers", "9"), 2, "customers has no row 9"),
        (("delete", "customers", "1,2"), 2, "1 values, and 2 were given"),
        (("delete", "customers", 'x"'), 2, "invalid input syntax"),
        (("delete", "nothing", "9"), 2, "declares no table nothing"),
        (("restore",), 2, "name a row to restore, or a run"),
        (("restore", "customers", "1", "--run", "1"), 2, "either a row or a run"),
        (("restore", "--run", "7"), 2, "no run 7"),
        (("restore", "customers", "1"), 2, "customers 1 is not deleted"),
    ],
)
def test_wrong_usage(run, arguments, code, said):
    result = run(*arguments)
    assert result.code == code, result.stderr
    assert said in result.stderr


def test_a_locked_row_is_busy(run):
    with connect(run.url, name="app") as other, other.transaction():
        other.execute("select from lines where id = 3 for update")
        result = run("delete", "customers", "1")
    assert result.code == 6
    with connect(run.url, name="tests") as connection:
        assert scalar(connection, "select deleted from customers where id = 1") is False


def test_the_schema_in_the_package_is_the_codes():
    made = json.dumps(schema(), indent=2, sort_keys=True) + "\n"
    assert FILES["rows"].read_text() == made, (
        "write it anew: python -m sexton.rows.result > toolkit/sexton/rows/rows.schema.json"
    )
