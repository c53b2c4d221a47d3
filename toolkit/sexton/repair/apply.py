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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from psycopg.pq import TransactionStatus

from sexton import journal
from sexton.check import Check
from sexton.database import Connection, scalar, transact
from sexton.errors import Busy, Refused, RepairIncomplete
from sexton.locks import REPAIR
from sexton.project import all_checks, current
from sexton.repair import changes
from sexton.repair import safety as guards
from sexton.repair.changes import Block, Shape, Writer
from sexton.repair.plan import ActionGroup, Plan
from sexton.repair.planner import ELECTION, identity, settle, with_followers
from sexton.repair.simulation import Simulation
from sexton.schema import visible_revision

SMALL = 2_000  # rows that one transaction may hold locked
BATCH_SECONDS = 0.2  # how long others may have to wait for a row
FIRST_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 1_000, 100, 10_000
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
    current().require(connection)
    _require_same_database(connection, plan)
    guards.refuse_unlifted(plan.guards)
    if not plan.actions:
        return Made(plan.id, None, 0)
    with repair_lock(connection):
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
        allow = plan.options.get("allow", ())
        guards.refuse_unlifted(
            guards.of_tables(connection, plan.stretches, plan.actions, allow)
        )
        if earlier or len(plan.actions) > SMALL:
            made = _make_large(connection, plan, earlier, actor, progress)
        else:
            made = transact(connection, lambda: _make_small(connection, plan, actor))
    return made


@contextlib.contextmanager
def repair_lock(connection: Connection) -> Iterator[None]:
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


# How a line of the plan says a row's key, before and after.
PLANNED = """(
    select
        %(first)s - 1 + place as step,
        action ->> 'why' as why,
        action -> 'key' as key,
        action
    from jsonb_array_elements(%(actions)s::jsonb) with ordinality as a (action, place)
)"""


def _block(stretch: ActionGroup, first: int, lines: list[str]) -> Block:
    columns = tuple(stretch.columns)
    return Block(
        Shape(
            check=stretch.check,
            table=stretch.table,
            kind=stretch.kind,
            key=tuple(stretch.key),
            before=columns if stretch.kind != "insert" else (),
            after=columns if stretch.kind != "delete" else (),
        ),
        first=first,
        count=len(lines),
        source=PLANNED,
        where=("action", "key", "{}"),
        old=("action", "change", "{}", "0"),
        new=("action", "change", "{}", "1"),
        parameters={"first": first, "actions": f"[{','.join(lines)}]"},
    )


Size = Callable[[], int]


def _batches(plan: Plan, size: Size, *, after: int = 0) -> Iterator[list[Block]]:
    """The plan's rows from step `after + 1` on, in batches of about `size()` rows.

    A promotion stays with what made it necessary, so that no batch ends without default.
    """
    lines = plan.action_lines()
    step = 0
    batch: list[Block] = []
    room = size()
    for stretch in plan.stretches:
        end = step + stretch.rows
        skipped = min(max(after - step, 0), stretch.rows)
        step += sum(1 for _ in itertools.islice(lines, skipped))
        together = stretch.check in ELECTION
        while step < end:
            if room <= 0 and not together:
                yield batch
                batch, room = [], size()
            wanted = min(end - step, LARGEST_BATCH if together else room)
            block = _block(stretch, step + 1, list(itertools.islice(lines, wanted)))
            batch.append(block)
            step += block.count
            room -= block.count
    if batch:
        yield batch


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
    current().before_write(connection)
    settle(connection)
    run = _begin(connection, plan, actor, finished=True)
    writer = Writer(connection, run)
    for batch in _batches(plan, lambda: LARGEST_BATCH):
        for block in batch:
            _make(writer, block, "nothing was changed")
    left = prove(connection, plan)
    return Made(plan.id, run, len(plan.actions), left=left)


def _make(writer: Writer, block: Block, kept: str) -> None:
    """Make a block's changes, or raise Refused naming the rows that moved."""
    if missed := writer.make(block):
        raise _stale(block, missed, kept)


def _stale(block: Block, missed: list[int], kept: str) -> Refused:
    actions = json.loads(block.parameters["actions"])
    keys = [actions[step - block.first]["key"] for step in missed[:NAMED]]
    names = ", ".join(f"{block.shape.table} {_name(key)}" for key in keys)
    more = f" and {len(missed) - NAMED:,} more" if len(missed) > NAMED else ""
    return Refused(
        f"moved since the plan was made: {names}{more}; {kept}",
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
    pace = Pace()
    for batch in _batches(plan, pace.size, after=done):
        rows = sum(block.count for block in batch)
        with pace.of(rows):
            made = partial(_make_batch, connection, plan, batch, run, actor)
            run = transact(connection, made)
        done += rows
        if progress:
            progress(done, total)
    assert run is not None, "a large plan has a batch"
    left = transact(connection, partial(_finish, connection, plan, run))
    return Made(plan.id, run, total, resumed=resumed, left=left)


def _make_batch(
    connection: Connection,
    plan: Plan,
    batch: list[Block],
    run: int | None,
    actor: str | None,
) -> int:
    current().before_write(connection)
    settle(connection)
    kept = "nothing was changed"
    if run is None:
        run = _begin(connection, plan, actor, finished=False)
    else:
        kept = (
            f"{batch[0].first - 1:,} of {len(plan.actions):,} rows were changed before, "
            f"in run {run} (to take them back: sexton undo {run})"
        )
    writer = Writer(connection, run)
    for block in batch:
        _make(writer, block, kept)
    return run


def _finish(connection: Connection, plan: Plan, run: int) -> dict[str, int]:
    settle(connection)
    left = prove(connection, plan, run=run)
    journal.finish_run(connection, run)
    return left


def _refuse_moved(connection: Connection, plan: Plan, done: int) -> None:
    """Look at all rows before the first is changed: a stale plan changes nothing.

    A row that an earlier check's repair changes as well is not as the plan says before
    that is made, so only the first check of each table is looked at; the statements that
    change the rows look at all of them.
    """
    first: dict[str, str] = {}
    for stretch in plan.stretches:
        first.setdefault(stretch.table, stretch.check)
    kept = f"{done:,} rows were changed before" if done else "nothing was changed"
    with connection.transaction():
        settle(connection)
        for batch in _batches(plan, lambda: LOOK, after=done):
            for block in batch:
                if block.shape.check != first[block.shape.table]:
                    continue
                if missed := changes.moved(connection, block):
                    raise _stale(block, missed, kept)


class Pace:
    """How many rows a transaction takes, by how long the last one took."""

    def __init__(self) -> None:
        self._rows = FIRST_BATCH

    def size(self) -> int:
        """The number of rows to take next."""
        return self._rows

    @contextlib.contextmanager
    def of(self, rows: int) -> Iterator[None]:
        """Time a transaction of so many rows."""
        started = time.perf_counter()
        yield
        taken = max(time.perf_counter() - started, 0.001)
        wanted = int(rows * min(BATCH_SECONDS / taken, 2))
        self._rows = max(SMALLEST_BATCH, min(wanted, LARGEST_BATCH))


def prove(connection: Connection, plan: Plan, *, run: int | None = None) -> dict[str, int]:
    """Run the plan's checks again; return how many findings each has left.

    Raises RepairIncomplete where one of them still finds a row that the plan repaired.
    """
    simulation = Simulation(connection)  # of nothing: the tables as they are
    repaired = {stretch.check for stretch in plan.stretches}
    unsolved = {skip.check for skip in plan.skipped}
    left: dict[str, int] = {}
    for check in with_followers(all_checks()[name] for name in sorted(repaired)):
        found = [] if simulation.absent(check) else simulation.find(check)
        if not found:
            continue
        left[check.name] = len(found)
        own = {stretch.table for stretch in plan.stretches if stretch.check == check.name}
        if check.key and own == {check.table}:
            cured = {
                _identity(action.key)
                for action in plan.actions
                if action.check == check.name
            }
            again = [row for row in found if _found(check, row) in cured]
        else:  # what it repaired is no row it finds: the plan left nothing to find
            again = [] if check.name in unsolved else found
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
