"""Apply: making a plan's changes, all of them or none, and verifying the cure."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sexton import journal
from sexton.catalog.relations import require_writable
from sexton.catalog.tables import Table, read_tables
from sexton.catalog.triggers import named
from sexton.check import Check
from sexton.database import Connection, scalar, settings
from sexton.errors import Refused
from sexton.postgres.session import ROWS
from sexton.project import all_checks, current
from sexton.repair import admission, batches, changes, safety
from sexton.repair.aftermath import Difference, refuse_differences
from sexton.repair.batches import Progress, Size, repair_lock, run_job
from sexton.repair.cascades import CASCADES, UNKEPT
from sexton.repair.changes import SEVERAL, Block, Shape, Writer
from sexton.repair.following import with_followers
from sexton.repair.plan import ActionGroup, Plan
from sexton.repair.planner import named_tables, proposed_keys
from sexton.repair.verify import Orphans, find_orphans, verify
from sexton.text import exact
from sexton.text.printable import printable

MOVED = "moved since the plan was made"
# LOCK TABLE wants a right to the whole table.
MAY_LOCK = """
    select pg_catalog.has_table_privilege(
        %s::pg_catalog.oid, 'update, delete, truncate'::pg_catalog.text
    )
"""
COMPARED = 10_000  # rows compared at once before the first change


@dataclass(frozen=True)
class ApplyResult:
    """What applying a plan did.

    `run` is its number in the journal, None for an empty plan. `rows` counts all of the
    run, `resumed` those that an earlier, interrupted attempt had made. `already` says that
    the whole plan had been made before. `left` counts what the plan's checks find now.
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
    known: Mapping[str, Check] | None = None,
    again: str = "the same command goes on",
) -> ApplyResult:
    """Make a plan's changes, journal them, and verify that they cured.

    Inside a transaction of the caller's, everything happens in that one. Outside, a small
    plan has one transaction, a large one a transaction for each batch. A plan that was
    made before is not made again; one that was interrupted goes on. `known` are all
    checks there are; `again` is said where a large plan is interrupted.

    Raises Refused for another database or table, an expired or stale plan (naming the rows
    that moved), one that was undone, one that its checks cannot have made, a safety limit,
    or a constraint; Busy where another repair runs; RepairIncomplete where a check still
    finds a row that was repaired: then nothing is kept of a small plan, and all of a large
    one, which `undo` undoes.
    """
    known = all_checks() if known is None else known
    safety.refuse_standby(connection)
    safety.refuse_unlifted(plan.limits)
    admission.require_possible(connection, plan, known)
    chosen = with_followers(
        (known[name] for name in sorted({g.check for g in plan.groups})), known
    )
    if any(check.name in all_checks() for check in chosen):
        current().require(connection)
    admission.require_same_database(connection, plan)
    tables = read_tables(
        connection, named_tables(chosen) | {group.table for group in plan.groups}
    )
    admission.require_same_tables(plan, tables, known)
    written = sorted({group.table for group in plan.groups})
    require_writable(tables[name].relation for name in written)
    if not plan.actions:
        return ApplyResult(plan.id, None, 0)
    with repair_lock(connection):
        job = _Job(connection, plan, actor, known, tables, again)
        earlier = journal.run_of_plan(connection, plan.id)
        if earlier:
            _require_its_own(connection, job, earlier)
        if earlier and earlier["finished"]:
            return ApplyResult(plan.id, earlier["run"], earlier["rows"], already=True)
        admission.require_valid(plan)
        allow = plan.options.get("allow", ())
        safety.refuse_unlifted(
            safety.of_tables(connection, tables, plan.groups, plan.actions, allow)
        )
        run = earlier["run"] if earlier else None
        job.resumed = journal.last_step(connection, run) if run else 0
        with connection.transaction(), settings(connection, ROWS):
            job.orphans = find_orphans(connection, plan, known, tables)
        if run or job.total > batches.SMALL:
            job.refuse_stale(job.resumed)
        return run_job(connection, job, run, progress)


def _require_its_own(connection: Connection, job: "_Job", earlier: dict[str, Any]) -> None:
    """Insist that the run which says that it made this plan really did."""
    run, plan = earlier["run"], job.plan
    if earlier["undone_by"]:
        raise Refused(
            f"this plan was made in run {run} and undone in run {earlier['undone_by']}",
            hint="make a new plan: sexton repair",
        )
    agreed = earlier["options"].get("digest") == plan.digest
    steps = journal.last_step(connection, run)
    if earlier["finished"]:
        agreed = agreed and steps == job.total
    for batch in job.batches(lambda: COMPARED, 0) if agreed else ():
        for block in batch:
            agreed = agreed and changes.count_journalled(connection, run, block) == max(
                min(steps - block.first + 1, block.count), 0
            )
    if not agreed:
        raise Refused(
            f"run {run} of the journal says that it made this plan, and its rows are not "
            f"those of the plan; the role {printable(str(earlier['role']))} wrote it",
            hint=f"look at it: sexton history {run}; then make a new plan: sexton repair",
        )


# A line of the plan, taken apart once: `offset 0` keeps the planner from doing so anew for
# each column that is read from it.
PLANNED = """(
    select
        %(first)s::pg_catalog.int8 - 1::pg_catalog.int8 + a.ordinal as step,
        a.action operator(pg_catalog.->>) 'why'::pg_catalog.text as why,
        a.action operator(pg_catalog.->) 'key'::pg_catalog.text as key,
        a.action operator(pg_catalog.->) 'change'::pg_catalog.text as change
    from pg_catalog.jsonb_array_elements(%(actions)s::pg_catalog.jsonb)
        with ordinality as a (action, ordinal)
    offset 0
)"""


@dataclass
class _Job:
    """A plan as a job of the runner: whatever is not as planned stops it."""

    connection: Connection
    plan: Plan
    actor: str | None
    known: Mapping[str, Check]
    tables: Mapping[str, Table]
    again: str
    resumed: int = 0
    orphans: Orphans = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of rows."""
        return len(self.plan.actions)

    @property
    def writes(self) -> dict[int, int]:
        """The tables that are changed, and how."""
        return safety.events(self.tables, self.plan.groups)

    def lock(self, batch: list[Block] | None) -> None:
        """Keep other writers from tables in which a row is elected, as deletions do.

        It waits for those that have written there, and sees what they commit. A role that
        may change some columns alone cannot lock a table: a unique index must do for it.
        """
        named = (
            ((group.check, self.tables[group.table]) for group in self.plan.groups)
            if batch is None
            else ((str(block.shape.check), block.shape.table) for block in batch)
        )
        electing = {
            table.relation.oid: table.relation.sql
            for check, table in named
            if self.known[check].elects
        }
        for oid, name in sorted(electing.items()):
            if scalar(self.connection, MAY_LOCK, oid):
                query: Any = f"lock table {name} in share row exclusive mode"
                self.connection.execute(query)

    def _elected(self, block: Block) -> list[int]:
        """The steps of a block's elections that the check does not want any more."""
        check = self.known[str(block.shape.check)]
        if not check.elects:
            return []
        wanted = proposed_keys(self.connection, check, self.tables)
        actions = exact.loads(block.parameters["actions"])
        return [
            block.first + index
            for index, action in enumerate(actions)
            if (action["table"], exact.identity(action["key"])) not in wanted
        ]

    def begin(self, *, finished: bool) -> int:
        """Open the run."""
        saw = [limit.saw for limit in self.plan.limits if limit.saw.endswith(UNKEPT)]
        return journal.begin_run(
            self.connection,
            "repair",
            actor=self.actor,
            plan=self.plan.id,
            options={
                **self.plan.options,
                "digest": self.plan.digest,
                "rows": self.total,
            },
            finished=finished,
            lost=saw,
        )

    def batches(self, size: Size, after: int) -> Iterator[list[Block]]:
        """The plan's rows. What must follow a repair stays in one batch with its end."""
        lines = self.plan.action_lines()
        same_batch = _same_batch(self.plan.groups, self.known)
        batch: list[Block] = []
        step, remaining = 0, size()
        for number, group in enumerate(self.plan.groups):
            end = step + group.rows
            skipped = min(max(after - step, 0), group.rows)
            step += sum(1 for _ in itertools.islice(lines, skipped))
            while step < end:
                if remaining <= 0 and number not in same_batch:
                    yield batch
                    batch, remaining = [], size()
                wanted = batches.LARGEST_BATCH if number in same_batch else remaining
                taken = list(itertools.islice(lines, min(end - step, wanted)))
                batch.append(self._block(group, step + 1, taken))
                step += len(taken)
                remaining -= len(taken)
        if batch:
            yield batch

    def _block(self, group: ActionGroup, first: int, lines: list[str]) -> Block:
        columns = tuple(name for name in group.columns if name)
        shape = Shape(
            check=group.check,
            table=self.tables[group.table],
            kind=group.kind,
            key=group.key,
            before=columns if group.kind != "insert" else (),
            after=columns if group.kind != "delete" else (),
        )
        given = {"first": first, "actions": f"[{','.join(lines)}]"}
        return Block(shape, first, len(lines), PLANNED, given, paired=True)

    def make(self, writer: Writer, batch: list[Block], done: int) -> None:
        """Make a batch, or raise Refused naming the rows that moved."""
        for block in batch:
            if several := writer.several(block):
                raise _stale(block, several, self._kept(writer.run, done), SEVERAL)
            if moved := self._elected(block):
                raise _stale(block, moved, self._kept(writer.run, done))
            lifted = CASCADES in self.plan.options.get("allow", ())
            if reached := writer.reached(block, lifted=lifted):
                why = f"{min(reached.values())} since the plan was made"
                raise _stale(block, list(reached), self._kept(writer.run, done), why)
            if stale := writer.make(block):
                why = writer.why(block, stale, MOVED)
                raise _stale(block, stale, self._kept(writer.run, done), why)

    def judge(self, found: list[Difference], run: int, done: int) -> None:
        """Refuse what is not as it was written; with the option, what is not repaired."""
        if safety.TRIGGERS in self.plan.options.get("allow", ()):
            found = [difference for difference in found if difference.lost]
        refuse_differences(found, self._kept(run, done))

    def _kept(self, run: int, done: int) -> str:
        if not done:
            return "nothing was changed"
        return (
            f"{done:,} of {self.total:,} rows were changed before, in run {run} "
            f"(to undo them: sexton undo {run})"
        )

    def close(self, run: int) -> ApplyResult:
        """Verify the cure."""
        kept = run if self.resumed or self.total > batches.SMALL else None
        left = verify(
            self.connection, self.plan, self.known, self.tables, self.orphans, run=kept
        )
        return ApplyResult(self.plan.id, run, self.total, resumed=self.resumed, left=left)

    def refuse_stale(self, done: int) -> None:
        """Look at all rows before the first is changed: a stale plan changes nothing.

        A row that an earlier check's repair changes as well is not as the plan says before
        that is made, so a table is looked at until a second check changes it; the
        statements that change the rows look at all of them.
        """
        first: dict[int, str] = {}
        several: set[int] = set()
        kept = f"{done:,} rows were changed before" if done else "nothing was changed"
        with self.connection.transaction(), settings(self.connection, ROWS):
            for batch in self.batches(lambda: COMPARED, done):
                for block in batch:
                    check, oid = str(block.shape.check), block.shape.table.relation.oid
                    if first.setdefault(oid, check) != check:
                        several.add(oid)
                    if oid in several:
                        continue
                    if stale := changes.find_stale(self.connection, block):
                        raise _stale(block, stale, kept)


def _same_batch(groups: list[ActionGroup], known: Mapping[str, Check]) -> set[int]:
    """The indexes of groups that must commit with the end of the one before them."""
    same_batch: set[int] = set()
    for index, group in enumerate(groups):
        followers = [
            later
            for later in range(index + 1, len(groups))
            if groups[later].check in known[group.check].followed_by
        ]
        if followers:
            same_batch.update(range(index + 1, max(followers) + 1))
    return same_batch


def _stale(block: Block, stale: list[int], kept: str, why: str = MOVED) -> Refused:
    actions = json.loads(block.parameters["actions"])
    names = named(
        (block.shape.table.relation.name, actions[step - block.first]["key"])
        for step in stale
    )
    return Refused(
        f"{why}: {names}; {kept}",
        hint="make a new plan and look at it again: sexton repair",
    )
