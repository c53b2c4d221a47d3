"""Safety limits: what makes a repair doubtful, and is refused unless somebody lifts it.

The catastrophe of such tools is always the same: the reference set is empty, hidden or
wrong, every row looks like an orphan, and the repair takes them all.
"""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

from sexton.catalog.relations import has_heirs
from sexton.catalog.schema import UNRECORDED
from sexton.catalog.tables import Table
from sexton.catalog.triggers import EVENTS, firing
from sexton.check import Check
from sexton.database import Connection, rows, scalar
from sexton.errors import Refused
from sexton.project import current
from sexton.repair.cascades import of_updates, reach
from sexton.repair.plan import Action, ActionGroup, Limit, Options, group
from sexton.text.exact import identity
from sexton.text.printable import printable

# What `Options.allow` may name, and `--allow-…` on the command line.
TRIGGERS = "triggers"
EMPTY_PARENT = "empty-parent"
REVISION = "revision"
INHERITED = "inherited"

# In a table of a handful of rows, a fraction says nothing.
HANDFUL = 10


def refuse_hidden_rows(connection: Connection, tables: Iterable[Table]) -> None:
    """Refuse to look at tables whose rows row security may hide from this role."""
    found = rows(
        connection,
        """
        select c.relname::pg_catalog.text as name, current_user::pg_catalog.text as role
        from pg_catalog.pg_class c
        where c.oid = any (%s::pg_catalog.oid[])
          and pg_catalog.row_security_active(c.oid)
        order by c.relname
        """,
        [table.relation.oid for table in tables],
    )
    for table in found:
        raise Refused(
            f"row security may hide rows of {printable(table['name'])} from the role "
            f"{printable(table['role'])}, and missing parents would make orphans of their "
            "children",
            hint="no option lifts this: connect as the tables' owner, "
            "or as a role with bypassrls",
        )


def refuse_standby(connection: Connection) -> None:
    """Refuse to write to a server in recovery."""
    if scalar(connection, "select pg_catalog.pg_is_in_recovery()"):
        raise Refused(
            "this server is a standby: it cannot be written to",
            hint="no option lifts this: connect to the primary server",
        )


def of_plan(
    connection: Connection,
    tables: Mapping[str, Table],
    actions: Collection[Action],
    checks: Iterable[Check],
    options: Options,
) -> list[Limit]:
    """The limits that a plan meets, lifted by its options or not. Reads only."""
    found = [
        *_rows(actions, options),
        *_fractions(connection, tables, actions, options),
        *_empty_parents(connection, tables, actions, checks, options),
        *_revision(connection, options),
    ]
    return found + of_tables(connection, tables, group(actions), actions, options.allow)


def of_tables(
    connection: Connection,
    tables: Mapping[str, Table],
    touched: Iterable[ActionGroup],
    actions: Iterable[Action],
    allow: Collection[str],
) -> list[Limit]:
    """The limits that depend on the tables: triggers and cascades. Reads only."""
    columns: dict[tuple[str, str], set[str]] = {}
    for found in touched:
        columns.setdefault((found.table, found.kind), set()).update(found.columns)
    limits: list[Limit] = []
    for (name, kind), changed in columns.items():
        table = tables[name]
        limits += _triggers(connection, table, kind, allow)
        if kind == "update":
            limits += of_updates(connection, table, name, changed, allow)
        if kind == "delete" and has_heirs(connection, table.relation):
            saw = (
                f"tables inherit from {printable(name)}: of a row of theirs that is "
                "deleted, the journal would not keep all columns"
            )
            limits.append(Limit(INHERITED, saw, "", lifted=False))
    if any(kind == "delete" for _, kind in columns):  # else a plan file is not read again
        limits += reach(connection, tables, actions, allow).limits
    return limits


def refuse_unlifted(limits: Iterable[Limit]) -> None:
    """Raise Refused for the limits that nobody lifted, naming the options that do."""
    standing = [limit for limit in limits if not limit.lifted]
    if standing:
        options = " ".join(dict.fromkeys(limit.option for limit in standing))
        hint = f"if that is as it should be, run the command again with {options}"
        if not all(limit.option for limit in standing):
            hint = "see to the rows that refer to them first, or leave that check out"
        raise Refused("; ".join(limit.saw for limit in standing), hint=hint)


def _rows(actions: Collection[Action], options: Options) -> Iterable[Limit]:
    count, limit = len(actions), options.max_rows
    if count > Options.max_rows:
        yield Limit(
            "rows",
            f"{count:,} rows would change, and {min(limit, count):,} is the limit"
            if count > limit
            else f"{count:,} rows would change",
            f"--max-rows {count}",
            lifted=count <= limit,
        )
    elif count > limit:
        yield Limit(
            "rows",
            f"{count:,} rows would change, and {limit:,} is the limit",
            f"--max-rows {count}",
            lifted=False,
        )


def _fractions(
    connection: Connection,
    tables: Mapping[str, Table],
    actions: Iterable[Action],
    options: Options,
) -> Iterable[Limit]:
    touched: dict[str, set[Hashable]] = {}
    for action in actions:
        if action.kind != "insert":
            touched.setdefault(action.table, set()).add(identity(action.key))
    for name, keys in touched.items():
        if len(keys) <= HANDFUL:
            continue
        query: Any = f"select pg_catalog.count(*) from {tables[name].relation.sql}"
        total = int(scalar(connection, query))
        share = len(keys) / max(total, 1)
        if share > min(Options.max_fraction, options.max_fraction):
            yield Limit(
                "fraction",
                f"{len(keys):,} of the {total:,} rows of {printable(name)} would change: "
                "most of them, as when the rows they refer to are missing",
                f"--max-fraction {min(1.0, int(share * 100 + 1) / 100):g}",
                lifted=share <= options.max_fraction,
            )


def _empty_parents(
    connection: Connection,
    tables: Mapping[str, Table],
    actions: Collection[Action],
    checks: Iterable[Check],
    options: Options,
) -> Iterable[Limit]:
    repaired = {action.check for action in actions}
    parents = {c.parent for c in checks if c.name in repaired and c.parent}
    for parent in sorted(parents & set(tables)):
        query: Any = f"select not exists (table {tables[parent].relation.sql})"
        if scalar(connection, query):
            yield Limit(
                EMPTY_PARENT,
                f"{printable(parent)} is empty, which makes an orphan of every row that "
                "refers to it",
                f"--allow-{EMPTY_PARENT}",
                lifted=EMPTY_PARENT in options.allow,
            )


def known_revisions() -> set[str]:
    """The revisions this Sexton knows, from the names of their files."""
    versions = current().migrations / "versions"
    return {path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py")}


def _revision(connection: Connection, options: Options) -> Iterable[Limit]:
    if not (known := known_revisions()):
        return  # a project without revisions is read as it is declared
    found = rows(
        connection,
        """
        select
            pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text)
            and pg_catalog.has_table_privilege(c.oid, 'select'::pg_catalog.text) as readable
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'sexton'::pg_catalog.name
          and c.relname = 'alembic_version'::pg_catalog.name
        """,
    )
    if found and not found[0]["readable"]:
        return  # this role cannot tell; whoever applies the plan will be asked again
    at = None
    if found:
        at = scalar(connection, "select version_num from sexton.alembic_version")
    if at not in known:
        saw = (
            f"the database is at revision {printable(at)}, which this Sexton does not know"
            if at
            else f"the database has no revision recorded: {UNRECORDED}"
        )
        yield Limit(REVISION, saw, f"--allow-{REVISION}", lifted=REVISION in options.allow)


def _triggers(
    connection: Connection, table: Table, kind: str, allow: Collection[str]
) -> Iterable[Limit]:
    oid = table.relation.oid
    for trigger in firing(connection, {oid: EVENTS[kind]}):
        if trigger.written is None:
            continue  # a key leads there: that is a limit of its own
        yield Limit(
            TRIGGERS,
            f"the trigger {trigger} fires at each {kind} and may touch other rows",
            f"--allow-{TRIGGERS}",
            lifted=TRIGGERS in allow,
        )


def events(tables: Mapping[str, Table], touched: Iterable[ActionGroup]) -> dict[int, int]:
    """Which triggers' `EVENTS` changes mean, by the oids of their tables."""
    found: dict[int, int] = {}
    for one in touched:
        oid = tables[one.table].relation.oid
        found[oid] = found.get(oid, 0) | EVENTS[one.kind]
    return found
