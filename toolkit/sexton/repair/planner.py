"""Repair: a plan that says every change before it is made. Planning reads only."""

import datetime
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from sexton.catalog.relations import SAFE_PATH
from sexton.catalog.schema import visible_revision
from sexton.catalog.tables import VALUE_SETTINGS, Table, read_tables
from sexton.check import Check, Rewrite, Severity, in_order
from sexton.cure import Repair
from sexton.database import Connection, rows, scalar, settings
from sexton.errors import Incomplete, UsageError
from sexton.project import all_checks, current
from sexton.repair import exact, proposals, safety
from sexton.repair.plan import VALIDITY, Action, Kind, Options, Plan, Skip
from sexton.repair.simulation import Simulation
from sexton.server_errors import to_sexton_error

SKIPS = 100  # listed for each check; how many more there are is said
READING = {
    **VALUE_SETTINGS,
    "search_path": SAFE_PATH,
    "statement_timeout": "60s",
    "row_security": "off",
    "jit": "off",
}


def plan_repair(
    connection: Connection,
    selected: Sequence[Check],
    options: Options | None = None,
    *,
    known: Mapping[str, Check] | None = None,
) -> Plan:
    """Say what to change, row by row, and why. Reads only; a standby will do.

    Call it in a transaction, best in `snapshot(connection)`: a plan from two moments
    contradicts itself. Each repair is planned as if the ones before it were made.
    `known` are all checks there are, by default the project's.

    Raises UsageError for options that make no sense, WrongSchema without the tables,
    Refused where row security may hide rows, and Incomplete where a check could not
    look, for half a picture is no plan. Safety limits do not raise: the plan lists them,
    and whoever makes it refuses (`safety.refuse_unlifted`).
    """
    options = options or Options()
    known = all_checks() if known is None else known
    chosen = with_followers(selected, known)
    if any(check.name in all_checks() for check in chosen):
        current().require(connection)
    _require_unsafe(chosen, options)
    tables = read_tables(connection, named_tables(chosen))
    revision = visible_revision(connection)
    with settings(connection, READING):
        simulation = Simulation(connection, tables)
        chosen = [check for check in chosen if not simulation.absent(check)]
        read = {name for check in chosen for name in named_tables([check])}
        safety.refuse_hidden_rows(
            connection, [tables[name] for name in sorted(read) if name in tables]
        )
        actions: list[Action] = []
        for check in chosen:
            with _failing_as_incomplete(check):
                actions += _actions(simulation, check, options)
        skipped: list[Skip] = []
        for check in chosen:
            with _failing_as_incomplete(check):
                skipped += _skips(simulation, check, options)
        limits = safety.of_plan(connection, tables, actions, chosen, options)
        made_at = datetime.datetime.now(datetime.UTC)
        return Plan(
            id=str(uuid.uuid4()),
            database=identity(connection),
            tables={
                name: {"schema": table.relation.schema, "oid": table.relation.oid}
                for name, table in sorted(tables.items())
                if name in {action.table for action in actions}
            },
            revision=revision,
            made_at=made_at,
            expires_at=made_at + VALIDITY,
            options=json.loads(json.dumps(asdict(options))),
            limits=limits,
            actions=actions,
            skipped=skipped,
        )


def named_tables(checks: Iterable[Check]) -> set[str]:
    """The tables that checks read and their repairs change, by name."""
    return {
        name
        for check in checks
        for name in (
            *check.reads,
            *(proposals.table_of(check, repair) for repair in check.repairs),
        )
    }


def with_followers(selected: Iterable[Check], known: Mapping[str, Check]) -> list[Check]:
    """The checks to repair, in order, and those whose repair must follow."""
    chosen: dict[str, Check] = {}
    waiting = list(selected)
    while waiting:
        check = waiting.pop()
        chosen[check.name] = check
        waiting.extend(known[name] for name in check.followed_by if name not in chosen)
    return [chosen[name] for name in in_order({**known, **chosen}) if name in chosen]


def identity(connection: Connection) -> dict[str, Any]:
    """Which database this is: its name and oid, and the cluster's system identifier.

    The identifier is None where this role may not read it.
    """
    [found] = rows(
        connection,
        """
        select
            d.datname::pg_catalog.text as name,
            d.oid::pg_catalog.int8 as oid,
            pg_catalog.has_function_privilege(
                'pg_catalog.pg_control_system()'::pg_catalog.text,
                'execute'::pg_catalog.text
            ) as readable
        from pg_catalog.pg_database d
        where d.datname = pg_catalog.current_database()
        """,
    )
    identifier = None
    if found.pop("readable"):
        query = "select system_identifier from pg_catalog.pg_control_system()"
        identifier = str(scalar(connection, query))
    return {**found, "system_identifier": identifier}


class _failing_as_incomplete:
    """Turns a check's failure to run into Incomplete."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.ProgrammingError):
            raise Incomplete(
                f"{self.check.name} could not be run: {to_sexton_error(error).message}",
                hint="plan without it: sexton repair CHECK...",
            ) from None


def _require_unsafe(chosen: Sequence[Check], options: Options) -> None:
    by_name = {check.name: check for check in chosen}
    for name in options.unsafe:
        if name not in by_name:
            raise UsageError(
                f"--unsafe {name} allows nothing: that check is not among those to repair",
                hint="sexton checks lists them",
            )
        if by_name[name].data_loss is None:
            raise UsageError(
                f"--unsafe {name} is not needed: the repair of that check loses nothing",
                hint="leave the option away",
            )


def _allowed(check: Check, options: Options) -> bool:
    if check.data_loss is not None:
        return check.name in options.unsafe
    return not check.opt_in or check.name in options.named


def _actions(simulation: Simulation, check: Check, options: Options) -> list[Action]:
    if not _allowed(check, options):
        return []
    actions = []
    for repair in check.repairs:
        table = simulation.tables.get(proposals.table_of(check, repair))
        wanted = proposals.columns_of(repair)
        if table is None or not wanted <= set(table.columns):
            continue  # an older schema: what is left is listed
        if current().secrets & wanted:
            raise UsageError(
                f"the repair of {check.name} would let a secret out: "
                f"{', '.join(sorted(current().secrets & wanted))}",
                hint="a repair may not write a column that the project keeps secret",
            )
        for action in _proposed(simulation, check, repair, table):
            if made := _unless_pending(simulation, action):
                simulation.add(made)
                actions.append(made)
    return actions


def _proposed(
    simulation: Simulation, check: Check, repair: Repair, table: Table
) -> Iterator[Action]:
    kind: Kind = "update"
    if isinstance(repair, Rewrite):
        raw = simulation.ask(check, proposals.escaped(check.find))
        query, made = proposals.rewrite(check, repair, table, raw)
        found = simulation.ask(check, query, {"rewritten": made}) if made else []
        why = "{new why}"
    else:
        kind, why = proposals.kind_of(repair), repair.why
        found = simulation.ask(check, proposals.query(check, repair, table))
    name = proposals.table_of(check, repair)
    seen = set()
    for row in (each["proposed"] for each in found):
        its = exact.identity(row["key"])
        if its in seen:
            continue  # two findings, and one row
        seen.add(its)
        before, after = row["before"] or {}, row["after"] or {}
        change = {c: [before.get(c), after.get(c)] for c in {**before, **after}}
        words = {k: "null" if v is None else v for k, v in row["words"].items()}
        yield Action(check.name, name, row["key"], change, why.format_map(words), kind)


def _unless_pending(simulation: Simulation, action: Action) -> Action | None:
    """The action without what earlier ones have set to the time of execution."""
    if action.kind != "update":
        return action
    pending = simulation.pending(action)
    if not pending:
        return action
    if any(pending.get(c) == "now" != pair[1] for c, pair in action.change.items()):
        return None  # what it will be by then is not known before
    change = {
        column: pair
        for column, pair in action.change.items()
        if not (pending.get(column) == pair[1] == "now")
    }
    return Action(action.check, action.table, action.key, change, action.why, action.kind)


def _skips(simulation: Simulation, check: Check, options: Options) -> Iterator[Skip]:
    """What the check would still find after all planned changes."""
    if check.severity is Severity.INFO and check.name not in options.named:
        return
    if not _allowed(check, options):
        option = f"sexton repair {check.name}"
        if check.data_loss:
            reason = (
                f"the repair loses {check.data_loss}; to do it: "
                f"{option} --unsafe {check.name}"
            )
        else:
            reason = f"the repair is made only when asked for: {option}"
    elif check.manual_action:
        reason = check.manual_action
    else:
        return
    found = simulation.find(check)
    for row in found[:SKIPS]:
        key = {name: row[name] for name in check.key}
        yield Skip(check.name, json.loads(json.dumps(key, default=str)), reason)
    if len(found) > SKIPS:
        yield Skip(check.name, {}, f"and {len(found) - SKIPS:,} more; {reason}")
