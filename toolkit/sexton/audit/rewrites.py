"""Rewrites: whether a table that was read is still the one that the snapshot sees.

A snapshot protects rows, not files. A table that is rewritten or truncated after the
snapshot was taken, or another one that takes its name, looks empty to it: its rows are
newer than the snapshot. A column that takes another's name looks empty, too: a statement
reads the columns that have their names now, of rows as they were. So each statement that
reads tables compares, under the locks that reading took and that last as long as the
transaction, the name, oid and file of every table, and of every partition, and the names
of its columns, with those that the snapshot sees. Who inherits from whom
can change beside these locks, and is compared once more when the snapshot has ended.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sexton.catalog.relations import Relation
from sexton.database import Connection, rows

SEEN = """
    with recursive part (root, oid, parent, link) as (
        select w.oid, w.oid, null::pg_catalog.oid, ''::pg_catalog.text
        from pg_catalog.unnest(%s::pg_catalog.oid[]) as w (oid)
        union
        select part.root, below.oid, part.oid, below.link
        from part
        cross join lateral (
            select i.inhrelid, i.xmin::pg_catalog.text
            from pg_catalog.pg_inherits i
            where i.inhparent = part.oid
            union all
            -- What a view reads.
            select d.refobjid, r.xmin::pg_catalog.text
            from pg_catalog.pg_rewrite r
            join pg_catalog.pg_class v
              on v.oid = r.ev_class and v.relkind = 'v'::pg_catalog."char"
            join pg_catalog.pg_depend d
              on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
             and d.objid = r.oid
             and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
             and d.refobjid <> r.ev_class
            where r.ev_class = part.oid
        ) as below (oid, link)
    )
    select
        part.root::pg_catalog.int8 as root,
        c.oid::pg_catalog.int8 as oid,
        part.parent::pg_catalog.int8 as parent,
        part.link,
        n.oid::pg_catalog.int8 as schema,
        pg_catalog.format('%%I.%%I'::pg_catalog.text, n.nspname, c.relname) as called,
        -- No file: a partitioned table, a view, a catalog.
        c.relfilenode::pg_catalog.int8 as file,
        case when part.parent is null then (
            select pg_catalog.json_object_agg(a.attname, a.attnum)
            from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0::pg_catalog.int2
              and not a.attisdropped
        ) end as columns
    from part
    join pg_catalog.pg_class c on c.oid = part.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""

# The functions read the catalogs as they are now, whatever the snapshot.
MOVED = """
    select m.root
    from rows from (
        unnest(%s::int8[]), unnest(%s::int8[]), unnest(%s::int8[]), unnest(%s::text[]),
        unnest(%s::int8[])
    ) as m (root, oid, schema, called, file)
    where m.file <> 0 and pg_relation_filenode(m.oid::oid::regclass)::int8
            is distinct from m.file
       or has_schema_privilege(m.schema::oid, 'usage')
          and to_regclass(m.called)::oid::int8 is distinct from m.oid
    union
    select c.root
    from rows from (
        unnest(%s::int8[]), unnest(%s::int4[]), unnest(%s::text[])
    ) as c (root, number, name)
    where (
        pg_identify_object_as_address('pg_class'::regclass, c.root::oid, c.number)
    ).object_names[3] is distinct from c.name
"""


class Moved(Exception):
    """Tables that were read are not those that the snapshot sees; by their names."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = sorted(names)
        were = "was" if len(self.names) == 1 else "were"
        super().__init__(
            f"{', '.join(self.names)} {were} rewritten, truncated or replaced while being "
            "read"
        )


@dataclass(frozen=True)
class Member:
    """A table, or a part of one, with its file as a snapshot sees it."""

    root: int
    oid: int
    schema: int
    called: str
    file: int


@dataclass(frozen=True)
class Seen:
    """What tables are made of, as a snapshot sees it; by the oid of each table.

    `links` are the rows of the catalogs that make one table a part of another, `columns`
    the numbers of each table's columns by their names.
    """

    members: Mapping[int, frozenset[Member]] = field(default_factory=dict)
    links: Mapping[int, frozenset[tuple[int, int, str]]] = field(default_factory=dict)
    columns: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def parameters(self, roots: Collection[int]) -> list[list[object]]:
        """What MOVED asks about these tables."""
        members = [one for root in roots for one in self.members.get(root, ())]
        columns = [
            (root, number, name)
            for root in roots
            for name, number in self.columns.get(root, {}).items()
        ]
        return [
            *(
                [getattr(one, name) for one in members]
                for name in ("root", "oid", "schema", "called", "file")
            ),
            *([one[n] for one in columns] for n in range(3)),
        ]


def seen(connection: Connection, relations: Collection[Relation]) -> Seen:
    """What tables are made of; asks catalogs alone, and waits for nobody's lock."""
    members: dict[int, set[Member]] = {}
    links: dict[int, set[tuple[int, int, str]]] = {}
    columns: dict[int, dict[str, int]] = {}
    for row in rows(connection, SEEN, [relation.oid for relation in relations]):
        link = row.pop("parent"), row.pop("link")
        if named := row.pop("columns"):
            columns[row["root"]] = named
        member = Member(**row)
        members.setdefault(member.root, set()).add(member)
        if link[0] is not None:
            links.setdefault(member.root, set()).add((link[0], member.oid, link[1]))
    return Seen(
        {root: frozenset(found) for root, found in members.items()},
        {root: frozenset(found) for root, found in links.items()},
        columns,
    )


def moved(connection: Connection, before: Seen, roots: Collection[int]) -> set[int]:
    """The tables that are not what the snapshot sees any more, in its own transaction."""
    found = rows(connection, MOVED, *before.parameters(roots))
    return {row["root"] for row in found}


def regrouped(before: Seen, after: Seen) -> set[int]:
    """The tables that bear another name now, or lost a part, if only for a while.

    A part that was added takes no row away.
    """

    def called(tables: Seen, root: int) -> set[str]:
        return {one.called for one in tables.members.get(root, ()) if one.oid == root}

    return {
        root
        for root in before.members
        if called(before, root) != called(after, root)
        or not before.links.get(root, frozenset()) <= after.links.get(root, frozenset())
    }
