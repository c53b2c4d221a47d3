"""Guards: what makes a repair doubtful, and is refused unless somebody lifts it.

The catastrophe of such tools is always the same: the reference set is empty, hidden or
wrong, every row looks like an orphan, and the repair takes them all.
"""

import json
from collections.abc import Collection, Iterable
from typing import Any

from sexton.check import Check
from sexton.database import Connection, rows, scalar
from sexton.errors import Refused
from sexton.project import current
from sexton.repair.changes import quoted
from sexton.repair.plan import Action, ActionGroup, Guard, Options, stretches
from sexton.schema import column_types

# What `Options.allow` may name, and `--allow-…` on the command line.
TRIGGERS = "triggers"
CASCADES = "cascades"
EMPTY_PARENT = "empty-parent"
REVISION = "revision"
ALLOWABLE = (TRIGGERS, CASCADES, EMPTY_PARENT, REVISION)

# In a table of a handful of rows, a fraction says nothing.
HANDFUL = 10

TRIGGER_EVENTS = {"insert": 4, "delete": 8, "update": 16}  # pg_trigger.tgtype's bits


def refuse_hidden_rows(connection: Connection, tables: Iterable[str]) -> None:
    """Refuse to look at tables whose rows row security may hide from this role."""
    found = rows(
        connection,
        """
        select name, current_user as role
        from unnest(%s::text[]) as name
        where to_regclass(name) is not null and row_security_active(to_regclass(name))
        order by name
        """,
        sorted(tables),
    )
    for table in found:
        raise Refused(
            f"row security may hide rows of {table['name']} from the role "
            f"{table['role']}, and missing parents would make orphans of their children",
            hint="no option lifts this: connect as the tables' owner, "
            "or as a role with bypassrls",
        )


def refuse_standby(connection: Connection) -> None:
    """Refuse to write to a server in recovery."""
    if scalar(connection, "select pg_is_in_recovery()"):
        raise Refused(
            "this server is a standby: it cannot be written to",
            hint="no option lifts this: connect to the primary server",
        )


def of_plan(
    connection: Connection,
    actions: Collection[Action],
    checks: Iterable[Check],
    options: Options,
) -> list[Guard]:
    """The guards that a plan meets, lifted by its options or not. Reads only."""
    found = [
        *_rows(actions, options),
        *_fractions(connection, actions, options),
        *_empty_parents(connection, actions, checks, options),
        *_revision(connection, options),
    ]
    return found + of_tables(connection, stretches(actions), actions, options.allow)


def of_tables(
    connection: Connection,
    touched: Iterable[ActionGroup],
    actions: Iterable[Action],
    allow: Collection[str],
) -> list[Guard]:
    """The guards that depend on the tables: triggers and cascades. Reads only."""
    columns: dict[tuple[str, str], set[str]] = {}
    for stretch in touched:
        columns.setdefault((stretch.table, stretch.kind), set()).update(stretch.columns)
    found: list[Guard] = []
    for (table, kind), changed in columns.items():
        found += _triggers(connection, table, kind, allow)
        found += _cascades(connection, table, kind, changed, actions, allow)
    return found


def refuse_unlifted(guards: Iterable[Guard]) -> None:
    """Raise Refused for the guards that nobody lifted, naming the options that do."""
    standing = [guard for guard in guards if not guard.lifted]
    if standing:
        options = " ".join(dict.fromkeys(guard.option for guard in standing))
        raise Refused(
            "; ".join(guard.saw for guard in standing),
            hint=f"if that is as it should be, give repair (or undo) {options}",
        )


def _rows(actions: Collection[Action], options: Options) -> Iterable[Guard]:
    count, limit = len(actions), options.max_rows
    if count > Options.max_rows:
        yield Guard(
            "rows",
            f"{count:,} rows would change, and {min(limit, count):,} is the limit"
            if count > limit
            else f"{count:,} rows would change",
            f"--max-rows {count}",
            lifted=count <= limit,
        )
    elif count > limit:
        yield Guard(
            "rows",
            f"{count:,} rows would change, and {limit:,} is the limit",
            f"--max-rows {count}",
            lifted=False,
        )


def _fractions(
    connection: Connection, actions: Iterable[Action], options: Options
) -> Iterable[Guard]:
    touched: dict[str, set[str]] = {}
    for action in actions:
        if action.kind != "insert":
            keys = touched.setdefault(action.table, set())
            keys.add(json.dumps(action.key, sort_keys=True))
    for table, keys in touched.items():
        query: Any = f"select count(*) from {table}"  # noqa: S608 - a check's table
        total = int(scalar(connection, query))
        share = len(keys) / max(total, 1)
        if len(keys) > HANDFUL and share > min(Options.max_fraction, options.max_fraction):
            option = f"--max-fraction {min(1.0, int(share * 100 + 1) / 100):g}"
            yield Guard(
                "fraction",
                f"{len(keys):,} of the {total:,} rows of {table} would change: most of "
                "them, as when the rows they refer to are missing",
                option,
                lifted=share <= options.max_fraction,
            )


def _empty_parents(
    connection: Connection,
    actions: Collection[Action],
    checks: Iterable[Check],
    options: Options,
) -> Iterable[Guard]:
    repaired = {action.check for action in actions}
    parents = {c.parent for c in checks if c.name in repaired and c.parent}
    for parent in sorted(parents):
        query: Any = f"select not exists (table {parent})"
        if scalar(connection, query):
            yield Guard(
                EMPTY_PARENT,
                f"{parent} is empty, which makes an orphan of every row that refers to it",
                f"--allow-{EMPTY_PARENT}",
                lifted=EMPTY_PARENT in options.allow,
            )


def known_revisions() -> set[str]:
    """The revisions this Sexton knows, from the names of their files."""
    versions = current().migrations / "versions"
    return {path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py")}


def _revision(connection: Connection, options: Options) -> Iterable[Guard]:
    found = rows(
        connection,
        """
        select has_schema_privilege(n.oid, 'usage')
            and has_table_privilege(c.oid, 'select') as readable
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'sexton' and c.relname = 'alembic_version'
        """,
    )
    if found and not found[0]["readable"]:
        return  # this role cannot tell; whoever applies the plan will be asked again
    at = None
    if found:
        at = scalar(connection, "select version_num from sexton.alembic_version")
    if at not in known_revisions():
        saw = (
            f"the database is at revision {at}, which this Sexton does not know"
            if at
            else "the database has no revision: nobody said which schema it has"
        )
        yield Guard(REVISION, saw, f"--allow-{REVISION}", lifted=REVISION in options.allow)


def _triggers(
    connection: Connection, table: str, kind: str, allow: Collection[str]
) -> Iterable[Guard]:
    found = rows(
        connection,
        """
        select tgname as name
        from pg_catalog.pg_trigger
        where tgrelid = to_regclass(%s)
          and not tgisinternal and tgenabled in ('O', 'A')
          and (tgtype & %s) <> 0
          and tgname <> 'sexton_guard'  -- our own: it sets a column of the same row
        order by tgname
        """,
        table,
        TRIGGER_EVENTS[kind],
    )
    for trigger in found:
        yield Guard(
            TRIGGERS,
            f"the trigger {trigger['name']} on {table} fires at each {kind} and may "
            "touch other rows",
            f"--allow-{TRIGGERS}",
            lifted=TRIGGERS in allow,
        )


CASCADING_KEYS = """
    select
        k.conname as name,
        k.conrelid::regclass::text as child,
        k.confdeltype in ('c', 'n', 'd') as at_delete,
        k.confupdtype in ('c', 'n', 'd') as at_update,
        array(
            select a.attname::text from unnest(k.conkey) with ordinality u (n, place)
            join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n
            order by place
        ) as columns,
        array(
            select a.attname::text from unnest(k.confkey) with ordinality u (n, place)
            join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n
            order by place
        ) as target
    from pg_catalog.pg_constraint k
    where k.contype = 'f' and k.confrelid = to_regclass(%s)
      and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))
    order by k.conname
"""


def _cascades(
    connection: Connection,
    table: str,
    kind: str,
    changed: set[str],
    actions: Iterable[Action],
    allow: Collection[str],
) -> Iterable[Guard]:
    for key in rows(connection, CASCADING_KEYS, table):
        if kind == "delete" and key["at_delete"]:
            gone = [a for a in actions if (a.table, a.kind) == (table, "delete")]
            count = _children(connection, table, key, gone)
            if not count:
                continue
            saw = (
                f"deleting from {table} would reach {count:,} rows of {key['child']} "
                f"through the foreign key {key['name']}"
            )
        elif kind == "update" and key["at_update"] and changed & set(key["target"]):
            saw = (
                f"updating {table} may reach rows of {key['child']} "
                f"through the foreign key {key['name']}"
            )
        else:
            continue
        yield Guard(CASCADES, saw, f"--allow-{CASCADES}", lifted=CASCADES in allow)


def _children(
    connection: Connection, table: str, key: dict[str, Any], deleted: list[Action]
) -> int:
    """How many rows refer to rows that are to be deleted."""
    types = column_types(connection, table)
    values = [
        {
            f"v{place}": action.change.get(name, [action.key.get(name)])[0]
            for place, name in enumerate(key["target"])
        }
        for action in deleted
    ]
    typed = ", ".join(f"v{place} {types[name]}" for place, name in enumerate(key["target"]))
    same = " and ".join(
        f"c.{quoted(name)} = d.v{place}" for place, name in enumerate(key["columns"])
    )
    query: Any = f"""
        select count(*) from {key["child"]} c
        join jsonb_to_recordset(%s::jsonb) as d ({typed}) on {same}
    """  # noqa: S608 - names from the catalogs
    return int(scalar(connection, query, json.dumps(values)))
