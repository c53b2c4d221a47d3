"""Which keys the audit believes without looking: those that no row can get past."""

import contextlib
import uuid

import pytest

from sexton.database import connect
from tests.support.references import known_facts

SHAPES = {
    "plain": "create table parent (key int primary key); create table child (ref int)",
    "partitioned child": """
        create table parent (key int primary key);
        create table child (ref int) partition by range (ref);
        create table child_a partition of child for values from (0) to (9);
        create table child_b partition of child default partition by list (ref);
        create table child_c partition of child_b default
    """,
    "partitioned parent": """
        create table parent (key int primary key) partition by range (key);
        create table parent_a partition of parent for values from (0) to (9);
        create table parent_b partition of parent default;
        create table child (ref int)
    """,
    "both partitioned": """
        create table parent (key int primary key) partition by range (key);
        create table parent_a partition of parent for values from (0) to (9);
        create table parent_b partition of parent default;
        create table child (ref int) partition by range (ref);
        create table child_a partition of child for values from (0) to (9);
        create table child_b partition of child default
    """,
}
KEY = "alter table child add constraint k foreign key (ref) references parent"


@pytest.fixture
def shaped(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as opened:
        yield opened


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_key_enforces_the_reference(shaped, shape):
    shaped.execute(SHAPES[shape])
    assert known_facts(shaped).constraint is None
    shaped.execute(KEY)
    assert known_facts(shaped).constraint == "k"


@pytest.mark.parametrize(
    ("shape", "after"),
    [
        ("partitioned child", "create table child_d (ref int)"),
        ("both partitioned", "create table child_d (ref int)"),
    ],
)
def test_a_partition_attached_later_is_held_by_the_key_as_well(shaped, shape, after):
    shaped.execute(f"{SHAPES[shape]}; {KEY}; {after}")
    shaped.execute(
        "alter table child attach partition child_d for values from (20) to (30)"
    )
    assert known_facts(shaped).constraint == "k"
    shaped.execute("alter table child_d disable trigger all")
    assert known_facts(shaped).constraint is None


@pytest.mark.parametrize(
    ("shape", "damage"),
    [
        ("plain", "alter table child disable trigger all"),
        ("plain", "alter table parent disable trigger all"),
        ("partitioned child", "alter table child_a disable trigger all"),
        ("partitioned child", "alter table child_c disable trigger all"),
        ("partitioned child", "alter table parent disable trigger all"),
        ("partitioned parent", "alter table parent_b disable trigger all"),
        ("partitioned parent", "alter table child disable trigger all"),
        ("both partitioned", "alter table child_b disable trigger all"),
        ("both partitioned", "alter table parent_a disable trigger all"),
        ("plain", "create table heir () inherits (child)"),
        (
            "plain",
            "do $$ declare t name; begin for t in select tgname from pg_trigger "
            "where tgrelid = 'child'::regclass loop execute format("
            "'alter table child enable replica trigger %I', t); end loop; end $$",
        ),
    ],
)
def test_a_key_that_rows_can_get_past_enforces_nothing(shaped, shape, damage):
    shaped.execute(f"{SHAPES[shape]}; {KEY}")
    assert known_facts(shaped).constraint == "k"
    shaped.execute(damage)
    assert known_facts(shaped).constraint is None


KEEPS = """
    create function keep() returns trigger language plpgsql as $$
    begin
        if tg_op = 'DELETE' then return null; end if;
        new.ref := old.ref;
        return new;
    end $$;
"""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("action", "change", "kept_by"),
    [
        (
            "on delete cascade",
            "delete from parent",
            KEEPS + "create trigger t before delete on child "
            "for each row execute function keep()",
        ),
        (
            "on delete cascade",
            "delete from parent",
            "create rule r as on delete to child where old.ref > 0 do instead nothing",
        ),
        (
            "on delete set null",
            "delete from parent",
            KEEPS + "create trigger t before update on child "
            "for each row execute function keep()",
        ),
        (
            "on delete set null",
            "delete from parent",
            "create rule r as on update to child where old.ref > 0 do instead nothing",
        ),
        (
            "on update cascade",
            "update parent set key = 2",
            KEEPS + "create trigger t before update on child "
            "for each row execute function keep()",
        ),
        (
            "on update set null",
            "update parent set key = 2",
            "create rule r as on update to child where old.ref > 0 do instead nothing",
        ),
    ],
)
def test_a_key_whose_action_can_be_swallowed_enforces_nothing(
    shaped, shape, action, change, kept_by
):
    shaped.execute(f"{SHAPES[shape]}; {KEY} {action}")
    shaped.execute("insert into parent values (1); insert into child values (1)")
    assert known_facts(shaped).constraint == "k"
    shaped.execute(kept_by)
    shaped.execute(change)
    dangling = "select from child where ref not in (select key from parent)"
    assert shaped.execute(dangling).rowcount == 1
    assert known_facts(shaped).constraint is None


@pytest.mark.parametrize(
    ("action", "trigger"),
    [
        ("", "before update or delete on child for each row"),
        ("on delete restrict", "before update or delete on child for each row"),
        # The server checks again what SET DEFAULT has done.
        ("on delete set default", "before update on child for each row"),
        ("on delete cascade", "before update on child for each row"),
        ("on delete set null", "before delete on child for each row"),
        ("on delete cascade", "after delete on child for each row"),
        ("on delete cascade", "before delete on child for each statement"),
        ("on delete cascade", "before delete on parent for each row"),
    ],
)
def test_a_key_whose_action_nothing_can_swallow_enforces_it(shaped, action, trigger):
    shaped.execute(f"{SHAPES['plain']}; {KEY} {action}; {KEEPS}")
    shaped.execute(f"create trigger t {trigger} execute function keep()")
    assert known_facts(shaped).constraint == "k"


def test_a_table_that_inherits_from_the_parent_does_no_harm(shaped):
    shaped.execute(f"{SHAPES['plain']}; {KEY}; create table heir () inherits (parent)")
    assert known_facts(shaped).constraint == "k"


@pytest.mark.parametrize("kind", ["deferrable initially deferred", "match full"])
def test_other_forms_of_a_key_enforce_it_too(shaped, kind):
    shaped.execute(f"{SHAPES['plain']}; {KEY} {kind}")
    assert known_facts(shaped).constraint == "k"


def test_a_key_that_is_not_enforced_enforces_nothing(shaped):
    if shaped.info.server_version < 180000:
        return
    shaped.execute(f"{SHAPES['plain']}; {KEY} not enforced")
    assert known_facts(shaped).constraint is None
    shaped.execute("alter table child alter constraint k enforced")
    assert known_facts(shaped).constraint == "k"


def test_a_key_that_a_replicating_role_passes_enforces_nothing(shaped):
    shaped.execute(f"{SHAPES['partitioned child']}; {KEY}")
    role = f"apply_{uuid.uuid4().hex[:8]}"
    shaped.execute(f"create role {role}")
    try:
        shaped.execute(f"alter role {role} set session_replication_role = 'Replica'")
        assert known_facts(shaped).constraint is None
        shaped.execute("update pg_trigger set tgenabled = 'A' where tgisinternal")
        assert known_facts(shaped).constraint == "k"
    finally:
        shaped.execute(f"drop role {role}")


def test_a_database_of_replica_sessions_enforces_nothing(shaped):
    shaped.execute(f"{SHAPES['plain']}; {KEY}")
    name = shaped.info.dbname
    shaped.execute(f'alter database "{name}" set session_replication_role = replica')
    assert known_facts(shaped).constraint is None
    shaped.execute(f'alter database "{name}" reset session_replication_role')
    assert known_facts(shaped).constraint == "k"
    shaped.execute("set session_replication_role = replica")
    assert known_facts(shaped).constraint is None


def test_a_key_that_a_function_passes_enforces_nothing(shaped):
    shaped.execute(f"{SHAPES['plain']}; {KEY}")
    shaped.execute(
        "create procedure load() language sql set session_replication_role = 'Replica' "
        "as 'insert into child values (99)'"
    )
    assert known_facts(shaped).constraint is None
    shaped.execute("alter procedure load() reset session_replication_role")
    assert known_facts(shaped).constraint == "k"


def test_a_key_of_a_table_that_a_subscription_writes_enforces_nothing(shaped):
    shaped.execute(f"{SHAPES['partitioned child']}; {KEY}")
    shaped.execute(
        "insert into pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "values (4711, 'child_c'::regclass, 'r')"
    )
    assert known_facts(shaped).constraint is None


def test_a_key_of_another_equality_enforces_nothing(shaped):
    shaped.execute(
        """
        create function same(int, int) returns bool language sql immutable
            as 'select true';
        create operator === (leftarg = int, rightarg = int, function = same);
        create operator class anything for type int using btree as
            operator 1 <, operator 2 <=, operator 3 ===, operator 4 >=, operator 5 >,
            function 1 btint4cmp(int, int);
        create table parent (key int);
        create unique index on parent (key anything);
        create table child (ref int);
        """
    )
    shaped.execute(
        "alter table child add constraint k foreign key (ref) references parent (key)"
    )
    assert known_facts(shaped).constraint is None
