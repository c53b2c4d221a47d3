"""Apply: making a plan's changes, all of them or none, and proving the cure.

A plan of up to SMALL rows is made in one transaction. A larger one is made in batches
that take about BATCH_SECONDS each: all or nothing each, one after the other, and counted
in the journal, so that a run that was killed goes on where it stopped.
"""

import contextlib
import datetime
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from psycopg.pq import TransactionStatus

from checks import Check, all_checks
from toolkit import changes, guards, journal
from toolkit.changes import Change, Writer
from toolkit.database import Connection, scalar, transact
from toolkit.errors import Busy, Refused, RepairIncomplete
from toolkit.locks import REPAIR, lock_election
from toolkit.plans import Action, Plan
from toolkit.repair import ELECTION, identity, settle, with_followers
from toolkit.schema import require_models, visible_revision
from toolkit.simulation import Simulation

SMALL = 2_000  # rows that one transaction may hold locked
BATCH_SECONDS = 0.2  # how long others may have to wait for a row
FIRST_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 1_000, 100, 5_000
LOOK = 10_000  # rows compared at once before the first change
NAMED = 10  # rows that a message names; how many more there are is said

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """What applying a plan did.

    `run` is its number in the journal, None for an empty plan. `rows` counts all of the
    run, `resumed` those that an earlier, broken attempt had made. `already` says that the
    whole plan had been made before. `left` counts what the plan's checks find now.
    """

    plan: str
    run: int | None
    rows: int
    resumed: int = 0
    already: bool = False
    left: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The document that `apply --format json` prints."""
        return {
            "plan": self.plan,
            "run": self.run,
            "rows": self.rows,
            "resumed": self.resumed,
            "already": self.already,
            "left": self.left,
        }


def apply_plan(
    connection: Connection,
    plan: Plan,
    *,
    actor: str | None = None,
    progress: Progress | None = None,
) -> Made:
    """Make a plan's changes, journal them, and prove that they cured.

    Inside a transaction of the caller's, everything happens in that one. Outside, a small
    plan has one transaction, a large one a transaction for each batch. A plan that was
    made before is not made again; one that was broken off goes on.

    Raises Refused for another database, an expired or stale plan (naming the rows that
    moved), one that was taken back, a guard, or a constraint; Busy where another repair
    runs; RepairIncomplete where a check still finds a row that was repaired: then nothing
    is kept of a small plan, and all of a large one, which `undo` takes back.
    """
    guards.refuse_standby(connection)
    require_models(connection)
    _require_same_database(connection, plan)
    guards.refuse_unlifted(plan.guards)
    if not plan.actions:
        return Made(plan.id, None, 0)
    with only_repair(connection):
        earlier = journal.run_of_plan(connection, plan.id)
        if earlier and earlier["undone_by"]:
            raise Refused(
                f"this plan was made in run {earlier['run']} and taken back in run "
                f"{earlier['undone_by']}",
                hint="make a new plan: sexton repair",
            )
        if earlier and earlier["finished"]:
            return Made(plan.id, earlier["run"], earlier["rows"], already=True)
        _require_valid(plan)
        guards.refuse_unlifted(
            guards.of_tables(connection, plan.actions, plan.options.get("allow", ()))
        )
        if earlier or len(plan.actions) > SMALL:
            made = _make_large(connection, plan, earlier, actor, progress)
        else:
            made = transact(connection, lambda: _make_small(connection, plan, actor))
    return made


@contextlib.contextmanager
def only_repair(connection: Connection) -> Iterator[None]:
    """Hold the lock that one repair, apply or undo has at a time; raises Busy."""
    inside = connection.info.transaction_status == TransactionStatus.INTRANS
    # Across the transactions of a large plan only the session can hold a lock.
    if inside:
        taken = scalar(connection, "select pg_try_advisory_xact_lock(%s)", REPAIR)
    else:
        taken = scalar(connection, "select pg_try_advisory_lock(%s)", REPAIR)
    if not taken:
        raise Busy("another repair of this database is running", hint="sexton history")
    try:
        yield
    finally:
        if not inside and not connection.closed and not connection.broken:
            scalar(connection, "select pg_advisory_unlock(%s)", REPAIR)


def _require_same_database(connection: Connection, plan: Plan) -> None:
    here = identity(connection)
    for name, value in plan.database.items():
        # What the planning role, or this one, may not know cannot be compared.
        if value is not None and here.get(name) is not None and value != here[name]:
            raise Refused(
                f"the plan was made for another database: {plan.database['name']}, "
                f"{name} {value}; this is {here['name']}, {name} {here[name]}",
                hint="check --url, or make a plan for this database: sexton repair",
            )
    at = visible_revision(connection)
    if plan.revision is not None and at != plan.revision:
        raise Refused(
            f"the plan was made at revision {plan.revision}, and the database is at {at}",
            hint="make a new plan: sexton repair",
        )


def _require_valid(plan: Plan) -> None:
    if datetime.datetime.now(datetime.UTC) > plan.expires_at:
        raise Refused(
            f"the plan expired at {plan.expires_at:%Y-%m-%d %H:%M} UTC",
            hint="make a new plan: sexton repair",
        )


def _steps(actions: Iterable[Action], *, after: int = 0) -> Iterator[Change]:
    """The plan's actions as changes, numbered from 1; those up to `after` are done."""
    for step, action in itertools.islice(enumerate(actions, 1), after, None):
        before = {column: pair[0] for column, pair in action.change.items()}
        later = {column: pair[1] for column, pair in action.change.items()}
        yield Change(
            step=step,
            check=action.check,
            table=action.table,
            key=action.key,
            before=before if action.kind != "insert" else None,
            after=later if action.kind != "delete" else None,
            why=action.why,
        )


def _begin(connection: Connection, plan: Plan, actor: str | None, *, finished: bool) -> int:
    return journal.begin_run(
        connection,
        "repair",
        actor=actor,
        plan=plan.id,
        options={**plan.options, "digest": plan.digest, "rows": len(plan.actions)},
        finished=finished,
    )


def _make_small(connection: Connection, plan: Plan, actor: str | None) -> Made:
    lock_election(connection)
    settle(connection)
    run = _begin(connection, plan, actor, finished=True)
    _make(Writer(connection, run), _steps(plan.actions), "nothing was changed")
    left = prove(connection, plan)
    return Made(plan.id, run, len(plan.actions), left=left)


def _make(writer: Writer, steps: Iterable[Change], kept: str) -> None:
    """Make changes, or raise Refused naming the rows that moved."""
    for group in changes.of_one_shape(steps):
        for part in _parts(group, LARGEST_BATCH):
            if missed := writer.make(part):
                raise _stale(missed, kept)


def _parts(group: list[Change], size: int) -> Iterator[list[Change]]:
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _stale(missed: list[Change], kept: str) -> Refused:
    names = [f"{c.table} {_name(c.key)}" for c in missed[:NAMED]]
    more = f" and {len(missed) - NAMED:,} more" if len(missed) > NAMED else ""
    return Refused(
        f"moved since the plan was made: {', '.join(names)}{more}; {kept}",
        hint="make a new plan and look at it again: sexton repair",
    )


def _name(key: dict[str, Any]) -> str:
    return " ".join(f"{column}={value}" for column, value in key.items())


def _make_large(
    connection: Connection,
    plan: Plan,
    earlier: dict[str, Any] | None,
    actor: str | None,
    progress: Progress | None,
) -> Made:
    run: int | None = earlier["run"] if earlier else None
    resumed = done = journal.last_step(connection, run) if run else 0
    total = len(plan.actions)
    _refuse_moved(connection, plan, done)
    for batch in sized(_steps(plan.actions, after=done)):
        made = partial(_make_batch, connection, plan, batch, run, actor)
        run = transact(connection, made)
        done += len(batch)
        if progress:
            progress(done, total)
    assert run is not None, "a large plan has a batch"
    left = transact(connection, partial(_finish, connection, plan, run))
    return Made(plan.id, run, total, resumed=resumed, left=left)


def _make_batch(
    connection: Connection,
    plan: Plan,
    batch: list[Change],
    run: int | None,
    actor: str | None,
) -> int:
    lock_election(connection)
    settle(connection)
    kept = "nothing was changed"
    if run is None:
        run = _begin(connection, plan, actor, finished=False)
    else:
        kept = (
            f"{batch[0].step - 1:,} of {len(plan.actions):,} rows were changed before, "
            f"in run {run} (to take them back: sexton undo {run})"
        )
    _make(Writer(connection, run), batch, kept)
    return run


def _finish(connection: Connection, plan: Plan, run: int) -> dict[str, int]:
    settle(connection)
    left = prove(connection, plan, run=run)
    journal.finish_run(connection, run)
    return left


def _refuse_moved(connection: Connection, plan: Plan, done: int) -> None:
    """Look at all rows before the first is changed: a stale plan changes nothing."""
    # A row that the plan changes twice is, the second time, as the first left it.
    known: set[tuple[str, str]] = set()
    twice = len({action.check for action in plan.actions}) > 1

    def fresh(steps: Iterable[Change]) -> Iterator[Change]:
        for change in steps:
            if twice:
                place = (change.table, json.dumps(change.key, sort_keys=True))
                if place in known:
                    continue
                known.add(place)
            yield change

    with connection.transaction():
        settle(connection)
        for group in changes.of_one_shape(fresh(_steps(plan.actions, after=done))):
            for part in _parts(group, LOOK):
                if missed := changes.moved(connection, part):
                    kept = "nothing was changed" if not done else f"{done:,} rows were"
                    raise _stale(missed, kept)


def sized(steps: Iterable[Change]) -> Iterator[list[Change]]:
    """Batches that take about BATCH_SECONDS each, by how long the last one took.

    A promotion stays with what made it necessary, so that no batch ends without default.
    """
    waiting = iter(steps)
    ahead = next(waiting, None)
    size = FIRST_BATCH
    while ahead is not None:
        batch = [ahead]
        ahead = next(waiting, None)
        while ahead is not None and (len(batch) < size or ahead.check in ELECTION):
            batch.append(ahead)
            ahead = next(waiting, None)
        started = time.perf_counter()
        yield batch
        taken = max(time.perf_counter() - started, 0.001)
        wanted = int(len(batch) * min(BATCH_SECONDS / taken, 2))
        size = max(SMALLEST_BATCH, min(wanted, LARGEST_BATCH))


def prove(connection: Connection, plan: Plan, *, run: int | None = None) -> dict[str, int]:
    """Run the plan's checks again; return how many findings each has left.

    Raises RepairIncomplete where one of them still finds a row that the plan repaired.
    """
    repaired: dict[str, set[str]] = {}
    for action in plan.actions:
        known = all_checks()[action.check]
        keys = repaired.setdefault(action.check, set())
        if action.table == known.table:
            keys.add(_identity(action.key))
    simulation = Simulation(connection)  # of nothing: the tables as they are
    left: dict[str, int] = {}
    unsolved = {skip.check for skip in plan.skipped}
    for check in with_followers(all_checks()[name] for name in repaired):
        if simulation.absent(check):
            continue
        found = simulation.find(check)
        if found:
            left[check.name] = len(found)
        keys = repaired.get(check.name, set())
        again = [row for row in found if _found(check, row) in keys]
        if not check.key and check.name not in unsolved:
            again = found
        if again:
            kept = f"run {run} stands: sexton undo {run}" if run else "nothing was kept"
            raise RepairIncomplete(
                f"{check.name} still finds {len(again):,} rows that were repaired; {kept}",
                hint=f"look at them: sexton audit {check.name}",
            )
    return left


def _identity(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True, default=str)


def _found(check: Check, row: dict[str, Any]) -> str:
    return _identity({name: row[name] for name in check.key})
