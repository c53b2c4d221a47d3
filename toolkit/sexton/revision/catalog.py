"""What the database has of declared references: keys, indexes, and names in use."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sexton.catalog.relations import Relation, bind, column_names
from sexton.database import Connection, rows
from sexton.derived.keys import alike, between
from sexton.guard.predicate import in_pg_catalog
from sexton.online.keys import ACTIONS, Key
from sexton.postgres.enforced import ENFORCED
from sexton.reference import Reference
from sexton.revision.columns import table_of

LONGEST = 63  # bytes of a name
CONSTANT = ""  # among an index's columns

KEY = f"""
    select
        k.conname::pg_catalog.text as name,
        k.convalidated as valid, k.condeferrable as deferrable, k.condeferred as deferred,
        k.conparentid <> 0::pg_catalog.oid as inherited,
        k.confdeltype::pg_catalog.text as ondelete,
        k.confupdtype::pg_catalog.text as onupdate,
        k.confmatchtype = 's'::pg_catalog."char" and pg_catalog.jsonb_extract_path_text(
            pg_catalog.to_jsonb(k), 'confdelsetcols'::pg_catalog.text
        ) is null as plain,
        {ENFORCED} as enforced,
        {column_names("k.conrelid", "k.conkey")} as local_cols,
        {column_names("k.confrelid", "k.confkey")} as remote_cols
"""
INDEXES = """
    select
        i.indisunique and i.indimmediate as unique,
        pg_catalog.pg_get_expr(i.indpred, i.indrelid) as where,
        array(
            select case
                when a.attname is not null then a.attname::pg_catalog.text
                when pg_catalog.pg_get_indexdef(i.indexrelid, k.n + 1, true)
                    operator(pg_catalog.~) '^[(]?([0-9]+|true|false)[)]?$' then ''
            end
            from pg_catalog.generate_series(0, i.indnkeyatts::pg_catalog.int4 - 1) as k (n)
            left join pg_catalog.pg_attribute a
              on a.attrelid = i.indrelid
             and a.attnum = (i.indkey::pg_catalog.int2[])[k.n]
            order by k.n
        ) as columns
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_am m on m.oid = c.relam
    where i.indrelid = %s::pg_catalog.int8::pg_catalog.oid
      and i.indisvalid and i.indisready
      -- The others, such as BRIN, find no single key.
      and m.amname = any (array['btree', 'hash']::pg_catalog.name[])
    order by i.indexrelid
"""
# `plain` is what an online operation makes: equal by the columns' own collations and
# operators, checked at once, and nothing besides.
UNIQUES = """
    select
        c.relname::text as name, k.oid is not null as constraint,
        pg_get_expr(i.indpred, i.indrelid) as where,
        array(
            select pg_get_indexdef(i.indexrelid, n.n + 1, true)
            from generate_series(0, i.indnkeyatts::int4 - 1) as n (n) order by n.n
        ) as columns,
        i.indimmediate and i.indnatts = i.indnkeyatts
        and coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'false') = 'false'
        and not exists (
            select from generate_series(0, i.indnkeyatts::int4 - 1) as n (n)
            left join pg_attribute a
              on a.attrelid = i.indrelid and a.attnum = (i.indkey::int2[])[n.n]
            join pg_opclass o on o.oid = (i.indclass::oid[])[n.n]
            where not o.opcdefault or a.attcollation <> (i.indcollation::oid[])[n.n]
        ) as plain,
        exists (
            select from pg_constraint f
            where f.contype = 'f' and f.confrelid = i.indrelid and f.conindid = i.indexrelid
        ) as referred
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    left join pg_constraint k on k.conindid = i.indexrelid and k.conrelid = i.indrelid
        and k.contype = 'u'
    where i.indrelid = %s::int8::oid and i.indisunique and not i.indisprimary
      and i.indisvalid and i.indisready
    order by i.indexrelid
"""
NAMES = """
    select k.conname::pg_catalog.text as name
    from pg_catalog.pg_constraint k
    where k.conrelid = %s::pg_catalog.int8::pg_catalog.oid
    union
    select c.relname::pg_catalog.text
    from pg_catalog.pg_class t
    join pg_catalog.pg_class c on c.relnamespace = t.relnamespace
    where t.oid = %s::pg_catalog.int8::pg_catalog.oid
      and pg_catalog.starts_with(c.relname::pg_catalog.text, %s::pg_catalog.text)
"""


@dataclass(frozen=True)
class FoundKey:
    """A foreign key that is there; `plain` where an online operation can make it.

    One that is `inherited` is a partition's, and goes with the partitioned table's.
    """

    key: Key
    valid: bool
    enforced: bool
    plain: bool
    inherited: bool


@dataclass(frozen=True)
class FoundIndex:
    """A valid index that is there; its columns hold CONSTANT, and None for expressions."""

    unique: bool
    where: str | None
    columns: tuple[str | None, ...]

    def leads(self, columns: Iterable[str]) -> bool:
        """Whether rows are found by these columns."""
        wanted = set(columns)
        return self.where is None and set(self.columns[: len(wanted)]) == wanted

    def identifies(self, columns: Iterable[str]) -> bool:
        """Whether a foreign key may refer to these columns."""
        wanted = set(columns)
        whole = self.where is None and len(self.columns) == len(wanted)
        return self.unique and whole and set(self.columns) == wanted


@dataclass(frozen=True)
class FoundUnique:
    """A valid unique index that is there, with its columns as SQL.

    `constraint` says that it belongs to a constraint of its name, `referred` that a foreign
    key refers to it, and `plain` that an online operation can make it.
    """

    name: str
    constraint: bool
    where: str | None
    columns: tuple[str, ...]
    plain: bool
    referred: bool


def keys(
    connection: Connection, ref: Reference, relations: Mapping[str, Relation]
) -> list[FoundKey]:
    """The foreign keys over a reference's columns, by name."""
    query = f"{KEY} {between(ref)} {alike(ref)} order by k.conname"
    with in_pg_catalog(connection):
        found = rows(connection, bind(query, relations))
    verbs = {letter: action for action, letter in ACTIONS.items()}
    tables = (table_of(ref.source.table), table_of(ref.target.table))
    return [
        FoundKey(
            Key(
                row["name"],
                *tables,
                tuple(row["local_cols"]),
                tuple(row["remote_cols"]),
                ondelete=verbs[row["ondelete"]],
                onupdate=verbs[row["onupdate"]],
                deferrable=row["deferrable"],
                initially="DEFERRED" if row["deferred"] else "IMMEDIATE",
            ),
            row["valid"],
            row["enforced"],
            row["plain"],
            row["inherited"],
        )
        for row in found
    ]


def indexes(connection: Connection, table: Relation) -> list[FoundIndex]:
    """The valid indexes of a table."""
    with in_pg_catalog(connection):
        found = rows(connection, INDEXES, table.oid)
    return [FoundIndex(row["unique"], row["where"], tuple(row["columns"])) for row in found]


def uniques(connection: Connection, table: Relation) -> list[FoundUnique]:
    """The valid unique indexes of a table, without its primary key."""
    with in_pg_catalog(connection):
        found = rows(connection, UNIQUES, table.oid)
    return [FoundUnique(**row | {"columns": tuple(row["columns"])}) for row in found]


class Names:
    """Names for what is to be made, as PostgreSQL itself gives them, and free."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.given: set[tuple[str, str]] = set()

    def free(self, table: Relation, columns: Iterable[str], suffix: str) -> str:
        """A name such as `invoices_customer_id_fkey`, in nobody's way."""
        stem = "_".join((table.name, *columns))
        with in_pg_catalog(self.connection):
            begin = _cut(stem, LONGEST // 2)
            known = rows(self.connection, NAMES, table.oid, table.oid, begin)
        taken = {(table.schema, row["name"]) for row in known} | self.given
        for number in itertools.count():
            end = f"_{suffix}{number or ''}"
            name = _cut(stem, LONGEST - len(end)) + end
            if (table.schema, name) not in taken:
                self.given.add((table.schema, name))
                return name
        raise AssertionError("unreachable")


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
