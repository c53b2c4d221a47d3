"""Undo: taking a run back, as far as its rows still are as it left them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from sexton import journal
from sexton.check import Check
from sexton.database import Connection, rows, settings
from sexton.errors import Refused
from sexton.printable import printable
from sexton.project import all_checks
from sexton.recorder import JSON_NULLS
from sexton.repair import safety, trust
from sexton.repair.batches import WRITING, Progress, Size, repair_lock, run_job
from sexton.repair.changes import Block, Shape, Writer
from sexton.repair.plan import ActionGroup, Kind
from sexton.tables import Table, read_tables

MOVED = "it is not as the run left it"


@dataclass(frozen=True)
class UndoResult:
    """What undoing a run did: `run` is the undo's own number in the journal.

    `left` lists the rows that were not as the run left them, each with the reason;
    `lost` says, in sentences, what the journal never had and no undo brings back.
    """

    undoes: int
    run: int
    rows: int
    left: list[dict[str, Any]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The document that `undo --format json` prints."""
        return {
            "undoes": self.undoes,
            "run": self.run,
            "rows": self.rows,
            "left": self.left,
            "lost": self.lost,
        }


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
    undone = journal.get_run(connection, run)
    with repair_lock(connection):
        earlier = _begun(connection, run)
        if earlier is None:
            _require_whole(connection, undone)
        if not undone["rows"]:
            raise Refused(f"run {run} changed no row", hint="sexton history")
        touchable = trust.touchable_tables(known)
        there = read_tables(connection, touchable)
        with connection.transaction(), settings(connection, WRITING):
            tables, touched = trust.read_touched(connection, undone, touchable, there)
            groups = [_group(row) for row in touched]
            by_name = {row["name"]: tables[row["schema"], row["name"]] for row in touched}
            limits = safety.of_tables(connection, by_name, groups, (), allow)
            limits += trust.writer_limit(connection, undone, tables.values(), allow)
        safety.refuse_unlifted(limits)
        job = _Job(connection, undone, tables, actor, lost_by(connection, undone))
        return run_job(connection, job, earlier, progress)


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
        many = "1 row" if row["rows"] == 1 else f"{row['rows']:,} rows"
        said.append(
            f"{row['name']} of {many} of {row['table']} is a secret, and not in the journal"
        )
    return said


def _begun(connection: Connection, run: int) -> int | None:
    """The undo of this run that was interrupted, if there is one."""
    found = rows(
        connection,
        """
        select u.run from sexton.runs r join sexton.runs u
          on u.run operator(pg_catalog.=) r.undone_by
        where r.run operator(pg_catalog.=) %s::pg_catalog.int8 and not u.finished
        """,
        run,
    )
    return int(found[0]["run"]) if found else None


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


# A run's changes turned round: the last one is the first to be undone.
JOURNALLED = """(
    select
        %(last)s::pg_catalog.int8 - c.step + 1::pg_catalog.int8 as step,
        pg_catalog.concat('as it was before run '::pg_catalog.text, c.run) as why,
        c.key, c.after as before, c.before as after
    from sexton.changes c
    where c.run operator(pg_catalog.=) %(undone)s::pg_catalog.int8
      and c.step operator(pg_catalog.>=) %(low)s::pg_catalog.int8
      and c.step operator(pg_catalog.<=) %(high)s::pg_catalog.int8
)"""

# Neighbours of one shape among a part of the journal, the last one first; `written` are
# the columns that the run changed.
SHAPES = """
    select min(step) as low, max(step) as high, count(*) as many,
        "check", schema, "table", key, before, after, written
    from (
        select *, row_number() over (order by step) - row_number() over (
            partition by "check", schema, "table", key, before, after, written
            order by step
        ) as island
        from (
            select
                step, check_name as "check", table_schema as schema, table_name as "table",
                array(select jsonb_object_keys(c.key)) as key,
                array(select jsonb_object_keys(c.before)) as before,
                array(select jsonb_object_keys(c.after)) as after,
                array(
                    select k.name from jsonb_object_keys(c.before) as k (name)
                    where c.before -> k.name is distinct from c.after -> k.name
                    union
                    select n.name
                    from jsonb_array_elements_text(
                        coalesce(c.before -> '', '[]') || coalesce(c.after -> '', '[]')
                    ) as n (name)
                    where c.before -> '' is distinct from c.after -> ''
                    order by 1
                ) as written
            from sexton.changes c
            where run = %s and step between %s and %s
        ) s
    ) t
    group by "check", schema, "table", key, before, after, written, island
    order by low desc
"""


@dataclass
class _Job:
    """A run as a job of the runner, backwards: whatever moved since is left alone."""

    connection: Connection
    undone: Mapping[str, Any]
    tables: Mapping[tuple[str | None, str], Table]
    actor: str | None
    lost: list[str]
    reasons: dict[int, str] = field(default_factory=dict)
    again: str = "the same command goes on"

    @property
    def number(self) -> int:
        """The run that is undone."""
        return int(self.undone["run"])

    @property
    def total(self) -> int:
        """The number of its last step."""
        return journal.last_step(self.connection, self.number)

    @property
    def oids(self) -> list[int]:
        """The tables that are changed."""
        return sorted({table.relation.oid for table in self.tables.values()})

    def begin(self, *, finished: bool) -> int:
        """Open the run, and mark the other one as undone."""
        number = journal.begin_run(
            self.connection,
            "undo",
            actor=self.actor,
            options={"undoes": self.number},
            finished=finished,
            owners=[table.relation.owner for table in self.tables.values()],
        )
        journal.mark_undone(self.connection, self.number, number)
        return number

    def batches(self, size: Size, after: int) -> Iterator[list[Block]]:
        """The changes, numbered from 1 in the order in which they are undone."""
        last = self.total
        high = last - after
        while high > 0:
            low = max(high - size(), 0) + 1
            found = rows(self.connection, SHAPES, self.number, low, high)
            yield [self._block(last, shape) for shape in found]
            high = low - 1

    def _block(self, last: int, found: dict[str, Any]) -> Block:
        table = self.tables[found["schema"], found["table"]]
        kind: Kind = "update"
        if not found["before"]:
            kind = "delete"
        elif not found["after"]:
            kind = "insert"

        def stored(names: list[str]) -> tuple[str, ...]:
            return tuple(
                name
                for name in names
                if name != JSON_NULLS and not table.columns[name].generated
            )

        shape = Shape(
            check=found["check"],
            table=table,
            kind=kind,
            key=tuple(found["key"]),
            before=stored(found["after"]),
            after=stored(found["written"] if kind == "update" else found["before"]),
        )
        given = {
            "last": last,
            "undone": self.number,
            "low": found["low"],
            "high": found["high"],
        }
        first = last - found["high"] + 1
        return Block(shape, first, found["many"], JOURNALLED, given)

    def make(self, writer: Writer, batch: list[Block], done: int) -> None:
        """Restore the rows that are as expected, and remember why others are not."""
        del done
        for block in batch:
            if not block.shape.after and block.shape.kind == "update":
                steps = range(block.first, block.first + block.count)
                self.reasons |= dict.fromkeys(steps, "only a secret of it was changed")
                continue
            try:
                with writer.connection.transaction():
                    missed = writer.make(block)
            except (psycopg.IntegrityError, psycopg.DataError):
                # One of them is in the way of another row: find out which, one by one.
                missed = []
                for alone in _single(block):
                    try:
                        with writer.connection.transaction():
                            missed += writer.make(alone)
                    except (psycopg.IntegrityError, psycopg.DataError) as error:
                        said = printable(str(error.diag.message_primary))
                        self.reasons[alone.first] = said
            self.reasons |= dict.fromkeys(missed, MOVED)

    def close(self, run: int) -> UndoResult:
        """Count what was restored, and list what was not."""
        last = self.total
        left = rows(
            self.connection,
            """
            select c.step, c.table_name as "table", c.key
            from sexton.changes c
            where c.run = %s and not exists (
                select from sexton.changes u where u.run = %s and u.step = %s - c.step + 1
            )
            order by c.step
            """,
            self.number,
            run,
            last,
        )
        listed = [
            {
                "table": row["table"],
                "key": row["key"],
                "reason": self.reasons.get(last - row["step"] + 1, MOVED),
            }
            for row in left
        ]
        count = int(self.undone["rows"])
        if len(left) == count:
            why = "; ".join(dict.fromkeys(row["reason"] for row in listed))
            raise Refused(
                f"none of the {count:,} rows of run {self.number} can be restored: {why}; "
                "nothing was changed",
                hint=f"sexton history {self.number}",
            )
        return UndoResult(self.number, run, count - len(left), listed, self.lost)


def _single(block: Block) -> Iterator[Block]:
    """The block's rows, each in a block of its own."""
    for step in range(block.first, block.first + block.count):
        journalled = block.parameters["last"] - step + 1
        alone = {**block.parameters, "low": journalled, "high": journalled}
        yield replace(block, first=step, count=1, parameters=alone)
