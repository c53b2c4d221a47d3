"""Tables of other shapes that a guard is set on, one of each kind."""

from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import errors

from sexton.database import Connection, rows, scalar
from sexton.guard.spec import GuardSpec
from sexton.guard.status import status


@dataclass(frozen=True)
class World:
    """Tables, the guard over them, and the statements that tests send, by what they do.

    There is a live parent `p` and a dead one; `insert` makes a live child of `p`,
    `insert_dead` a dead child of nobody, `insert_orphan` a live one of nobody. `bury` and
    `revive` are of the child; `end` is of the parent: deletion, or a mark.
    """

    tables: str
    spec: GuardSpec
    insert: str
    insert_dead: str
    insert_orphan: str
    bury: str
    revive_dead: str
    end: str
    parents: str  # the parents that count, as a condition on `c` and `p`
    child: str = "invoices"


CUSTOMERS = """
    create table customers (id bigint primary key, name text, deleted boolean
        not null default false);
    create table invoices (
        no bigint generated always as identity primary key, customer_id bigint,
        state text not null default 'open', deleted boolean not null default false
    );
    create index on invoices (customer_id);
    insert into customers values (1, 'live', false), (2, 'dead', true);
"""

PLAIN = World(
    tables=CUSTOMERS,
    spec=GuardSpec("invoices", ("customer_id",), "customers", ("id",)),
    insert="insert into invoices (customer_id) values (1)",
    insert_dead="insert into invoices (customer_id, deleted) values (9, true)",
    insert_orphan="insert into invoices (customer_id) values (9)",
    bury="update invoices set deleted = true where customer_id = 1",
    revive_dead="update invoices set deleted = false where customer_id = 9",
    end="delete from customers where id = 1",
    parents="p.id = c.customer_id",
)
BOTH = World(
    tables=CUSTOMERS,
    spec=GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live="state in ('open', 'sent') and not deleted",
        parent_live="not deleted",
    ),
    insert=PLAIN.insert,
    insert_dead="insert into invoices (customer_id, state) values (2, 'paid')",
    insert_orphan="insert into invoices (customer_id) values (2)",
    bury="update invoices set state = 'paid' where customer_id = 1",
    revive_dead="update invoices set state = 'sent' where customer_id = 2",
    end="update customers set deleted = true where id = 1",
    parents="p.id = c.customer_id and not p.deleted",
)
ALL_CHILDREN = World(
    tables=CUSTOMERS,
    spec=GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live="",
        parent_live="not deleted",
    ),
    insert=PLAIN.insert,
    insert_dead="insert into invoices (customer_id) values (null)",
    insert_orphan="insert into invoices (customer_id) values (2)",
    bury="update invoices set customer_id = null where customer_id = 1",
    revive_dead="update invoices set customer_id = 2 where customer_id is null",
    end="update customers set deleted = true where id = 1",
    parents="p.id = c.customer_id and not p.deleted",
)
COMPOSITE = World(
    tables="""
        create schema "My Shop";
        create table "My Shop"."Cust omers" (
            tenant int, "No" varchar(9), ended_at timestamptz, primary key (tenant, "No")
        );
        create table "My Shop"."In%voices" (
            id uuid primary key default gen_random_uuid(), tenant int, "Cust No" varchar(9),
            "deleted ""at now" timestamptz
        );
        insert into "My Shop"."Cust omers" values (1, 'a', null), (1, 'b', now());
    """,
    spec=GuardSpec(
        *("My Shop.In%voices", ("tenant", "Cust No")),
        *("My Shop.Cust omers", ("tenant", "No")),
        live='"deleted ""at now" is null',
        parent_live="ended_at is null",
    ),
    insert="""insert into "My Shop"."In%voices" (tenant, "Cust No") values (1, 'a')""",
    insert_dead="""insert into "My Shop"."In%voices" (tenant, "Cust No", "deleted ""at now")
        values (1, 'b', now())""",
    insert_orphan="""insert into "My Shop"."In%voices" (tenant, "Cust No")
        values (1, 'b')""",
    bury="""update "My Shop"."In%voices" set "deleted ""at now" = now()
        where "Cust No" = 'a'""",
    revive_dead="""update "My Shop"."In%voices" set "deleted ""at now" = null
        where "Cust No" = 'b'""",
    end="""update "My Shop"."Cust omers" set ended_at = now() where "No" = 'a'""",
    parents='p.tenant = c.tenant and p."No" = c."Cust No" and p.ended_at is null',
    child='"My Shop"."In%voices"',
)
SELF = World(
    tables="""
        create table folders (
            id int primary key, parent_id int, deleted boolean not null default false
        );
        create index on folders (parent_id);
        insert into folders values (1, null, false), (2, null, true);
    """,
    spec=GuardSpec(
        *("folders", ("parent_id",), "folders", ("id",)), parent_live="not deleted"
    ),
    insert="insert into folders (id, parent_id) values (11, 1)",
    insert_dead="insert into folders (id, parent_id, deleted) values (12, 2, true)",
    insert_orphan="insert into folders (id, parent_id) values (13, 2)",
    bury="update folders set deleted = true where id = 11",
    revive_dead="update folders set deleted = false where id = 12",
    end="update folders set deleted = true where id = 1",
    parents="p.id = c.parent_id and not p.deleted",
    child="folders",
)
ENUM = World(
    tables="""
        create type state as enum ('open', 'paid');
        create table customers (id int primary key);
        create table invoices (id serial primary key, customer_id int, state state
            not null default 'open');
        insert into customers values (1);
    """,
    spec=GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)), live="state <> 'paid'"
    ),
    insert=PLAIN.insert,
    insert_dead="insert into invoices (customer_id, state) values (9, 'paid')",
    insert_orphan=PLAIN.insert_orphan,
    bury="update invoices set state = 'paid' where customer_id = 1",
    revive_dead="update invoices set state = 'open' where customer_id = 9",
    end="delete from customers where id = 1",
    parents="p.id = c.customer_id",
)
WORLDS = {
    "live children": PLAIN,
    "both sides": BOTH,
    "all children of live parents": ALL_CHILDREN,
    "composite, with blanks and capitals": COMPOSITE,
    "self-reference": SELF,
    "an enumeration": ENUM,
}

every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def run(connection: Connection, sql: Any) -> None:
    connection.execute(sql)


def make(connection: Connection, world: World) -> None:
    run(connection, world.tables)


def state(connection: Connection, *specs: GuardSpec) -> Any:
    return status(connection, *specs)["guard"]


def files(connection: Connection) -> Any:
    return rows(
        connection,
        "select oid, relfilenode from pg_class where relkind = 'r' "
        "and relnamespace <> 'pg_catalog'::regnamespace order by oid",
    )


def orphans_of(connection: Connection, world: World) -> int:
    """Live children of no live parent, said without the guard's own words."""
    sql: Any = (
        f"select count(*) from {world.child} c where ({world.spec.live or 'true'}) "
        f"and c.{first_of(world)} is not null and not exists ("
        f"select from {parent_of(world)} p where {world.parents})"
    )
    return int(scalar(connection, sql))


def first_of(world: World) -> str:
    return f'"{world.spec.columns[0]}"'


def parent_of(world: World) -> str:
    return ".".join(f'"{part}"' for part in world.spec.parent.split("."))


def refused(connection: Connection, sql: Any) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as refusal:
        connection.execute(sql)
    assert str(refusal.value.diag.constraint_name).startswith("sexton_guard_")


def spec(live: str = "not deleted", parent_live: str = "") -> GuardSpec:
    """The guard of invoices to customers."""
    return GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live=live,
        parent_live=parent_live,
    )
