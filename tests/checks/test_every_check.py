"""What holds for every check."""

import re
import string
from pathlib import Path

import pytest

from checks import Severity, all_checks
from tests.tools import found
from toolkit.database import rows
from toolkit.schema import has

CHECKS = all_checks()


@pytest.fixture(params=CHECKS)
def check(request):
    return CHECKS[request.param]


def test_it_is_quiet_on_an_empty_database(connection, check):
    assert found(connection, check.name).status in ("pass", "skipped")


def test_its_name_is_its_files_and_its_tests(check):
    assert Path(__file__).with_name(f"test_{check.name}.py").exists()
    assert check.module == f"checks.{check.name}"


def test_it_explains_itself(check):
    what, how, *cure = check.explanation.split("\n\n")
    assert re.fullmatch(r"[A-Z][^\n]+\.", what), "begin with the bad state, as a sentence"
    assert len(how) > 80, "say how it arises and what breaks"
    assert cure, "say what the repair does and loses, or what to decide"


def test_it_returns_every_column_that_it_names(connection, check):
    if not all(has(connection, table, *names) for table, names in check.reads.items()):
        assert found(connection, check.name).status == "skipped"
        return
    cursor = connection.execute(check.find)
    returned = {column.name for column in cursor.description}
    named = {field for _, field, *_ in string.Formatter().parse(check.message) if field}
    assert named | set(check.key) <= returned


def test_it_says_what_to_do_or_is_no_fault(check):
    assert check.repair or check.decide or check.severity is Severity.INFO


def test_its_repair_plans_nothing_where_nothing_is_wrong(connection, check):
    if check.repair and found(connection, check.name).status == "pass":
        assert rows(connection, check.repair) == []


def test_without_its_tables_it_is_skipped(database, check):
    from toolkit.database import connect

    connection = connect(database("head"), name="tests")
    for table in reversed(check.reads):
        if table not in ("chat_providers", "chat_model_configs"):
            connection.execute(f"drop table if exists {table} cascade")
    for column in set(check.reads.get("chat_model_configs", ())) - {"id", "provider"}:
        connection.execute(f"alter table chat_model_configs drop column {column} cascade")
    outcome = found(connection, check.name)
    connection.close()
    assert outcome.status == "skipped"
    assert "has no column" in outcome.reason or "there is no table" in outcome.reason
