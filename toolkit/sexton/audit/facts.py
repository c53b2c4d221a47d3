"""Facts: what the catalogs say about the tables and references that checks read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sexton.audit import reference_facts
from sexton.audit.rewrites import Seen, seen
from sexton.catalog.relations import SAFE_PATH, Relation, named, quoted, resolve
from sexton.catalog.schema import UNRECORDED, VERSIONS
from sexton.check import Check
from sexton.database import Connection, rows, settings

TABLES = """
    with wanted as (
        select t.oid, true as found
        from pg_catalog.unnest(%s::pg_catalog.oid[]) as t (oid)
        union all
        -- The path leaves out schemas that this role may not enter: hidden is not absent.
        select c.oid, false
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relname::pg_catalog.text = any (%s::pg_catalog.text[])
          and c.relkind::pg_catalog.text = any (array['r', 'p', 'v', 'm', 'f'])
          and not pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text)
          and case n.nspname::pg_catalog.text
                when current_user::pg_catalog.text then '$user'::pg_catalog.text
                else n.nspname::pg_catalog.text
              end = any (pg_catalog.regexp_split_to_array(
                  pg_catalog.replace(
                      pg_catalog.current_setting('search_path'::pg_catalog.text),
                      '"'::pg_catalog.text, ''::pg_catalog.text
                  ),
                  ' *, *'::pg_catalog.text
              ))
    )
    select
        c.oid::pg_catalog.int8 as oid,
        n.nspname::pg_catalog.text as schema,
        c.relname::pg_catalog.text as name,
        c.reltuples as rows,
        c.relpages as pages,
        current_user::pg_catalog.text as role,
        pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text) as entered,
        coalesce(
            pg_catalog.array_agg(a.attname::pg_catalog.text order by a.attnum)
                filter (where a.attnum is not null),
            '{}'
        ) as columns,
        coalesce(
            pg_catalog.array_agg(a.attname::pg_catalog.text order by a.attnum)
                filter (where pg_catalog.has_column_privilege(
                    c.oid, a.attnum, 'select'::pg_catalog.text
                )),
            '{}'
        ) as readable
    from wanted w
    join pg_catalog.pg_class c on c.oid = w.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_attribute a
      on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    group by c.oid, n.oid, n.nspname, c.relname, c.reltuples, c.relpages
"""


@dataclass(frozen=True)
class Table:
    """A table as the catalogs know it, and what `role` may do with it.

    `sql` is its whole name; the number of rows is an estimate. `entered` tells whether
    the role may use its schema.
    """

    sql: str
    rows: float
    pages: int
    columns: tuple[str, ...]
    readable: frozenset[str]
    entered: bool = True
    role: str = ""

    @property
    def query(self) -> str:
        """A query for all that this role may read of it."""
        shown = "*"
        if not self.readable.issuperset(self.columns):
            shown = ", ".join(quoted(name) for name in self.columns if self.can(name))
        return f"select {shown} from {self.sql}"  # noqa: S608 - a quoted name

    def can(self, *columns: str) -> bool:
        """Whether this role may read these columns; all it needs, where there are none."""
        return self.entered and bool(self.readable) and self.readable.issuperset(columns)

    def grants(self) -> str:
        """What to type so that this role may read it."""
        schema = self.sql.rpartition('."')[0]
        lines = [f"grant select on table {self.sql} to {quoted(self.role)}"]
        if not self.entered:
            lines.insert(0, f"grant usage on schema {schema} to {quoted(self.role)}")
        return "; ".join(lines)


@dataclass(frozen=True)
class Facts:
    """What the catalogs say about the tables and references of some checks."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    relations: Mapping[str, Relation] = field(default_factory=dict)
    references: Mapping[str, reference_facts.ReferenceFacts] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)

    def roots(self, checks: Iterable[Check]) -> set[int]:
        """The oids of the tables that checks read."""
        return {
            self.relations[name].oid
            for check in checks
            for name in check.reads
            if name in self.relations
        }

    def names(self, oids: Collection[int]) -> set[str]:
        """What the checks call these tables."""
        return {name for name, found in self.relations.items() if found.oid in oids}

    def exposed(self, check: Check) -> dict[str, str]:
        """The queries that stand behind the names of a check's tables."""
        queries = {}
        for name in check.reads:
            if table := self.tables.get(name):
                queries[name] = table.query
            elif name in check.fallbacks:
                queries[name] = check.fallbacks[name]
        return queries

    def absent(self, check: Check) -> str | None:
        """The table or column, or what else, without which the check cannot look."""
        if check.absent:
            return check.absent
        for name, needed in check.reads.items():
            if name not in self.tables:
                if name in check.fallbacks:
                    continue
                how = f"; {UNRECORDED}" if name == VERSIONS else ""
                return f"there is no table {name}{how}"
            if missing := sorted(set(needed) - set(self.tables[name].columns)):
                return f"{name} has no column {', '.join(missing)}"
        return None

    def barred(self, check: Check) -> str | None:
        """Why the check's tables are not read, and what to type about it."""
        for name in check.reads:
            if name in self.relations and (refused := self.relations[name].refusal()):
                return f"not looked at: {refused.message}; {refused.hint}"
        barred = {
            name: self.tables[name]
            for name, needed in check.reads.items()
            if name in self.tables and not self.tables[name].can(*needed)
        }
        if not barred:
            return None
        grants = "; ".join(table.grants() for table in barred.values())
        return f"permission denied for table {', '.join(barred)}: {grants}"

    def scope(self, check: Check) -> str:
        """What the check looks at: its table, about how many rows, and what is absent."""
        table = self.tables.get(check.table)
        said = check.table
        if table and table.rows > 0:
            said += f", about {table.rows:,.0f} rows"
        absent = [name for name in check.fallbacks if name not in self.tables]
        return said + (f", absent: {', '.join(absent)}" if absent else "")


def read_facts(connection: Connection, selected: Sequence[Check]) -> Facts:
    """Ask the catalogs about everything the checks read, in the caller's transaction."""
    facts = read_tables(connection, selected)
    with settings(connection, {"search_path": SAFE_PATH}):
        return read_references(connection, facts, selected)


def read_tables(connection: Connection, selected: Sequence[Check]) -> Facts:
    """The tables that the checks' names mean on the caller's search path."""
    read = {table for check in selected for table in check.reads}
    # Catalog queries name tables without reading from them.
    meant = {name for check in selected for name in named(check.find)}
    names = sorted(read | meant)
    found = resolve(connection, names, judged=False)
    oids = [relation.oid for relation in found.values()]
    lost = [name for name in names if name not in found]
    answer = rows(connection, TABLES, oids, lost)
    by_oid = {row["oid"]: row for row in answer}
    by_name = {row["name"]: row for row in answer if not row["entered"]}
    tables = {}
    for name in names:
        row = by_oid[found[name].oid] if name in found else by_name.get(name)
        if row:
            tables[name] = Table(
                sql=f"{quoted(row['schema'])}.{quoted(row['name'])}",
                rows=row["rows"],
                pages=row["pages"],
                columns=tuple(row["columns"]),
                readable=frozenset(row["readable"]),
                entered=row["entered"],
                role=row["role"],
            )
    return Facts(tables, relations=found)


def read_references(
    connection: Connection, facts: Facts, selected: Sequence[Check]
) -> Facts:
    """The same facts with those of the references; on a search path that is safe."""
    asked = {
        check.name: (check.table, ref)
        for check in selected
        if (ref := check.reference or check.joins)
        and not (facts.absent(check) or facts.barred(check))
    }
    known = reference_facts.facts(connection, asked.values(), facts.relations)
    found = {name: known[pair] for name, pair in asked.items() if pair in known}
    return replace(facts, references=found, seen=seen(connection, facts.relations.values()))
