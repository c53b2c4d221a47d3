"""Grants: what each role needs on a database, derived from what the project declares.

An *auditor* reads what the checks read. A *repairer* does that, and writes what repairs
and the project's own commands write, and the journal. A *deployer* changes the schema: it
acts as the owner of the tables. What PUBLIC may do already is left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sexton.catalog.relations import SAFE_PATH, Relation, quoted, search_path
from sexton.catalog.schema import VERSION_SCHEMA, VERSIONS
from sexton.catalog.tables import Table, read_tables
from sexton.check import Check
from sexton.database import Connection, rows, scalar, settings
from sexton.project import Project
from sexton.text.printable import printable

AUDITOR, DEPLOYER, REPAIRER = "auditor", "deployer", "repairer"
KINDS = (AUDITOR, DEPLOYER, REPAIRER)
JOURNAL = ("sexton.runs", "sexton.changes")
CLOSING = ("finished", "undone_by", "lost")  # what a run's row gets after it was written


@dataclass(frozen=True)
class Grant:
    """One statement, without its semicolon, and what it is for."""

    sql: str
    why: str


@dataclass(frozen=True)
class Grants:
    """What a kind of role needs; `notes` are what no GRANT can say."""

    kind: str
    role: str
    database: str
    grants: tuple[Grant, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The document that `sexton grants --format json` prints."""
        return {
            "kind": self.kind,
            "role": self.role,
            "database": self.database,
            "grants": [{"sql": grant.sql, "why": grant.why} for grant in self.grants],
            "notes": list(self.notes),
        }


def needed(connection: Connection, project: Project, kind: str, role: str) -> Grants:
    """What `role`, which need not be there yet, needs here for a kind of work.

    Reads the catalogs alone. Raises Refused where a table's name is ambiguous.
    """
    checks = project.checks.values()
    reads = {table for check in checks for table in check.reads}
    writes = written(checks, project.writable)
    names = {VERSIONS, *reads}
    if kind != AUDITOR:
        names |= {*writes, *JOURNAL}
    tables = read_tables(connection, names)
    home = next((n for n in search_path(connection) if not n.startswith("pg_")), "public")
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        to = _To(connection, role)
        if kind == DEPLOYER:
            _deploy(to, tables, home)
        else:
            _read(to, tables)
        if kind == REPAIRER:
            _write(to, tables, writes)
        if kind != DEPLOYER:
            _row_security(to, tables)
    return Grants(kind, role, to.database, tuple(to.grants), tuple(to.notes))


def written(
    checks: Iterable[Check], writable: Mapping[str, Iterable[str]]
) -> dict[str, set[str]]:
    """Which columns of which tables repairs and the project's own commands write.

    The column `*` says that rows are made or removed.
    """
    found = {table: set(columns) for table, columns in writable.items()}
    for check in checks:
        for repair in check.repairs:
            table = getattr(repair, "table", "") or check.table
            columns = getattr(repair, "set", None) or getattr(repair, "columns", None)
            found.setdefault(table, set()).update(columns or {"*"})
    return found


def _name(*parts: str) -> str:
    """A name as it stands in SQL; what a terminal would obey is escaped."""
    return ".".join(
        quoted(part) if printable(part) == part else _escaped(part) for part in parts
    )


def _escaped(part: str) -> str:
    shown = "".join(
        c if c.isascii() and c.isprintable() and c not in '\\"' else f"\\+{ord(c):06x}"
        for c in part
    )
    return f'U&"{shown}"'


def _table(relation: Relation) -> str:
    return f"table {_name(relation.schema, relation.name)}"


class _To:
    """Collects what is granted to one role, each statement once."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.role = _name(name)
        self.grants: list[Grant] = []
        self.notes: list[str] = []
        self.database = str(scalar(connection, "select pg_catalog.current_database()"))
        self._on("database", self.database, "connect", "to be here at all")

    def _add(self, sql: str, why: str) -> None:
        if sql not in [known.sql for known in self.grants]:
            self.grants.append(Grant(sql, why))

    def grant(self, what: str, why: str) -> None:
        """A privilege, or membership in a role."""
        self._add(f"grant {what} to {self.role}", why)

    def join(self, owner: str, why: str) -> None:
        """Membership in another role."""
        if owner != self.name:
            self.grant(_name(owner), why)

    def own(self, what: str, why: str) -> None:
        """Ownership of what belongs to a superuser, in whom nobody is made a member."""
        self._add(f"alter {what} owner to {self.role}", why)

    def make(self, schema: str, why: str) -> None:
        """A schema of its own: less than the right to make any."""
        self._add(f"create schema {_name(schema)} authorization {self.role}", why)

    def schema(self, name: str, privilege: str, why: str) -> None:
        """A privilege on a schema."""
        self._on("schema", name, privilege, why)

    def table(self, relation: Relation, privilege: str, why: str) -> None:
        """A privilege on a table, and the way into its schema."""
        self.schema(relation.schema, "usage", "to reach its tables")
        public = scalar(
            self.connection,
            "select pg_catalog.has_table_privilege("
            "'public'::pg_catalog.name, %s::pg_catalog.oid, %s::pg_catalog.text)",
            relation.oid,
            privilege,
        )
        if not public:
            self.grant(f"{privilege} on {_table(relation)}", why)

    def _on(self, kind: str, name: str, privilege: str, why: str) -> None:
        query: Any = (
            f"select pg_catalog.has_{kind}_privilege('public'::pg_catalog.name, "
            "%s::pg_catalog.text, %s::pg_catalog.text)"
        )
        if not scalar(self.connection, query, name, privilege):
            self.grant(f"{privilege} on {kind} {_name(name)}", why)


def _in_order(tables: Mapping[str, Table]) -> Iterator[tuple[str, Table]]:
    """First the project's tables, then Sexton's own; by name."""
    yield from sorted(tables.items(), key=lambda item: ("." in item[0], item[0]))


def _read(to: _To, tables: Mapping[str, Table]) -> None:
    for name, table in _in_order(tables):
        if name not in JOURNAL:
            why = "the revision" if name == VERSIONS else "checks read it"
            to.table(table.relation, "select", why)


def _write(
    to: _To, tables: Mapping[str, Table], writes: Mapping[str, Iterable[str]]
) -> None:
    for name, table in _in_order(tables):
        columns = set(writes.get(name, ()))
        if not columns:
            continue
        to.table(table.relation, "select", "what is written is read before")
        if "*" in columns or columns.issuperset(table.key):
            for privilege in ("insert", "update", "delete"):
                to.table(table.relation, privilege, "rows are made, changed and removed")
        else:
            some = ", ".join(_name(c) for c in table.columns if c in columns)
            to.schema(table.relation.schema, "usage", "to reach its tables")
            to.grant(f"update ({some}) on {_table(table.relation)}", "columns are changed")
    for name in JOURNAL:
        if name not in tables:
            to.notes.append(
                f"there is no {name} yet: let a deployer run sexton upgrade or sexton "
                "adopt --apply, and ask again"
            )
            continue
        for privilege in ("select", "insert"):
            to.table(tables[name].relation, privilege, "the journal")
    if JOURNAL[0] in tables:
        some = ", ".join(CLOSING)
        to.grant(f"update ({some}) on table {JOURNAL[0]}", "to close a run of the journal")


ROLES = """
    select
        r.rolname::pg_catalog.text as name, r.rolsuper as superuser,
        (
            select pg_catalog.array_agg(s.name order by s.name)
            from pg_catalog.unnest(%s::pg_catalog.text[]) as s (name)
            where pg_catalog.has_schema_privilege(
                r.oid, s.name, 'create'::pg_catalog.text
            )
        ) as creates
    from pg_catalog.pg_roles r
    where r.rolname::pg_catalog.text = any (%s::pg_catalog.text[])
    order by r.rolname
"""
OWNER = """
    select pg_catalog.pg_get_userbyid(n.nspowner)::pg_catalog.text as owner
    from pg_catalog.pg_namespace n
    where n.nspname::pg_catalog.text = %s::pg_catalog.text
"""


def _deploy(to: _To, tables: Mapping[str, Table], home: str) -> None:
    own = {table.relation.schema for table in tables.values()} - {VERSION_SCHEMA}
    schemas = sorted(own or {home})
    schema_owner = scalar(to.connection, OWNER, VERSION_SCHEMA)
    owners = {table.relation.owner for table in tables.values()} | {schema_owner}
    known = rows(to.connection, ROLES, schemas, sorted(filter(None, owners)))
    superusers = {role["name"] for role in known if role["superuser"]}
    creates: set[str] = set()
    for role in known:
        if not role["superuser"]:
            creates.update(role["creates"] or ())
            to.join(role["name"], "only a table's owner may change it")
    for schema in schemas:
        if schema not in creates:
            to.schema(schema, "usage", "to reach its tables")
            to.schema(schema, "create", "tables and indexes are made in it")
    for _, table in _in_order(tables):
        if table.relation.owner in superusers:
            to.own(f"{_table(table.relation)}", "only a table's owner may change it")
    if schema_owner is None:
        to.make(VERSION_SCHEMA, "the revision and the journal lie there")
    elif schema_owner in superusers:
        to.own(f"schema {_name(VERSION_SCHEMA)}", "tables are made in it")
    to.grant(_name("pg_read_all_stats"), "to see who is in the way of a lock")


SECURED = """
    select c.oid::pg_catalog.int8 as oid
    from pg_catalog.pg_class c
    where c.oid = any (%s::pg_catalog.oid[]) and c.relrowsecurity
"""


def _row_security(to: _To, tables: Mapping[str, Table]) -> None:
    oids = [table.relation.oid for table in tables.values()]
    secured = {row["oid"] for row in rows(to.connection, SECURED, oids)}
    for _, table in _in_order(tables):
        if table.relation.oid in secured:
            to.notes.append(
                f"row security may hide rows of the {_table(table.relation)}: "
                f"alter role {to.role} bypassrls"
            )
