"""Foreign keys that reach further: what else a deletion deletes, changes, or meets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from sexton.catalog.relations import column_names, quoted
from sexton.database import Connection, rows, scalar
from sexton.postgres.enforced import ENFORCED
from sexton.text.printable import count_rows, printable

DOES = {"c": "deleted", "n": "set to null", "d": "set to their default"}


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key, and what it does when the row that it refers to is deleted."""

    oid: int
    name: str
    child: str  # its whole name, quoted, as in a statement with parameters
    child_oid: int
    columns: tuple[str, ...]
    parent: str  # its whole name, quoted
    parent_oid: int
    target: tuple[str, ...]
    action: str  # pg_constraint.confdeltype: c, n, d, a or r
    on_update: str  # pg_constraint.confupdtype
    emptied: tuple[str, ...]  # the columns that an action n or d sets
    operators: tuple[str, ...]  # that compare a target with a column, for each pair
    child_schema: str
    child_name: str

    @property
    def shown(self) -> str:
        """The child and the key as a sentence names them."""
        named = self.child_name
        if self.child_schema != "public":
            named = f"{self.child_schema}.{named}"
        return printable(f"{named} through the foreign key {self.name}")

    def same(self, parent: str, child: str) -> str:
        """The condition that the aliases are rows that belong together."""
        return " and ".join(
            f"{parent}.{_name(target)} {operator} {child}.{_name(column)}"
            for target, operator, column in zip(
                self.target, self.operators, self.columns, strict=True
            )
        )

    def reaches(self, table: str, count: int, verb: str = "deleting from") -> str:
        """What a change of the table that it refers to does to rows, in words."""
        return f"{verb} {printable(table)} would reach {count_rows(count)} of {self.shown}"

    def refuses(self, table: str, count: int, what: str = "would be deleted") -> str:
        """How many rows keep those of the table as they are, in words."""
        refer = "refers" if count == 1 else "refer"
        who = f"{count_rows(count)} of {self.shown} {refer}"
        return f"{who} to rows of {printable(table)} that {what}"

    def reached(self, parents: str) -> str:
        """The condition that the row `this` of the child refers to one of a query's."""
        return f"exists (select from ({parents}) as gone where {self.same('gone', 'this')})"


# Every foreign key that refers to rows of `relations`: to the tables, to partitioned ones
# that they are part of, and to their own parts. If it is to `follow`, also those that refer
# to rows which a key would delete with theirs.
KEYS: LiteralString = f"""
    with recursive family as (
        select r.oid as relation, r.oid as member, 0 as way
        from pg_catalog.unnest(%(relations)s::pg_catalog.oid[]) as r (oid)
        union
        select n.relation, n.member, n.way
        from family f
        cross join lateral (
            select f.relation, i.inhparent as member, 1 as way
            from pg_catalog.pg_inherits i where i.inhrelid = f.member and f.way <> 2
            union all
            select f.relation, i.inhrelid, 2
            from pg_catalog.pg_inherits i where i.inhparent = f.member and f.way <> 1
            union all
            select k.conrelid, k.conrelid, 0
            from pg_catalog.pg_constraint k
            where %(follow)s
              and k.confrelid = f.member
              and k.contype = 'f'::pg_catalog."char"
              and k.confdeltype = 'c'::pg_catalog."char"
              and k.conparentid = 0::pg_catalog.oid
              and {ENFORCED}
        ) n
    )
    select
        k.oid::pg_catalog.int8 as oid,
        k.conname::pg_catalog.text as name,
        pg_catalog.format(
            '%%I.%%I'::pg_catalog.text, cn.nspname::pg_catalog.text,
            c.relname::pg_catalog.text
        ) as child,
        k.conrelid::pg_catalog.int8 as child_oid,
        {column_names("k.conrelid", "k.conkey")} as columns,
        pg_catalog.format(
            '%%I.%%I'::pg_catalog.text, pn.nspname::pg_catalog.text,
            p.relname::pg_catalog.text
        ) as parent,
        f.relation::pg_catalog.int8 as parent_oid,
        {column_names("k.confrelid", "k.confkey")} as target,
        k.confdeltype::pg_catalog.text as action,
        k.confupdtype::pg_catalog.text as on_update,
        -- Those of SET NULL (column, ...), which came with PostgreSQL 15.
        array(
            select a.attname::pg_catalog.text
            from pg_catalog.pg_attribute a
            where a.attrelid = k.conrelid
              and a.attnum::pg_catalog.text = any (array(
                  select pg_catalog.jsonb_array_elements_text(
                      coalesce(
                          nullif(pg_catalog.jsonb_extract_path(
                              pg_catalog.to_jsonb(k), 'confdelsetcols'
                          ), 'null'::pg_catalog.jsonb),
                          pg_catalog.to_jsonb(k.conkey)
                      )
                  )
              ))
            order by a.attnum
        ) as emptied,
        array(
            select pg_catalog.format(
                'operator(%%I.%%s)'::pg_catalog.text, n.nspname, o.oprname
            )
            from pg_catalog.unnest(k.conpfeqop) with ordinality as e (oid, ordinal)
            join pg_catalog.pg_operator o on o.oid = e.oid
            join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
            order by e.ordinal
        ) as operators,
        cn.nspname::pg_catalog.text as child_schema,
        c.relname::pg_catalog.text as child_name
    from (select distinct relation, member from family) f
    join pg_catalog.pg_constraint k on k.confrelid = f.member
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
    join pg_catalog.pg_class p on p.oid = f.relation
    join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
    where k.contype = 'f'::pg_catalog."char"
      and k.conparentid = 0::pg_catalog.oid
      and {ENFORCED}
    order by k.conname, k.oid, f.relation
"""  # noqa: S608 - names of the catalogs


def referring(connection: Connection, *relations: int, follow: bool = False) -> list[Key]:
    """The foreign keys by which rows refer to those of relations. Reads only.

    With `follow`, also those that refer to rows which such a key deletes.
    """
    found = rows(connection, KEYS, relations=list(relations), follow=follow)
    return [key_of(row) for row in found]


def key_of(row: Mapping[str, Any]) -> Key:
    """A row of `KEYS` as a key."""
    listed = ("columns", "target", "emptied")
    return Key(
        **{
            **row,
            **{name: tuple(row[name]) for name in listed},
            "operators": tuple(o.replace("%", "%%") for o in row["operators"]),
            **{name: row[name].replace("%", "%%") for name in ("child", "parent")},
        }
    )


def count_reached(
    connection: Connection,
    keys: Collection[Key],
    relation: int,
    where: str,
    parameters: Mapping[str, Any],
) -> list[tuple[Key, int]]:
    """How many rows each key would reach, were the rows of a relation deleted.

    `where` says which rows, in SQL over the alias `this`. A key is followed once, so rows
    that two paths reach are counted for the first. Reads only.
    """
    found: list[tuple[Key, int]] = []
    seen: set[int] = set()
    paths = [
        (key, f"select this.* from {key.parent} this where {where}")  # noqa: S608
        for key in keys
        if key.parent_oid == relation
    ]
    for key, parents in paths:
        if key.oid in seen:
            continue
        seen.add(key.oid)
        children = f"select this.* from {key.child} this where {key.reached(parents)}"  # noqa: S608
        query: Any = f"select pg_catalog.count(*) from ({children}) reached"  # noqa: S608
        if count := scalar(connection, query, **parameters):
            found.append((key, count))
            if key.action == "c":
                paths += [(k, children) for k in keys if k.parent_oid == key.child_oid]
    return found


def _name(column: str) -> str:
    return quoted(column).replace("%", "%%")
