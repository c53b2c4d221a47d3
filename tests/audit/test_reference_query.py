"""What the catalogs say about keys and indexes, whatever is peculiar about them."""

import pytest

from sexton.audit.references import QUERIES, query
from sexton.check import Check, Reference, Severity
from sexton.database import rows
from tests.support.references import SHAPES, USABLE, check, known_facts, shaped


@pytest.mark.parametrize("index", ['(ref1, "ref 2" desc)', "(ref1)", '(ref1, id, "ref 2")'])
def test_an_index_that_does_not_sort_as_rows_do_is_no_use(connection, index):
    connection.execute(SHAPES["composite"].rpartition("create index")[0])
    connection.execute(f'create index on "The Child" {index}')
    assert known_facts(connection, shaped("The Child", False, False)).index is None


def test_a_key_over_other_pairs_enforces_nothing(connection):
    connection.execute("create table parent (a int, b int, primary key (a, b))")
    connection.execute("create table child (id int, x int, y int)")
    made = Check(
        "tests.pairs",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="{id}",
        reference=Reference(("x", "y"), "parent", ("a", "b")),
    )
    key = "alter table child add constraint k foreign key (x, y) references parent "
    with connection.transaction(force_rollback=True):
        connection.execute("alter table parent add unique (b, a)")
        connection.execute(key + "(b, a)")
        assert known_facts(connection, made).constraint is None
    connection.execute(key + "(a, b)")
    known = known_facts(connection, made)
    assert (known.constraint, known.unique) == ("k", True)


def test_a_trigger_switched_off_on_a_partition_enforces_nothing(connection):
    connection.execute(
        """
        create table parent (key int primary key);
        create table child (id int, ref int references parent) partition by list (id);
        create table part partition of child default;
        """
    )
    assert known_facts(connection).constraint
    connection.execute("alter table part disable trigger all")
    assert known_facts(connection).constraint is None


def test_a_child_of_a_wider_integer_type_is_comparable(connection):
    connection.execute("create table parent (key bigint primary key)")
    connection.execute("create table child (id int, ref int)")
    connection.execute("create index on child (ref)")
    connection.execute("insert into parent values (1), (30000000000)")
    connection.execute("insert into child values (1, 1), (2, 2)")
    known = known_facts(connection)
    assert known.comparable
    for strategy in QUERIES:
        assert [r["id"] for r in rows(connection, query(check(), strategy, known))] == [2]


@pytest.mark.parametrize("side", ["child", "parent"])
def test_an_index_that_another_library_sorted_is_neither_used_nor_believed(
    connection, side
):
    new = connection.info.server_version >= 170000
    how = "builtin, locale = 'C.UTF-8'" if new else "icu, locale = 'und'"
    for name in ("steady", "drifted"):
        connection.execute(f"create collation {name} (provider = {how})")
    names = {"child": "steady", "parent": "steady", side: "drifted"}
    connection.execute(
        f"""
        create table parent (key text collate {names["parent"]} primary key);
        create table child (id int, ref text collate {names["child"]} references parent);
        create index on child (ref)
        """
    )
    assert known_facts(connection).constraint
    # What pg_collation says after an upgrade of the system's library.
    connection.execute(
        "update pg_catalog.pg_collation set collversion = 'of another library' "
        "where collname = 'drifted'"
    )
    known = known_facts(connection)
    assert known.constraint is None
    assert not known.comparable


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
