"""The three strategies find the same rows, and the rule chooses between them."""

import contextlib
import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from sexton.audit import references
from sexton.audit.references import QUERIES, Facts, choose, facts, query
from sexton.check import Check, Reference, Severity
from sexton.database import connect, rows, scalar

# One column of each kind; text in two collations, of which the first is the database's.
TYPES = {
    "integer": some.integers(-3, 6),
    "uuid": some.integers(0, 6).map(lambda n: uuid.UUID(int=n << 120)),
    "text": some.sampled_from(["", "a", "A", "b", "B", "ä", "Zeta", "zeta", " a", "%"]),
    'text collate "ucs_basic"': some.sampled_from(["a", "A", "b", "B", "ä", "Ä", "z"]),
}


def check(where="", counts=""):
    return Check(
        "tests.child_without_parent",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="child {id} names {ref}, which does not exist",
        where=where,
        reference=Reference("ref", "parent", "key", parent_where=counts),
    )


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


def found(connection, strategy, made):
    answer = rows(connection, query(made, strategy))
    return Counter(row["id"] for row in answer)


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
    sql = query(check(), chosen.strategy, known.collation)
    assert [row["id"] for row in rows(connection, sql)] == [2]


# -- facts ---------------------------------------------------------------------------------


def known_facts(connection, made=None):
    made = made or check()
    return facts(connection, made.table, made.reference)


@pytest.fixture
def pair(connection):
    connection.execute("create table parent (key uuid primary key, live boolean)")
    connection.execute("create table child (id int primary key, ref uuid, live boolean)")
    return connection


USABLE = [
    "create index i on child (ref)",
    "create index i on child (ref desc)",
    "create index i on child (ref, id)",
    "create unique index i on child (ref)",
    "create index i on child (ref) where ref is not null",
]
USELESS = [
    "create index i on child (id, ref)",
    "create index i on child using hash (ref)",
    "create index i on child (ref) where id > 0",
    "create index i on child ((ref::text))",
]


@pytest.mark.parametrize("index", USABLE)
def test_an_index_led_by_the_column_can_be_used(pair, index):
    pair.execute(index)
    assert known_facts(pair).index == "i"


@pytest.mark.parametrize("index", USELESS)
def test_any_other_index_cannot(pair, index):
    pair.execute(index)
    assert known_facts(pair).index is None


def test_an_invalid_index_cannot(pair):
    pair.execute(USABLE[0])
    pair.execute("update pg_index set indisvalid = false where indexrelid = 'i'::regclass")
    assert known_facts(pair).index is None


KEY = "alter table child add constraint k foreign key (ref) references parent"


def test_a_valid_key_enforces_the_reference(pair):
    pair.execute(KEY)
    assert known_facts(pair).constraint == "k"


def test_a_key_does_not_enforce_a_condition_on_the_parent(pair):
    pair.execute(KEY)
    assert known_facts(pair, check(counts="parent.live")).constraint is None


@pytest.mark.parametrize(
    "weakened",
    [f"{KEY} not valid", f"{KEY}; alter table child disable trigger all"],
)
def test_a_key_not_valid_or_switched_off_enforces_nothing(pair, weakened):
    pair.execute(weakened)
    assert known_facts(pair).constraint is None


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
    return Facts(**{**values, **known})


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
        join (select key, row_number() over () as place from parent) p
          on p.place = n % 200 + 1
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
