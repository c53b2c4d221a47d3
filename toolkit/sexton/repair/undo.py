"""Undo: taking a run back, as far as its rows still are as it left them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg

from sexton import journal
from sexton.database import Connection, rows, transact
from sexton.errors import Refused
from sexton.project import current
from sexton.repair import safety as guards
from sexton.repair.apply import Pace, Progress, Size, repair_lock
from sexton.repair.changes import Block, Shape, Writer
from sexton.repair.plan import ActionGroup, Kind
from sexton.repair.planner import settle

SMALL = 2_000  # rows that one transaction may hold locked


@dataclass(frozen=True)
class Undone:
    """What taking a run back did: `run` is the undo's own number in the journal.

    `left` lists the rows that were not as the run left them, each with the reason.
    """

    undoes: int
    run: int
    rows: int
    left: list[dict[str, Any]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The document that `undo --format json` prints."""
        return {
            "undoes": self.undoes,
            "run": self.run,
            "rows": self.rows,
            "left": self.left,
        }


def undo_run(
    connection: Connection,
    run: int,
    *,
    actor: str | None = None,
    allow: Collection[str] = (),
    progress: Progress | None = None,
) -> Undone:
    """Put the rows of a run back, the last one first, where nobody has touched them since.

    Rows that moved are left alone and listed. The undo is a run itself, and can be
    undone. Transactions are as in `apply_plan`; an undo that was broken off goes on.

    Raises NotFound for an unknown run; Refused for one that was taken back, or of which
    no row is as it was left, and for a guard; Busy where another repair runs.
    """
    guards.refuse_standby(connection)
    undone = journal.get_run(connection, run)
    with repair_lock(connection):
        earlier = _begun(connection, run)
        if earlier is None:
            _require_whole(connection, undone)
        guards.refuse_unlifted(
            guards.of_tables(connection, _touched(connection, run), (), allow)
        )
        last = journal.last_step(connection, run)
        if last == 0:
            raise Refused(f"run {run} changed nothing", hint="sexton history")
        if earlier or undone["rows"] > SMALL:
            return _undo_large(connection, run, last, earlier, actor, progress)
        return transact(connection, lambda: _undo_small(connection, run, last, actor))


def _begun(connection: Connection, run: int) -> int | None:
    """The undo of this run that was broken off, if there is one."""
    found = rows(
        connection,
        """
        select u.run from sexton.runs r join sexton.runs u on u.run = r.undone_by
        where r.run = %s and not u.finished
        """,
        run,
    )
    return int(found[0]["run"]) if found else None


def _require_whole(connection: Connection, undone: dict[str, Any]) -> None:
    run, by = undone["run"], undone["undone_by"]
    if by is not None:
        after = journal.get_run(connection, by)["undone_by"]
        again = f", and run {after} took that back" if after else ""
        raise Refused(
            f"run {run} was taken back by run {by}{again}",
            hint=f"sexton undo {after or by}",
        )
    if undone["kind"] == "undo" and not undone["finished"]:
        undoes = undone["options"].get("undoes")
        raise Refused(
            f"run {run} was broken off", hint=f"finish it first: sexton undo {undoes}"
        )


def _touched(connection: Connection, run: int) -> Iterator[ActionGroup]:
    """What the undo does to which tables, for the guards."""
    found = rows(
        connection,
        """
        select table_name as "table", before is null as inserted,
            after is null as deleted, count(*) as rows
        from sexton.changes where run = %s group by 1, 2, 3 order by 1, 2, 3
        """,
        run,
    )
    for row in found:
        kind: Kind = "update"
        if row["inserted"]:
            kind = "delete"
        elif row["deleted"]:
            kind = "insert"
        yield ActionGroup("", row["table"], kind, [], [], row["rows"])


# A run's changes turned round: the last one is the first to be put back.
JOURNALLED = """(
    select
        %(last)s - c.step + 1 as step,
        'as it was before run ' || c.run as why,
        c.key, c.before, c.after
    from sexton.changes c
    where c.run = %(undone)s and c.step between %(low)s and %(high)s
)"""


def _batches(
    connection: Connection, run: int, last: int, size: Size, *, after: int = 0
) -> Iterator[list[Block]]:
    """A run's changes, the last one first, in batches of about `size()` rows.

    Steps are numbered from 1 in the order in which they are put back.
    """
    high = last - after
    while high > 0:
        low = max(high - size(), 0) + 1
        yield [
            _block(run, last, shape) for shape in rows(connection, SHAPES, run, low, high)
        ]
        high = low - 1


# Neighbours of one shape among a stretch of the journal, the last one first.
SHAPES = """
    select min(step) as low, max(step) as high, count(*) as many,
        "check", "table", key, before, after
    from (
        select *, row_number() over (order by step) - row_number() over (
            partition by "check", "table", key, before, after order by step
        ) as island
        from (
            select
                step, check_name as "check", table_name as "table",
                array(select jsonb_object_keys(c.key)) as key,
                array(select jsonb_object_keys(c.before)) as before,
                array(select jsonb_object_keys(c.after)) as after
            from sexton.changes c
            where run = %s and step between %s and %s
        ) s
    ) t
    group by "check", "table", key, before, after, island
    order by low desc
"""


def _block(run: int, last: int, found: dict[str, Any]) -> Block:
    kind: Kind = "update"
    if not found["before"]:
        kind = "delete"
    elif not found["after"]:
        kind = "insert"
    return Block(
        Shape(
            check=found["check"],
            table=found["table"],
            kind=kind,
            key=tuple(found["key"]),
            before=tuple(found["after"]),
            after=tuple(found["before"]),
        ),
        first=last - found["high"] + 1,
        count=found["many"],
        source=JOURNALLED,
        where=("key", "{}"),
        old=("after", "{}"),
        new=("before", "{}"),
        parameters={
            "last": last,
            "undone": run,
            "low": found["low"],
            "high": found["high"],
        },
    )


def _single(block: Block) -> Iterator[Block]:
    """The block's rows, each in a block of its own."""
    for step in range(block.first, block.first + block.count):
        journalled = block.parameters["last"] - step + 1
        alone = {**block.parameters, "low": journalled, "high": journalled}
        yield replace(block, first=step, count=1, parameters=alone)


def _begin(connection: Connection, run: int, actor: str | None, *, finished: bool) -> int:
    number = journal.begin_run(
        connection, "undo", actor=actor, options={"undoes": run}, finished=finished
    )
    connection.execute(
        "update sexton.runs set undone_by = %s where run = %s", (number, run)
    )
    return number


def _undo_small(connection: Connection, run: int, last: int, actor: str | None) -> Undone:
    current().before_write(connection)
    settle(connection)
    number = _begin(connection, run, actor, finished=True)
    [batch] = _batches(connection, run, last, lambda: last)
    reasons = _put_back(Writer(connection, number), batch)
    return _told(connection, run, number, last, reasons)


def _undo_large(
    connection: Connection,
    run: int,
    last: int,
    earlier: int | None,
    actor: str | None,
    progress: Progress | None,
) -> Undone:
    number = earlier
    reasons: dict[int, str] = {}
    done = journal.last_step(connection, earlier) if earlier else 0
    pace = Pace()
    for batch in _batches(connection, run, last, pace.size, after=done):
        count = sum(block.count for block in batch)
        with pace.of(count):
            put = partial(_put_back_batch, connection, batch, run, number, actor)
            number, found = transact(connection, put)
        reasons |= found
        done += count
        if progress:
            progress(done, last)
    assert number is not None, "a large run has a batch"
    return transact(connection, partial(_finish, connection, run, number, last, reasons))


def _put_back_batch(
    connection: Connection,
    batch: list[Block],
    run: int,
    number: int | None,
    actor: str | None,
) -> tuple[int, dict[int, str]]:
    current().before_write(connection)
    settle(connection)
    if number is None:
        number = _begin(connection, run, actor, finished=False)
    return number, _put_back(Writer(connection, number), batch)


def _finish(
    connection: Connection, run: int, number: int, last: int, reasons: dict[int, str]
) -> Undone:
    journal.finish_run(connection, number)
    return _told(connection, run, number, last, reasons)


def _put_back(writer: Writer, batch: list[Block]) -> dict[int, str]:
    """Put back the rows that are as expected; return the others' steps and reasons."""
    reasons: dict[int, str] = {}
    for block in batch:
        try:
            with writer.connection.transaction():
                missed = writer.make(block)
        except psycopg.IntegrityError:
            # One of them is in the way of another row: find out which, one by one.
            missed = []
            for alone in _single(block):
                try:
                    with writer.connection.transaction():
                        missed += writer.make(alone)
                except psycopg.IntegrityError as error:
                    reasons[alone.first] = str(error.diag.message_primary)
        reasons |= dict.fromkeys(missed, MOVED)
    return reasons


MOVED = "it is not as the run left it"


def _told(
    connection: Connection, run: int, number: int, last: int, reasons: dict[int, str]
) -> Undone:
    """Count what was put back, and list what was not."""
    left = rows(
        connection,
        """
        select c.step, c.table_name as "table", c.key
        from sexton.changes c
        where c.run = %s and not exists (
            select from sexton.changes u where u.run = %s and u.step = %s - c.step + 1
        )
        order by c.step
        """,
        run,
        number,
        last,
    )
    listed = [
        {
            "table": row["table"],
            "key": row["key"],
            "reason": reasons.get(last - row.pop("step") + 1, MOVED),
        }
        for row in left
    ]
    if len(left) == journal.get_run(connection, run)["rows"]:
        why = "; ".join(dict.fromkeys(row["reason"] for row in listed))
        raise Refused(
            f"none of the {len(left):,} rows of run {run} can be put back: {why}; "
            "nothing was changed",
            hint=f"sexton history {run}",
        )
    return Undone(run, number, last - len(left), listed)
