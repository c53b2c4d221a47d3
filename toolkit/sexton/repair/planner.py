"""Repair: a plan that says every change before it is made. Planning reads only."""

import datetime
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from sexton.check import Check, Severity
from sexton.database import Connection, rows, scalar, set_local, to_sexton_error
from sexton.errors import Incomplete, UsageError
from sexton.project import all_checks, current
from sexton.repair import safety as guards
from sexton.repair.plan import VALIDITY, Action, Options, Plan, Skip
from sexton.repair.simulation import Simulation
from sexton.schema import visible_revision

# References to models come before names, for a placeholder needs one; names before
# orphans, for a misspelt one makes an orphan; orphans before the default, or one of them
# might be chosen; settings and queue after that; what is purged comes last. Tombstones'
# times stand before the orphans, which they do not touch, so that an orphan's end and
# the promotion that follows it are neighbours.
ORDER = (
    "chat_without_model",
    "message_without_model",
    "provider_name_unknown",
    "tombstone_half_set",
    "model_without_provider",
    "orphaned_default",
    "default_ambiguous",
    "default_missing",
    "override_dangling",
    "advisor_dangling",
    "computer_use_provider_missing",
    "personal_override_dangling",
    "queued_message_without_model",
    "threshold_dangling",
    "user_key_unusable",
    "provider_stub",
    "tombstone_unreferenced",
)
# Their repairs follow the loss of a default, and must commit together with it.
ELECTION = ("orphaned_default", "default_ambiguous", "default_missing")

SKIPS = 100  # listed for each check; how many more there are is said
STATEMENT_TIMEOUT = "60s"


def plan_repair(
    connection: Connection, selected: Sequence[Check], options: Options | None = None
) -> Plan:
    """Say what to change, row by row, and why. Reads only; a standby will do.

    Call it in a transaction, best in `snapshot(connection)`: a plan from two moments
    contradicts itself. Each repair is planned as if the ones before it were made.

    Raises UsageError for options that make no sense, WrongSchema without the tables,
    Refused where row security may hide rows, and Incomplete where a check could not
    look, for half a picture is no plan. Guards do not raise: the plan lists them, and
    whoever makes it refuses (`guards.refuse_unlifted`).
    """
    options = options or Options()
    current().require(connection)
    settle(connection)
    chosen = with_followers(selected)
    _require_unsafe(chosen, options)
    simulation = Simulation(connection)
    chosen = [check for check in chosen if not simulation.absent(check)]
    guards.refuse_hidden_rows(connection, {table for c in chosen for table in c.reads})
    actions: list[Action] = []
    for check in chosen:
        with _looking(check):
            for action in _actions(simulation, check, options):
                simulation.add(action)
                actions.append(action)
    skipped: list[Skip] = []
    for check in chosen:
        with _looking(check):
            skipped += _skips(simulation, check, options)
    made_at = datetime.datetime.now(datetime.UTC)
    return Plan(
        id=str(uuid.uuid4()),
        database=identity(connection),
        revision=visible_revision(connection),
        made_at=made_at,
        expires_at=made_at + VALIDITY,
        options=json.loads(json.dumps(asdict(options))),
        guards=guards.of_plan(connection, actions, chosen, options),
        actions=actions,
        skipped=skipped,
    )


def settle(connection: Connection) -> None:
    """Set a transaction's limits: no endless query, no hidden row, no compiler."""
    set_local(connection, "statement_timeout", STATEMENT_TIMEOUT)
    set_local(connection, "row_security", "off")
    set_local(connection, "jit", "off")


def with_followers(selected: Iterable[Check]) -> list[Check]:
    """The checks to repair, in order, and those whose repair must follow."""
    chosen: dict[str, Check] = {}
    known = all_checks()
    waiting = list(selected)
    while waiting:
        check = waiting.pop()
        chosen[check.name] = check
        waiting.extend(known[name] for name in check.followed_by if name not in chosen)
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(chosen.values(), key=lambda c: (places.get(c.name, len(ORDER)), c.name))


def identity(connection: Connection) -> dict[str, Any]:
    """Which database this is: its name and oid, and the cluster's system identifier.

    The identifier is None where this role may not read it.
    """
    [found] = rows(
        connection,
        """
        select
            datname as name,
            oid::bigint as oid,
            has_function_privilege('pg_control_system()', 'execute') as readable
        from pg_catalog.pg_database where datname = current_database()
        """,
    )
    identifier = None
    if found.pop("readable"):
        identifier = str(
            scalar(connection, "select system_identifier from pg_control_system()")
        )
    return {**found, "system_identifier": identifier}


class _looking:
    """Turns a check's failure to look into Incomplete."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.ProgrammingError):
            raise Incomplete(
                f"{self.check.name} could not look: {to_sexton_error(error).message}",
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
                f"--unsafe {name} allows nothing: its repair loses nothing",
                hint=f"sexton explain {name}",
            )


def _allowed(check: Check, options: Options) -> bool:
    if check.data_loss is not None:
        return check.name in options.unsafe
    return not check.opt_in or check.name in options.named


def _actions(simulation: Simulation, check: Check, options: Options) -> Iterator[Action]:
    if not _allowed(check, options):
        return
    if check.repair_row:
        mended = map(check.repair_row, simulation.query(check, check.find))
        found = [row for row in mended if row is not None]
    else:
        found = simulation.query(check, check.repair) if check.repair else []
    for row in found:
        action = Action(check=check.name, **row)
        if current().secrets & set(action.change):
            raise RuntimeError(f"the repair of {check.name} would let a secret out")
        if not simulation.has(action.table, action.change):
            continue  # an older schema: what is left is listed
        if action.kind == "update":
            pending = simulation.pending(action)
            if any(
                pending.get(column) == "now" != pair[1]
                for column, pair in action.change.items()
            ):
                continue  # what it will be by then is not known before
            change = {
                column: pair
                for column, pair in action.change.items()
                # An earlier change of the same row has set it to the time of the deed.
                if not (pending.get(column) == pair[1] == "now")
            }
            action = Action(
                action.check, action.table, action.key, change, action.why, action.kind
            )
        yield action


def _skips(simulation: Simulation, check: Check, options: Options) -> Iterator[Skip]:
    """What the check would still find after all planned changes."""
    named = check.name in options.named
    if check.severity is Severity.INFO and not named:
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
