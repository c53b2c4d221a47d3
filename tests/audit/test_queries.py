"""What finds dangling values costs the same however many there are, and is asked once."""

import psycopg
import pytest

from sexton.audit import queries, units
from sexton.audit.auditor import run_checks
from sexton.audit.facts import read_facts
from sexton.audit.outcome import Options
from sexton.catalog.relations import quoted
from sexton.check import Check, Reference, Severity
from sexton.database import rows
from tests.support.tools import add_model, add_provider

CHECK = Check(
    "tests.child_without_parent",
    severity=Severity.ERROR,
    table="child",
    key=("id",),
    message="child {id} names {ref}, which does not exist",
    reference=Reference("ref", "parent", "key"),
)
PLANT = """
    update child set ref = gen_random_uuid()
    where id in (select id from child order by md5(id::text) limit 500)
"""


@pytest.fixture
def pair(connection):
    connection.execute("create table parent (key uuid primary key)")
    connection.execute("create table child (id int primary key, ref uuid, pad text)")
    connection.execute("create index child_ref on child (ref)")
    connection.execute(
        "insert into parent select gen_random_uuid() from generate_series(1, 1000)"
    )
    connection.execute(
        """
        insert into child
        select n, p.keys[n % 1000 + 1], repeat('x', 100)
        from generate_series(1, 100000) n,
             (select array_agg(key) as keys from parent) p
        """
    )
    connection.execute("vacuum analyze")
    return connection


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def plans(connection, monkeypatch, **options):
    """The plans of the statements that look at the check, as they ran; and its count."""
    found = []
    asked = queries._asked

    def explained(connection, query, parameters):
        explain = f"explain (analyze, buffers, format json) {query}"
        with connection.cursor() as cursor:
            [line] = cursor.execute(explain, parameters).fetchall()
        found.append(next(iter(line.values()))[0]["Plan"])
        return asked(connection, query, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(queries, "_asked", explained)
        _, [outcome] = run_checks(connection, [CHECK], Options(**options))
    assert outcome.strategy == "gap probing"
    return found, outcome.count


def blocks(plan):
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.mark.parametrize("analyzed", [True, False])
@pytest.mark.parametrize("known", [{}, {"child_without_parent": ['["child", {"id": 0}]']}])
def test_dangling_values_cost_hardly_more_than_none(pair, monkeypatch, analyzed, known):
    [clean], count = plans(pair, monkeypatch, confirm_after=0, known=known)
    assert count == 0
    pair.execute(PLANT)
    if analyzed:
        pair.execute("vacuum analyze child")
    [looked], count = plans(pair, monkeypatch, confirm_after=0, known=known)
    assert count == 500
    assert blocks(looked) <= 2 * blocks(clean)
    # In the order of its key, PostgreSQL would walk all of the child until a page is full.
    indexes = [node.get("Index Name") for node in nodes(looked)]
    assert "child_pkey" not in indexes
    probes = [n for n in nodes(looked) if n.get("Subplan Name") == "CTE sexton found"]
    assert [node["Actual Loops"] for node in probes] == [1]


@pytest.mark.parametrize("analyzed", [True, False])
def test_the_second_look_reads_what_was_found_and_no_more(pair, monkeypatch, analyzed):
    pair.execute(PLANT)
    if analyzed:
        pair.execute("vacuum analyze child")
    (_, by_key, again), count = plans(pair, monkeypatch, confirm_after=0.01)
    assert count == 500
    for looked in (by_key, again):
        assert "child_pkey" in {node.get("Index Name") for node in nodes(looked)}
        assert not any(
            n.get("Node Type") == "Seq Scan" and n["Relation Name"] == "child"
            for n in nodes(looked)
        )
        assert blocks(looked) <= 500 * 8


def test_a_scan_is_not_walked_in_the_order_of_its_key(pair, monkeypatch):
    """A page of few findings would otherwise be looked for along the whole key."""
    pair.execute("drop index child_ref")
    pair.execute(PLANT)
    check = Check(
        "tests.marked",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="child {id}",
        where="this.pad <> repeat('x', 100)",
    )
    pair.execute("update child set pad = '' where id = 99999")
    seen = []
    asked = queries._asked

    def noted(connection, query, parameters):
        [*lines] = rows(connection, f"explain {query}", *parameters)
        seen.extend(next(iter(line.values())) for line in lines)
        return asked(connection, query, parameters)

    monkeypatch.setattr(queries, "_asked", noted)
    _, [outcome] = run_checks(pair, [check])
    assert outcome.count == 1
    assert not any("child_pkey" in line for line in seen)


@pytest.mark.parametrize(("findings", "asked"), [(99, 1), (100, 2), (250, 2)])
def test_only_what_fills_a_page_is_counted(connection, monkeypatch, findings, asked):
    """To count is to look once more, and for a small table to plan once more."""
    connection.execute("create table marked (id int primary key)")
    connection.execute(
        "insert into marked select -n from generate_series(1, %s) n", (findings,)
    )
    check = Check(
        "tests.marked",
        severity=Severity.ERROR,
        table="marked",
        key=("id",),
        message="{id}",
        where="this.id < 0",
    )
    sent = []
    ask = queries._asked

    def noted(connection, query, parameters):
        sent.append(query)
        return ask(connection, query, parameters)

    monkeypatch.setattr(queries, "_asked", noted)
    _, [outcome] = run_checks(connection, [check])
    assert (outcome.count, outcome.count_is) == (findings, "exact")
    assert [finding.key["id"] for finding in outcome.findings[:2]] == [
        -findings,
        1 - findings,
    ]
    assert len(sent) == asked


def test_a_sound_small_database_costs_few_statements(connection):
    """The way to the server is what such an audit costs."""
    from sexton.project import all_checks

    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    sent = []

    class Noting(psycopg.Cursor):
        def execute(self, query, *arguments, **more):
            sent.append(" ".join(str(query).split())[:80])
            return super().execute(query, *arguments, **more)

    connection.cursor_factory = Noting
    _, outcomes = run_checks(connection, list(all_checks().values()))
    assert {outcome.status for outcome in outcomes} == {"pass", "skipped"}
    assert len(sent) <= 29, sent


def test_a_statement_joins_no_more_tables_than_it_can_plan_at_once(connection):
    checks = []
    for number in range(units.JOINED + 2):
        table = f"child{number}"
        connection.execute(f"create table {table} (id int primary key, ref uuid)")
        checks.append(
            Check(
                f"tests.{table}",
                severity=Severity.ERROR,
                table=table,
                key=("id",),
                message="child {id} names {ref}, which does not exist",
                reference=Reference("ref", "parent", "key"),
            )
        )
    connection.execute("create table parent (key uuid primary key)")
    facts = read_facts(connection, checks)
    planned = units.plan(checks, facts, joinable={check.name for check in checks})
    assert [len(unit.checks) for unit in planned] == [units.JOINED - 1, 3]
    assert all(len(unit.tables) <= units.JOINED for unit in planned)


ODD = """
    create table parents ({key} int primary key);
    create table kids ({key} int primary key, {column} int);
    insert into parents values (1);
    insert into kids values (1, 1), (5, 7);
"""
NAMES = [
    *("page", "found", "moved", "table", "row", "f", "c0", "hop", "value0", "this"),
    *("_id", "_count", "_known", "_identity", "_known_count", "_ordinal", "%s", "a{b}%"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["key", "column"])
def test_no_column_s_name_hides_a_finding(connection, name, place):
    names = {"key": "id", "column": "ref", place: name}
    connection.execute(ODD.format(**{n: quoted(c) for n, c in names.items()}))
    check = Check(
        "tests.kids_dangling",
        severity=Severity.ERROR,
        table="kids",
        key=(names["key"],),
        message="found",
        reference=Reference(names["column"], "parents", names["key"]),
    )
    for known in ({}, {check.name: ["[]"]}):
        options = Options(confirm_after=0.01, known=known)
        [outcome] = run_checks(connection, [check], options)[1]
        assert outcome.status == "fail", outcome.reason
        assert outcome.count == 1
        assert [one.key for one in outcome.findings] == [{names["key"]: 5}]
        assert outcome.findings[0].table == "kids"
