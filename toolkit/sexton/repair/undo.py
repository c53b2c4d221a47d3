"""Undo: taking a run back, as far as its rows still are as it left them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sexton import journal
from sexton.catalog.relations import require_writable
from sexton.catalog.tables import Table, read_tables
from sexton.check import Check
from sexton.database import Connection, rows, settings
from sexton.errors import Refused
from sexton.journal import schema_changes as schema_journal
from sexton.postgres.session import ROWS
from sexton.project import all_checks
from sexton.repair import safety, trust
from sexton.repair.batches import Progress, repair_lock, run_job
from sexton.repair.cascades import CASCADES, REFERENCED, reachable
from sexton.repair.plan import Action, ActionGroup, Kind
from sexton.repair.reversal import Reversal, UndoResult
from sexton.text.printable import count_rows

__all__ = ["UndoResult", "lost_by", "undo_run"]


def undo_run(
    connection: Connection,
    run: int,
    *,
    actor: str | None = None,
    allow: Collection[str] = (),
    progress: Progress | None = None,
    known: Mapping[str, Check] | None = None,
) -> UndoResult:
    """Restore the rows of a run, the last one first, where nobody has touched them since.

    Rows that moved are left alone and listed. The undo is a run itself, and can be
    undone. Transactions are as in `apply_plan`; an undo that was interrupted goes on.

    Raises NotFound for an unknown run; Refused for one that was undone, of which no row is
    as it was left, or whose journal is not to be trusted, and for a safety limit; Busy
    where another repair runs.
    """
    known = all_checks() if known is None else known
    safety.refuse_standby(connection)
    with repair_lock(connection):
        undone = journal.get_run(connection, run)
        earlier = _begun(connection, undone)
        if earlier is None:
            _require_whole(connection, undone)
        job = prepare(connection, undone, actor=actor, allow=allow, known=known)
        return run_job(connection, job, earlier, progress)


def prepare(
    connection: Connection,
    undone: Mapping[str, Any],
    *,
    actor: str | None = None,
    allow: Collection[str] = (),
    known: Mapping[str, Check] | None = None,
) -> Reversal:
    """A run's reversal, if its journal is to be trusted; raises Refused. Reads only."""
    known = all_checks() if known is None else known
    run = undone["run"]
    of_rows = undone["rows"] and undone["options"].get("undo") is True
    back = schema_journal.way_back(undone)
    if back and not of_rows:
        what = "rows with the schema" if undone["rows"] else "the schema and no row"
        history = f"sexton history {run}"
        if undone["rows"] and back != history:
            back += f"; its rows as they were: {history}"
        raise Refused(f"run {run} changed {what}: no undo reverts it", hint=back)
    if not undone["rows"]:
        raise Refused(f"run {run} changed no row", hint="sexton history")
    touchable = trust.touchable_tables(known)
    there = _read(connection, undone, touchable, of_rows=bool(of_rows))
    with connection.transaction(), settings(connection, ROWS):
        tables, touched = trust.read_touched(connection, undone, touchable, there)
        groups = [_group(row) for row in touched]
        by_name = {row["name"]: tables[row["schema"], row["name"]] for row in touched}
        require_writable(table.relation for table in by_name.values())
        gone = _gone(connection, undone, touched)
        limits = safety.of_tables(connection, by_name, groups, gone, allow)
        # A row that others refer to is left and listed; the rest is reverted.
        # Rows that the run inserted are the table's own, and no heir's.
        ignored = (REFERENCED, safety.INHERITED)
        limits = [limit for limit in limits if limit.limit not in ignored]
        limits += trust.table_limits(undone, touched, allow)
        limits += trust.writer_limit(connection, undone, touched, allow)
        trust.require_rights(connection, touched)
    safety.refuse_unlifted(limits)
    allowed = {(row["schema"], row["name"]): row["allowed"] for row in touched}
    lost = lost_by(connection, undone)
    lost += [limit.saw for limit in limits if limit.limit == CASCADES]
    return Reversal(
        connection,
        undone,
        tables,
        allowed,
        actor,
        lost,
        writes=safety.events(by_name, groups),
        triggers=safety.TRIGGERS in allow,
        cascades=CASCADES in allow,
        back=back,
    )


def _read(
    connection: Connection,
    undone: Mapping[str, Any],
    touchable: dict[str, set[str]],
    *,
    of_rows: bool,
) -> dict[str, Table]:
    """The tables that may be written, by name; adds those that are not declared.

    They are reached by foreign keys, or, if the run is `of_rows` that a revision changed,
    belong to the role that wrote it.
    """
    there = read_tables(connection, touchable)
    reached = reachable(connection, [table.relation.oid for table in there.values()])
    more = {name: set(columns or ()) for name, columns in reached.values()}
    if of_rows:
        with connection.transaction(), settings(connection, ROWS):
            more |= trust.recorded_tables(connection, undone)
    for declared, table in list(there.items()):
        columns = more.pop(f"{table.relation.schema}.{table.relation.name}", None)
        if columns == set():
            touchable[declared] = set()
        elif columns and touchable[declared]:
            touchable[declared] |= columns
    if more:
        found = read_tables(connection, more)
        touchable |= {name: more[name] for name in found}
        there |= found
    return there


def _gone(
    connection: Connection,
    undone: Mapping[str, Any],
    touched: Sequence[Mapping[str, Any]],
) -> list[Action]:
    """The rows that the undo deletes, for they were inserted."""
    if not any(row["inserted"] for row in touched):
        return []
    found = rows(
        connection,
        """
        select c.table_name as name, c.key, c.after
        from sexton.changes c
        where c.run = %s::pg_catalog.int8 and c.before is null
        """,
        undone["run"],
    )
    return [
        Action(
            "",
            row["name"],
            row["key"],
            {column: [value, None] for column, value in row["after"].items()},
            "",
            "delete",
        )
        for row in found
    ]


def lost_by(connection: Connection, run: Mapping[str, Any]) -> list[str]:
    """What no undo of a run brings back, a sentence each. Reads only."""
    withheld = rows(
        connection,
        """
        select c.table_name as "table", w.name, pg_catalog.count(*) as rows
        from sexton.changes c
        cross join lateral pg_catalog.unnest(c.withheld) as w (name)
        where c.run operator(pg_catalog.=) %s::pg_catalog.int8
        group by c.table_name, w.name
        order by c.table_name, w.name
        """,
        run["run"],
    )
    said = [str(sentence) for sentence in run["lost"]]
    for row in withheld:
        said.append(
            f"{row['name']} of {count_rows(row['rows'])} of {row['table']} is a secret, "
            "and not in the journal"
        )
    return said


def _begun(connection: Connection, undone: Mapping[str, Any]) -> int | None:
    """The undo of this run that was interrupted, if there is one."""
    by = undone["undone_by"]
    if by is None or journal.get_run(connection, by)["finished"]:
        return None
    return int(by)


def _require_whole(connection: Connection, undone: dict[str, Any]) -> None:
    run, by = undone["run"], undone["undone_by"]
    if by is not None:
        after = journal.get_run(connection, by)["undone_by"]
        again = f", and run {after} undid that" if after else ""
        raise Refused(
            f"run {run} was undone by run {by}{again}", hint=f"sexton undo {after or by}"
        )
    if undone["kind"] == "undo" and not undone["finished"]:
        undoes = undone["options"].get("undoes")
        raise Refused(
            f"run {run} was interrupted", hint=f"finish it first: sexton undo {undoes}"
        )


def _group(row: Mapping[str, Any]) -> ActionGroup:
    """What the undo does to a table, for the safety limits."""
    kind: Kind = "update"
    if row["inserted"]:
        kind = "delete"
    elif row["deleted"]:
        kind = "insert"
    columns = tuple(row["changed"] or ()) if kind == "update" else ()
    return ActionGroup("", row["name"], kind, (), columns, row["rows"])
