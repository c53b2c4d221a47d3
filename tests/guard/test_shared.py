"""All guards of one table and condition share what keeps their marker."""

from sexton.database import Connection, rows, scalar
from sexton.guard import change
from sexton.guard.spec import GuardSpec
from sexton.guard.status import NONE, SET, status
from tests.support.guards import everything_of_ours
from tests.support.revisions import state as catalog
from tests.support.worlds_of_guards import CUSTOMERS, refused, run, state

MANY = 4
CHILDREN = "".join(
    f"create table child_{n} (id int primary key, customer_id bigint, "
    f"deleted boolean not null default false); create index on child_{n} (customer_id);"
    for n in range(MANY)
)


def of(child: str, column: str = "customer_id", parent_live: str = "not deleted"):
    return GuardSpec(
        *(child, (column,), "customers", ("id",)),
        live="not deleted",
        parent_live=parent_live,
    )


def on(connection: Connection, table: str) -> dict[str, int]:
    """How many columns, indexes, CHECKs and triggers of ours a table has."""
    [found] = rows(
        connection,
        """
        select
            (select count(*) from pg_attribute where attrelid = t.oid
                and attname like 'sexton%%' and not attisdropped) as columns,
            (select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid
                where i.indrelid = t.oid and c.relname like 'sexton%%') as indexes,
            (select count(*) from pg_constraint where conrelid = t.oid
                and contype = 'c' and conname like 'sexton%%') as checks,
            (select count(*) from pg_trigger where tgrelid = t.oid
                and not tgisinternal) as triggers
        from (select %s::regclass::oid) as t (oid)
        """,
        table,
    )
    return found


ONE = {"columns": 1, "indexes": 1, "checks": 1, "triggers": 1}
BARE = dict.fromkeys(ONE, 0)


def test_a_parent_has_one_marker_for_all_its_guards_and_the_last_takes_it_away(empty):
    run(empty, CUSTOMERS + CHILDREN)
    specs = [of(f"child_{n}") for n in range(MANY)]
    change.add(empty, *specs[:2])
    for spec in specs[2:]:
        change.add(empty, spec)
    assert state(empty, *specs) == SET
    assert on(empty, "customers") == ONE
    for spec in specs:
        refused(empty, f"insert into {spec.child} values (1, 2)")
    run(empty, "insert into child_3 values (1, 1)")
    for spec in specs[:-1]:
        change.remove(empty, spec)
        assert state(empty, spec) == NONE
        assert on(empty, "customers") == ONE
        refused(empty, "update customers set deleted = true where id = 1")
    change.remove(empty, specs[-1])
    assert on(empty, "customers") == BARE
    assert everything_of_ours(empty) == []


def test_two_guards_of_one_child_share_its_marker(empty):
    run(empty, CUSTOMERS + "alter table invoices add payer_id bigint")
    both = of("invoices"), of("invoices", "payer_id")
    change.add(empty, *both)
    assert on(empty, "invoices") == {**ONE, "indexes": 0}
    change.remove(empty, both[0])
    assert state(empty, both[1]) == SET
    refused(empty, "insert into invoices (payer_id) values (2)")
    run(empty, "insert into invoices (customer_id) values (2)")
    change.remove(empty, both[1])
    assert everything_of_ours(empty) == []


def test_another_condition_of_the_parent_has_a_marker_of_its_own(empty):
    run(empty, CUSTOMERS + CHILDREN)
    one, other = of("child_0"), of("child_1", parent_live="name <> 'dead'")
    change.add(empty, one, other)
    assert on(empty, "customers") == dict.fromkeys(ONE, 2)
    change.add(empty, of("child_1"))
    assert on(empty, "customers") == ONE
    assert state(empty, one, of("child_1")) == SET


def test_a_parent_referred_to_by_other_columns_has_an_index_for_each(empty):
    run(empty, CUSTOMERS + "alter table invoices add name text")
    by_name = GuardSpec("invoices", ("name",), "customers", ("name",), "", "not deleted")
    change.add(empty, of("invoices"), by_name)
    assert on(empty, "customers") == {**ONE, "indexes": 2}
    change.remove(empty, of("invoices"))
    assert on(empty, "customers") == ONE
    assert state(empty, by_name) == SET
    refused(empty, "insert into invoices (name) values ('dead')")


def test_a_write_to_another_column_calls_no_function_however_many_guards(empty):
    run(empty, CUSTOMERS + CHILDREN)
    change.add(empty, *(of(f"child_{n}") for n in range(MANY)))
    run(empty, "set track_functions = 'all'")
    run(empty, "update customers set name = 'x' where id = 1")
    called = scalar(
        empty,
        "select coalesce(sum(pg_stat_get_xact_function_calls(oid)), 0) "
        "from pg_proc where proname like 'sexton%'",
    )
    assert called == 0


LEGACY = """
    alter table customers add sexton_target_{d} boolean default true;
    create function sexton_guard_{k}_{d}_parent() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as '
begin
    new.sexton_target_{d} := NULLIF((NOT new."deleted"), false);
    return new;
end
';
    create trigger sexton_guard_{k}_{d}_parent before insert or update
        of deleted, sexton_target_{d} on customers for each row
        when (new.sexton_target_{d} is distinct from nullif((not new.deleted), false))
        execute function sexton_guard_{k}_{d}_parent();
    alter table customers enable always trigger sexton_guard_{k}_{d}_parent;
    update customers set sexton_target_{d} = null where deleted;
    alter table customers add constraint sexton_guard_{k}_{d}_parent
        check (sexton_target_{d} is not distinct from nullif(not deleted, false));
    create unique index sexton_guard_{k}_{d}_target on customers (id, sexton_target_{d});
    alter table invoices add sexton_live_{d} boolean default true;
    create function sexton_guard_{k}_{d}() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as '
begin
    new.sexton_live_{d} := NULLIF((NOT new."deleted"), false);
    return new;
end
';
    create trigger sexton_guard_{k}_{d} before insert or update
        of deleted, sexton_live_{d} on invoices for each row
        when (new.sexton_live_{d} is distinct from nullif((not new.deleted), false))
        execute function sexton_guard_{k}_{d}();
    alter table invoices enable always trigger sexton_guard_{k}_{d};
    alter table invoices add constraint sexton_guard_{k}_{d}_live
        check (sexton_live_{d} is not distinct from nullif(not deleted, false));
    alter table invoices add constraint sexton_guard_{k}_{d}
        foreign key ({column}, sexton_live_{d})
        references customers (id, sexton_target_{d});
"""


def with_guards_of_before(connection: Connection) -> list[GuardSpec]:
    """Two guards as they were set when each had a marker of its own on both tables."""
    run(connection, CUSTOMERS + "alter table invoices add payer_id bigint")
    for column, digest in (("customer_id", "6c0aaf55"), ("payer_id", "0123abcd")):
        names = {"k": f"invoices_{column}", "d": digest, "column": column}
        run(connection, LEGACY.format(**names))
    return [of("invoices"), of("invoices", "payer_id")]


def test_guards_with_markers_of_their_own_are_known_and_made_anew_and_removed(empty):
    specs = with_guards_of_before(empty)
    refused(empty, "insert into invoices (payer_id) values (2)")
    found = status(empty, *specs)["guards"]
    assert all(one["constraint"] for one in found)
    lacks = [p["part"] for one in found for p in one["parts"] if not p["there"]]
    assert lacks, "the trigger does not yet fire last"
    assert all(part.startswith("trigger ~sexton_") for part in lacks)
    change.add(empty, *specs)
    assert state(empty, *specs) == SET
    refused(empty, "insert into invoices (payer_id) values (2)")
    run(empty, "insert into invoices (payer_id, deleted) values (2, true)")
    assert on(empty, "customers")["triggers"] == 2
    change.remove(empty, specs[0])
    assert state(empty, specs[1]) == SET
    assert on(empty, "customers") == ONE
    change.add(empty, specs[0])
    assert on(empty, "customers") == ONE, "a marker that is there is shared"
    for spec in specs:
        change.remove(empty, spec)
    assert everything_of_ours(empty) == []


def test_guards_with_markers_of_their_own_are_removed_as_they_are(empty):
    specs = with_guards_of_before(empty)
    change.remove(empty, *specs)
    assert everything_of_ours(empty) == []


def test_a_guard_whose_tables_were_renamed_is_known_by_its_definition(empty):
    run(empty, CUSTOMERS)
    before = catalog(empty)
    change.add(empty, of("invoices"))
    run(
        empty,
        "alter table customers rename to clients; alter table invoices rename to bills; "
        "alter table bills rename customer_id to client_id",
    )
    renamed = GuardSpec(
        *("bills", ("client_id",), "clients", ("id",)), parent_live="not deleted"
    )
    assert state(empty, renamed) == SET
    assert change.add(empty, renamed) == []
    change.remove(empty, renamed)
    assert everything_of_ours(empty) == []
    run(
        empty,
        "alter table clients rename to customers; alter table bills rename to invoices; "
        "alter table invoices rename client_id to customer_id",
    )
    assert catalog(empty) == before
