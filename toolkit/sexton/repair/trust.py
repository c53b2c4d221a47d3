"""Trust: what a run's journal may say, for whoever can write into it is not believed.

A row of the journal says which table, which columns and which values, never SQL; and only
what the project declares that Sexton writes is written again.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sexton.catalog.tables import Table
from sexton.check import Check
from sexton.database import Connection, rows, scalar
from sexton.errors import Incomplete, Refused
from sexton.journal.images import JSON_NULLS
from sexton.postgres.privileges import unable
from sexton.project import current
from sexton.repair import proposals
from sexton.repair.plan import Limit
from sexton.text.printable import printable

WRITER = "writer"
TABLE = "table"
HISTORY = "sexton history {run}"

TOUCHED = """
    select
        c.table_schema as schema, c.table_name as name,
        c.before is null as inserted, c.after is null as deleted,
        pg_catalog.max(c.relation::pg_catalog.int8) as relation,
        pg_catalog.count(distinct c.relation) as relations,
        pg_catalog.count(*) as rows,
        pg_catalog.array_agg(distinct k.name) filter (where k.name is not null) as columns,
        pg_catalog.array_agg(distinct k.name) filter (where k.changed) as changed
    from sexton.changes c
    left join lateral (
        select e.name, b.value is distinct from a.value as changed
        from (
            select pg_catalog.jsonb_object_keys(c.before) as name
            union select pg_catalog.jsonb_object_keys(c.after)
            union select pg_catalog.jsonb_object_keys(c.key)
        ) e
        cross join lateral (
            values (c.before operator(pg_catalog.->) e.name)
        ) as b (value)
        cross join lateral (values (c.after operator(pg_catalog.->) e.name)) as a (value)
    ) k on true
    where c.run = %s::pg_catalog.int8
    group by c.table_schema, c.table_name, c.before is null, c.after is null
    order by c.table_schema, c.table_name, inserted, deleted
"""


def read_touched(
    connection: Connection,
    run: Mapping[str, Any],
    touchable: Mapping[str, set[str]],
    by_name: Mapping[str, Table],
) -> tuple[dict[tuple[str | None, str], Table], list[dict[str, Any]]]:
    """The tables of a run by schema and name, and what it did to which columns of them.

    `touchable` are the tables that may be written, with their columns, and `by_name` those
    of them that are there. Reads only, on a search path that is safe.

    Raises Refused where a row was written by another role or in another transaction, for
    a table or column that nothing declared writes, and for one that is gone.
    """
    number = run["run"]
    _require_one_writer(connection, run)
    found = rows(connection, TOUCHED, number)
    tables: dict[tuple[str | None, str], Table] = {}
    for row in found:
        name, table = _meant(number, row, touchable, by_name)
        if row["inserted"] and row["deleted"]:
            raise Refused(
                f"run {number} says of a row of {printable(name)} neither what it was nor "
                "what it became: Sexton writes no such entry",
                hint="no option lifts this; " + HISTORY.format(run=number),
            )
        tables[row["schema"], row["name"]] = table
        row["columns"] = [c for c in row["columns"] or () if c != JSON_NULLS]
        row["allowed"], row["oid"] = touchable[name], table.relation.oid
        _require_columns(number, row, table, touchable[name])
    return tables, found


def _meant(
    number: int,
    row: Mapping[str, Any],
    touchable: Mapping[str, set[str]],
    by_name: Mapping[str, Table],
) -> tuple[str, Table]:
    """The declared table that the journal speaks of, and its name."""
    shown, hint = printable(row["name"]), HISTORY.format(run=number)
    here = [e for e in by_name.items() if e[1].relation.name == row["name"]]
    if not here and row["name"] not in {n.rpartition(".")[2] for n in touchable}:
        raise Refused(
            f"run {number} says that it changed {shown}, and nothing that is declared here "
            "changes that table: somebody else wrote the journal, or a project or a check "
            "that is not loaded",
            hint=hint,
        )
    for name, table in here:
        if row["schema"] in (None, table.relation.schema):
            return name, table
    where = f"in the schema {printable(row['schema'])}" if row["schema"] else "there"
    there = "that table is gone"
    if here:
        there = f"here it is the one in {printable(here[0][1].relation.schema)}"
    raise Refused(
        f"run {number} changed {shown} {where}; {there}",
        hint=f"check --url and search_path; what was there, says {hint}",
    )


def _require_columns(
    number: int, row: Mapping[str, Any], table: Table, allowed: set[str]
) -> None:
    shown, hint = printable(row["name"]), HISTORY.format(run=number)
    if gone := [c for c in row["columns"] if c not in table.columns]:
        raise Refused(
            f"run {number} changed {shown}, which has no column {printable(gone[0])} any "
            "more: the schema moved on, and the rows cannot come back as they were",
            hint=hint,
        )
    changed = set(row["changed"] or ()) - {JSON_NULLS}
    wrong = changed - allowed
    # A trigger may have set a column of its own beside ours: that one is left as it is.
    if not (row["inserted"] or row["deleted"]) and allowed and wrong and wrong == changed:
        raise Refused(
            f"run {number} says that it changed {printable(min(wrong))} of {shown}, and "
            "nothing that is declared here changes that column",
            hint=hint,
        )


def _require_one_writer(connection: Connection, run: Mapping[str, Any]) -> None:
    strangers = rows(
        connection,
        """
        select c.step, c.role
        from sexton.changes c
        join sexton.runs r on r.run = c.run
        where r.run = %s::pg_catalog.int8
          and (
              coalesce(c.role, r.role) <> r.role
              or (not r.batched and c.txid is distinct from r.txid)
          )
        order by c.step
        limit 1
        """,
        run["run"],
    )
    for row in strangers:
        raise Refused(
            f"step {row['step']} of run {run['run']} was not written by that run: the role "
            f"{printable(str(row['role']))} added it afterwards",
            hint="no option lifts this; " + HISTORY.format(run=run["run"]),
        )


def touchable_tables(known: Mapping[str, Check]) -> dict[str, set[str]]:
    """The tables that Sexton may write, with their columns; an empty set means all."""
    found: dict[str, set[str]] = {}
    whole = {n for n, columns in current().writable.items() if not columns}
    for name, columns in current().writable.items():
        found.setdefault(name, set()).update(columns)
    for check in known.values():
        for target in proposals.targets(check):
            found.setdefault(target.table, set()).update(target.columns)
            found[target.table].add(current().updated_at)
    if declared := current().declared:  # by `sexton delete`
        for name, written in declared.deletable().items():
            found.setdefault(name, set()).update(written, {current().updated_at})
            if not written:
                whole.add(name)
    for name in whole:
        found[name] = set()
    return found


def writer_limit(
    connection: Connection,
    run: Mapping[str, Any],
    touched: Iterable[Mapping[str, Any]],
    allow: Collection[str],
) -> list[Limit]:
    """The limit that the role which recorded a run may not make its changes. Reads only.

    Who may write the journal and not the tables could otherwise have them written by
    whoever undoes the run. This session's own role gains nothing by that.
    """
    role = str(run["role"])
    if role == scalar(connection, "select session_user::text"):
        return []
    return [
        Limit(
            WRITER,
            f"run {run['run']} was recorded by the role {printable(role)}, which may not "
            f"{what}",
            f"--allow-{WRITER}",
            lifted=WRITER in allow,
        )
        for what in unable(connection, role, _needs(touched))
    ]


def table_limits(
    run: Mapping[str, Any], touched: Iterable[Mapping[str, Any]], allow: Collection[str]
) -> list[Limit]:
    """The limit that a run changed other tables than those that now have their names."""
    return [
        Limit(
            TABLE,
            f"run {run['run']} changed a table {printable(row['name'])} with the oid "
            f"{row['relation']}, and the table of that name has the oid {row['oid']}: it "
            "was put in its place, or the database was restored from a dump",
            f"--allow-{TABLE}",
            lifted=TABLE in allow,
        )
        for row in touched
        if row["relation"] is not None
        and (row["relations"] > 1 or row["relation"] != row["oid"])
    ]


def recorded_tables(
    connection: Connection, run: Mapping[str, Any]
) -> Mapping[str, set[str]]:
    """The tables of a run that its role owns, or a superuser wrote: it may change them all.

    For the rows that a revision changed, which no project file has to declare.
    """
    found = rows(
        connection,
        """
        select distinct c.table_schema as schema, c.table_name as name
        from sexton.changes c
        join pg_namespace n on n.nspname::text = c.table_schema
        join pg_class t on t.relnamespace = n.oid and t.relname::text = c.table_name
        join pg_roles r on r.rolname::text = %s
        where c.run = %s and pg_has_role(r.oid, t.relowner, 'usage')
        """,
        str(run["role"]),
        run["run"],
    )
    return {f"{row['schema']}.{row['name']}": set() for row in found}


def require_rights(connection: Connection, touched: Iterable[Mapping[str, Any]]) -> None:
    """Raise Incomplete if this role may not undo a run's changes."""
    if what := unable(connection, None, _needs(touched, back=True)):
        role = scalar(connection, "select current_user::text")
        raise Incomplete(
            f"the role {printable(role)} may not {what[0]}; nothing was changed",
            hint="a repairer may: sexton grants repairer --to ROLE",
        )


def _needs(
    touched: Iterable[Mapping[str, Any]], *, back: bool = False
) -> list[tuple[int, str, list[str]]]:
    """The rights that a run's changes took, or take to undo: table, kind and columns."""
    needs = []
    for row in touched:
        changed = set(row["changed"] or ()) - {JSON_NULLS}
        changed &= row["allowed"] or changed
        kind = "update"
        if row["inserted"] or row["deleted"]:
            kind = "delete" if row["inserted"] == back else "insert"
        needs.append((row["oid"], kind, sorted(changed) if kind == "update" else []))
    return needs
