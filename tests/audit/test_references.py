"""The three strategies find the same rows, and the rule chooses between them."""

import contextlib
import itertools
import random
import uuid
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from psycopg import errors

from sexton.audit import references
from sexton.audit.references import QUERIES, ReferenceFacts, choose, query
from sexton.check import Check, Reference, Severity
from sexton.database import connect, rows, scalar
from sexton.database import settings as settings_of
from tests.support.audits import by_check, run
from tests.support.references import SHAPES, USABLE, check, found, known_facts, shaped

# One column of each kind; text in two collations, of which the first is the database's.
TYPES = {
    "integer": some.integers(-3, 6),
    "uuid": some.integers(0, 6).map(lambda n: uuid.UUID(int=n << 120)),
    "text": some.sampled_from(["", "a", "A", "b", "B", "ä", "Zeta", "zeta", " a", "%"]),
    'text collate "ucs_basic"': some.sampled_from(["a", "A", "b", "B", "ä", "Ä", "z"]),
}


def expected(children, parents, where, counts):
    """What the words mean, in plain Python."""
    there = {key for key, live in parents if key is not None and (live or not counts)}
    return Counter(
        number
        for number, (ref, live) in enumerate(children)
        if ref is not None and (live or not where) and ref not in there
    )


@pytest.fixture(scope="module")
def database_of_types(template):
    from tests.conftest import origin

    with contextlib.closing(
        connect(origin().url(template("empty")), name="tests")
    ) as connection:
        yield connection


@contextlib.contextmanager
def tables(connection, type, children, parents):
    """Temporary tables with these rows, the child's column indexed."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            f"create temp table child (id bigint, ref {type}, live boolean not null)"
        )
        connection.execute(f"create temp table parent (key {type}, live boolean not null)")
        connection.execute("create index on child (ref)")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into child values (%s, %s, %s)",
                [(n, ref, live) for n, (ref, live) in enumerate(children)],
            )
            cursor.executemany("insert into parent values (%s, %s)", parents)
        yield


@pytest.mark.parametrize("type", TYPES)
@given(data=some.data(), where=some.booleans(), counts=some.booleans())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_all_strategies_return_the_same_rows(database_of_types, type, data, where, counts):
    value = some.none() | TYPES[type]
    line = some.tuples(value, some.booleans())
    children = data.draw(some.lists(line, max_size=25))
    parents = data.draw(some.lists(line, max_size=12))
    made = check("this.live" if where else "", "parent.live" if counts else "")
    with tables(database_of_types, type, children, parents):
        for strategy in QUERIES:
            assert found(database_of_types, strategy, made) == expected(
                children, parents, where, counts
            ), strategy


@pytest.mark.parametrize(
    ("children", "parents"),
    [
        ([], []),
        ([(1, True)], []),
        ([], [(1, True)]),
        ([(1, True)], [(1, True)]),
        ([(None, True)], [(None, True)]),
        ([(1, True)] * 5, [(2, True)] * 3),
        ([(n, True) for n in range(10)], [(5, True)]),
    ],
)
def test_empty_tables_one_row_and_duplicates(database_of_types, children, parents):
    with tables(database_of_types, "integer", children, parents):
        for strategy in QUERIES:
            assert found(database_of_types, strategy, check()) == expected(
                children, parents, False, False
            ), strategy


def test_a_collation_of_its_own_is_compared_by_the_parents(connection):
    connection.execute('create table parent (key text collate "ucs_basic" primary key)')
    connection.execute("create table child (id int, ref text)")
    connection.execute("create index on child (ref)")
    connection.execute("insert into parent values ('a')")
    connection.execute("insert into child values (1, 'a'), (2, 'b')")
    known = known_facts(connection)
    assert known.collation == "pg_catalog.ucs_basic"
    chosen = choose(check(), known)
    assert chosen.strategy == "anti-join"
    sql = query(check(), chosen.strategy, known)
    assert [row["id"] for row in rows(connection, sql)] == [2]


# Values whose equality or order is not that of their texts.
ODD = {
    "ext.citext": ("a", "A", "b", "B", "Zeta", "zeta", ""),
    "ext.email": ("a@x", "A@X", "b@x", "B@x"),
    "character(3)": ("a", "a ", "A", "ab", "", "   "),
    "varchar(3)": ("a", "a ", "A", "ab", ""),
    "numeric": ("1", "1.0", "1.00", "-0", "0", "NaN", "Infinity", "1e20"),
    "float8": ("0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "0.30000000000000004"),
    "timestamptz": (
        *("2026-03-29 01:30+00", "2026-03-29 02:30+01", "2026-03-29 00:30+00"),
        *("1926-03-29 00:30+00", "2026-03-29 00:30:00.000001+00"),
    ),
    "interval": ("1 month", "30 days", "720 hours", "1 day", "24 hours", "-1 day"),
    "bytea": ("\\x", "\\x00", "\\x0000", "\\xff", "a"),
    "ext.mood": ("sad", "ok", "happy"),
    "integer[]": ("{}", "{1}", "{1,null}", "{null}", "{1,2}", "{2}", "[0:0]={1}"),
    "jsonb": ("1", "1.0", "null", '"1"', "{}", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
    "inet": ("10.0.0.1", "10.0.0.1/32", "10.0.0.0/8", "::1"),
    "boolean": ("t", "f"),
    "int4range": ("[1,3)", "[1,2]", "empty", "(,)", "[1,)"),
    "ext.point2": ("(1,)", "(1,2)", "(,2)", "(2,)"),
}
KINDS = """
    create schema ext;
    create extension citext schema ext;
    create domain ext.email as ext.citext check (value <> '');
    create type ext.mood as enum ('happy', 'ok', 'sad');
    create type ext.point2 as (x int, y int)
"""
PLAIN = """
    select c.id from child c
    where c.ref is distinct from null and c.live
      and not exists (select from parent p where p.key = c.ref and p.live)
"""


@pytest.mark.parametrize("type", ODD)
@pytest.mark.parametrize("partitioned", [False, True], ids=["whole", "partitioned"])
def test_a_reference_of_any_type_dangles_if_a_plain_anti_join_says_so(
    connection, type, partitioned
):
    chance = random.Random(f"{type} {partitioned}")
    connection.execute(KINDS)
    how = "partition by hash (id)" if partitioned else ""
    connection.execute(
        f"""
        create table parent (key {type}, live boolean not null);
        create table child (id int, ref {type}, live boolean not null) {how};
        create index on child (ref)
        """
    )
    for part in range(3 if partitioned else 0):
        connection.execute(
            f"create table part{part} partition of child "
            f"for values with (modulus 3, remainder {part})"
        )
    made = check("this.live", "parent.live")
    known = known_facts(connection)
    assert known.index
    assert known.comparable
    dangling = 0
    for _ in range(12):
        connection.execute("truncate parent, child")
        values = (*ODD[type], None)
        with connection.cursor() as cursor:
            cursor.executemany(
                f"insert into parent values (%s::text::{type}, %s)",
                [
                    (chance.choice(values), chance.random() < 0.8)
                    for _ in range(chance.randrange(1, 6))
                ],
            )
            cursor.executemany(
                f"insert into child values (%s, %s::text::{type}, %s)",
                [(n, chance.choice(values), chance.random() < 0.8) for n in range(15)],
            )
        with (
            connection.transaction(),
            settings_of(
                connection, {"search_path": "public, ext", "enable_indexscan": "off"}
            ),
        ):
            wanted = Counter(row["id"] for row in rows(connection, PLAIN))
        dangling += len(wanted)
        with (
            connection.transaction(),
            settings_of(connection, dict.fromkeys(references.INDEX_ONLY, "off")),
        ):
            for strategy in QUERIES:
                answer = rows(connection, query(made, strategy, known))
                assert Counter(row["id"] for row in answer) == wanted, strategy
        [outcome] = run(connection, made, confirm_after=0.001, sample=100).values()
        if not connection.execute("select from parent").fetchone():
            continue
        assert outcome.count == len(wanted)
        assert {finding.key["id"] for finding in outcome.findings} == set(wanted)
    assert dangling


# -- references of other shapes ------------------------------------------------------------

SELF = """
    create table "The Parent" (
        id int, "a b" int, "C" text, "Live" boolean, ref1 int, "ref 2" text, ok boolean
    );
    create index on "The Parent" (ref1, "ref 2");
"""


number = some.none() | some.integers(0, 3)
word = some.none() | some.sampled_from(["", "a", "B", "ä"])
lines = some.tuples(number, word, some.booleans())


@pytest.mark.parametrize("shape", [*SHAPES, "self-reference"])
@given(
    children=some.lists(lines, max_size=20),
    parents=some.lists(lines, max_size=10),
    live=some.booleans(),
    parent_live=some.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_all_strategies_return_the_same_rows_of_any_shape(
    database_of_types, shape, children, parents, live, parent_live
):
    connection = database_of_types
    itself = shape == "self-reference"
    made = shaped("The Parent" if itself else "The Child", live, parent_live)
    there = {
        (a, b)
        for a, b, lives in parents
        if None not in (a, b) and (lives or not parent_live)
    }
    wanted = Counter(
        n
        for n, (a, b, ok) in enumerate(children)
        if None not in (a, b) and (ok or not live) and (a, b) not in there
    )
    with connection.transaction(force_rollback=True):
        connection.execute(SELF if itself else SHAPES[shape])
        with connection.cursor() as cursor:
            cursor.executemany(
                f'insert into "{made.table}" (id, ref1, "ref 2", ok) '
                "values (%s, %s, %s, %s)",
                [(n, *line) for n, line in enumerate(children)],
            )
            cursor.executemany(
                'insert into "The Parent" ("a b", "C", "Live") values (%s, %s, %s)', parents
            )
        known = known_facts(connection, made)
        assert known.index
        assert known.comparable
        assert known.partitions == (2 if shape == "partitioned" else 1)
        for name in references.INDEX_ONLY:
            connection.execute("select set_config(%s, 'off', true)", (name,))
        for strategy in QUERIES:
            answer = rows(connection, query(made, strategy, known))
            assert Counter(row["id"] for row in answer) == wanted, strategy
        assert Counter(row["id"] for row in rows(connection, made.find)) == wanted


def test_a_predicate_sees_the_columns_of_its_own_table_alone(connection):
    connection.execute("create table parent (key int)")
    connection.execute("create table child (id int, ref int, live boolean)")
    made = Check(
        "tests.leak",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="{id}",
        reference=Reference("ref", "parent", "key", parent_live="live"),
    )
    for sql in (made.find, *(query(made, strategy) for strategy in QUERIES)):
        with pytest.raises(errors.UndefinedColumn), connection.transaction():
            connection.execute(sql)


def test_a_composite_key_probes_by_its_index(connection):
    connection.execute("create table parent (a int, b int, primary key (a, b))")
    connection.execute("create table child (id int, a int, b int)")
    connection.execute("insert into parent select n % 10, n from generate_series(1, 99) n")
    connection.execute(
        "insert into child select n, n % 99 % 10, n % 99 from generate_series(1, 30000) n"
    )
    connection.execute("create index on child (b, a)")
    connection.execute("analyze")
    made = Check(
        "tests.probed",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="{id}",
        reference=Reference(("a", "b"), "parent", ("a", "b")),
    )
    known = known_facts(connection, made)
    assert [pair.column for pair in known.pairs] == ["b", "a"]
    assert choose(made, known).strategy == "gap probing"
    found = {}
    for strategy in ("gap probing", "loose index scan"):
        with connection.transaction():
            for name in references.INDEX_ONLY:
                connection.execute("select set_config(%s, 'off', true)", (name,))
            [plan] = scalar(
                connection,
                "explain (analyze, buffers, format json) " + query(made, strategy, known),
            )
        found[strategy] = plan["Plan"]["Shared Hit Blocks"]
        assert plan["Plan"]["Actual Rows"] == 303, strategy
    assert found["gap probing"] < 600, found
    assert found["loose index scan"] < 1200, found


def test_equality_is_the_keys_own_wherever_its_operators_lie(connection):
    connection.execute("create schema ext; create extension citext schema ext")
    connection.execute("create table parent (key ext.citext primary key)")
    connection.execute("create table child (id int, ref ext.citext)")
    connection.execute("create index on child (ref)")
    connection.execute("insert into parent values ('Ada'), ('Zoe')")
    connection.execute("insert into child values (1, 'ADA'), (2, 'bob'), (3, 'zOE')")
    known = known_facts(connection)
    assert known.comparable
    assert known.pairs[0].schema == "ext"
    for strategy in QUERIES:
        assert [r["id"] for r in rows(connection, query(check(), strategy, known))] == [2]


@pytest.mark.parametrize(
    ("child", "parent"), [("name", "name"), ("name", "ext.citext"), ("ext.citext", "name")]
)
def test_a_domain_is_compared_as_its_type_is_whatever_its_own_operators_do(
    connection, child, parent
):
    connection.execute("create schema ext; create extension citext schema ext")
    connection.execute('create domain "odd %s" as ext.citext')
    connection.execute('create domain ext.name as "odd %s"')
    typed = {"name": "ext.name", "ext.citext": "ext.citext"}
    connection.execute(f"create table parent (key {typed[parent]} primary key)")
    connection.execute(f"create table child (id int, ref {typed[child]})")
    connection.execute("create index on child (ref)")
    connection.execute("insert into parent values ('Ada'), ('Zoe')")
    connection.execute("insert into child values (1, 'ADA'), (2, 'bob'), (3, 'zOE')")
    for n, sign in enumerate(("=", "<", ">")):
        for left, right in itertools.product(("ext.name", "ext.citext"), repeat=2):
            if (left, right) == ("ext.citext", "ext.citext"):
                continue
            connection.execute(
                f"create function ext.f{n}({left}, {right}) returns boolean "
                "language plpgsql as $$ begin raise 'sprung'; end $$"
            )
            connection.execute(
                f"create operator ext.{sign} (leftarg = {left}, rightarg = {right}, "
                f"function = ext.f{n})"
            )
    known = known_facts(connection)
    for strategy in QUERIES:
        assert [r["id"] for r in rows(connection, query(check(), strategy, known))] == [2]


# -- the rule ------------------------------------------------------------------------------


def about(**known):
    values = {
        "children": 5e6,
        "parents": 1e3,
        "distinct": 1e3,
        "index": "i",
        "comparable": True,
        "collation": None,
        "unique": True,
        "constraint": None,
    }
    return ReferenceFacts(**{**values, **known})


@pytest.mark.parametrize(
    ("known", "strategy"),
    [
        (about(), "gap probing"),
        (about(distinct=None), "gap probing"),
        (about(parents=1e6, distinct=50), "loose index scan"),
        (about(parents=1e6, distinct=1e6), "anti-join"),
        (about(index=None), "anti-join"),
        (about(comparable=False), "anti-join"),
        (about(children=10, parents=8, distinct=8), "anti-join"),
    ],
)
def test_the_cheapest_strategy_is_chosen(known, strategy):
    assert choose(check(), known).strategy == strategy


def test_an_index_is_advised_where_it_turns_a_scan_into_milliseconds():
    chosen = choose(check(), about(index=None))
    assert chosen.advice == "create index concurrently on child (ref)"
    assert choose(check(), about()).advice is None
    assert choose(check(), about(index=None, children=100)).advice is None


def test_the_probing_reads_hardly_more_than_the_parents(pair):
    pair.execute("insert into parent select gen_random_uuid() from generate_series(1, 200)")
    pair.execute(
        """
        insert into child select n, p.key
        from generate_series(1, 50000) n
        join (select key, row_number() over () as ordinal from parent) p
          on p.ordinal = n % 200 + 1
        """
    )
    pair.execute(USABLE[0])
    pair.execute("analyze")
    pair.execute(
        "insert into child select n, gen_random_uuid() from generate_series(-9, 0) n"
    )
    known = known_facts(pair)
    assert choose(check(), known).strategy == "gap probing"
    with pair.transaction():
        for setting in references.INDEX_ONLY:
            pair.execute("select set_config(%s, 'off', true)", (setting,))
        explained = scalar(
            pair,
            "explain (analyze, buffers, format json) " + query(check(), "gap probing"),
        )
    buffers = (
        explained[0]["Plan"]["Shared Hit Blocks"]
        + explained[0]["Plan"]["Shared Read Blocks"]
    )
    table = scalar(pair, "select pg_relation_size('child') / 8192")
    assert explained[0]["Plan"]["Actual Rows"] == 10
    assert buffers < 200 * 3 + 100, f"{buffers} blocks read; the table has {table}"


@pytest.mark.parametrize("strategy", references.QUERIES)
def test_fingerprints_do_not_depend_on_the_strategy(broken, monkeypatch, strategy):
    options = {"sample": 1000, "confirm_after": 0}
    expected = by_check(run(broken, "chat_without_model", **options))
    choose = references.choose

    def chosen(check, known):
        return replace(choose(check, known), strategy=strategy)

    monkeypatch.setattr(references, "choose", chosen)
    outcomes = run(broken, "chat_without_model", **options)
    assert outcomes["chat_without_model"].strategy == strategy
    assert by_check(outcomes) == expected
