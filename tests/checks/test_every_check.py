"""What holds for every check, so that no check's own test needs to say it."""

import re
import string
from contextlib import closing

import pytest

from sexton.audit.facts import read_facts
from sexton.audit.units import plan_one
from sexton.check import Severity
from sexton.database import connect, snapshot
from sexton.project import all_checks
from sexton.repair.plan import Options
from sexton.repair.planner import plan_repair
from tests.conftest import origin
from tests.support.tools import look

CHECKS = sorted(all_checks().values(), key=lambda check: check.name)


def opened(template, revision):
    """A connection to the template itself: these tests only look."""
    with closing(connect(origin().url(template(revision)), name="tests")) as connection:
        yield connection


@pytest.fixture(scope="module")
def empty(template):
    yield from opened(template, "head")


@pytest.fixture(scope="module")
def before(template):
    yield from opened(template, "0001")


@pytest.fixture(scope="module")
def upstream(template):
    yield from opened(template, "upstream")


@pytest.fixture(params=CHECKS, ids=lambda check: check.name)
def check(request):
    return request.param


def file(check):
    """The file to correct."""
    return f"checks/{check.name}.py"


def test_it_explains_itself(check):
    paragraphs = check.explanation.split("\n\n")
    where = f"in the docstring of {file(check)}"
    assert len(paragraphs) >= 3, f"{where}, say the bad state, how it comes about, its cure"
    assert re.fullmatch(r"[A-Z`].*\.", check.summary), f"{where}, begin with a sentence"
    assert check.explanation.endswith("."), f"{where}, end with a full stop"


def test_its_name_is_its_files(check):
    assert check.module == f"chat_checks.{check.name}", f"{file(check)}: Check(__name__, …)"


def test_it_says_what_to_do_or_is_no_fault(check):
    told = check.repairs or check.manual_action or check.severity is Severity.INFO
    assert told, f"say `repair` or `manual_action` in {file(check)}"


def test_its_repair_plans_nothing_where_nothing_is_wrong(check, empty):
    if check.repairs:
        loss = (check.name,) if check.data_loss else ()
        options = Options(named=(check.name,), unsafe=loss)
        with snapshot(empty):
            plan = plan_repair(empty, [check], options)
        assert (list(plan.actions), plan.skipped) == ([], [])


def test_it_finds_nothing_in_an_empty_database_of_ours(check, empty):
    assert look(empty, check.name).status in ("pass", "skipped")


def test_it_finds_nothing_in_an_empty_database_of_the_product(check, upstream):
    outcome = look(upstream, check.name)
    # The product keeps its revisions itself: ours are not there to be held against it.
    expected = "skipped" if check.name == "schema_drift" else "pass"
    assert outcome.status == expected, outcome


def test_it_is_skipped_with_a_reason_before_the_tables_have_what_it_reads(check, before):
    outcome = look(before, check.name)
    assert outcome.status in ("pass", "skipped"), outcome
    assert (outcome.status == "skipped") == bool(outcome.reason)
    if "deleted" in check.reads.get("chat_model_configs", ()):
        assert outcome.status == "skipped"
        assert "has no column deleted" in str(outcome.reason) or "no table" in str(
            outcome.reason
        )


def test_its_rows_have_its_key_and_all_that_its_message_names(check, upstream, empty):
    if "sexton.alembic_version" in check.reads:
        upstream = empty
    with snapshot(upstream):
        unit = plan_one(check, read_facts(upstream, [check]), recheck=True)
        cursor = upstream.execute(unit.queries[0])
        returned = {column.name for column in cursor.description or ()}
    named = {name for _, name, _, _ in string.Formatter().parse(check.message) if name}
    if not check.judge:
        assert named - {"table"} <= returned, f"select them in {file(check)}"
    assert set(check.key) <= returned, f"select the key in {file(check)}"


def test_its_rows_come_in_the_order_of_its_key(check):
    if check.key:
        order = check.find.lower().rpartition("order by")[2]
        columns = [re.sub(r"^.*\.", "", part.strip()) for part in order.split(",")]
        assert columns == list(check.key), f"order by the key in {file(check)}"
