"""Reversal: a run of the journal as a job of the runner, backwards."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import psycopg

from sexton import journal
from sexton.catalog.tables import Table
from sexton.database import Connection, rows, settings
from sexton.errors import Refused
from sexton.journal.images import JSON_NULLS
from sexton.repair.aftermath import Difference, refuse_differences
from sexton.repair.batches import Size
from sexton.repair.changes import SEVERAL, Block, Shape, Writer
from sexton.repair.plan import Kind
from sexton.text.printable import count_rows, printable

CHANGED_SINCE = "it is not as the run left it"
OTHERS = "only a secret of it, or a column that is not ours, was changed"


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


# A run's changes turned round: the last one is the first to be undone.
JOURNALLED = """(
    select
        %(last)s::pg_catalog.int8 - c.step + 1::pg_catalog.int8 as step,
        pg_catalog.concat('as it was before run '::pg_catalog.text, c.run) as why,
        c.key, c.after as before,
        c.before operator(pg_catalog.||) case
            when pg_catalog.cardinality(%(kept)s::pg_catalog.text[])
                operator(pg_catalog.>) 0::pg_catalog.int4
            then (
                select coalesce(
                    pg_catalog.jsonb_object_agg(k.name, false), '{}'::pg_catalog.jsonb
                )
                from pg_catalog.unnest(%(kept)s::pg_catalog.text[]) as k (name)
                where c.before operator(pg_catalog.->) k.name
                    operator(pg_catalog.=) 'true'::pg_catalog.jsonb
            )
            else '{}'::pg_catalog.jsonb
        end as after
    from sexton.changes c
    where c.run operator(pg_catalog.=) %(undone)s::pg_catalog.int8
      and c.step operator(pg_catalog.>=) %(low)s::pg_catalog.int8
      and c.step operator(pg_catalog.<=) %(high)s::pg_catalog.int8
      and c.step operator(pg_catalog.<>) all (%(skip)s::pg_catalog.int8[])
)"""

# Neighbours of one shape among a part of the journal, the last one first; `written` are
# the columns that the run changed.
SHAPES = """
    select min(step) as low, max(step) as high, count(*) as count,
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


# What the undo left in a row that it restored, where that is not what the row held.
DIFFERING = """
    select c.table_name as "table", k.name, count(*) as rows
    from sexton.changes c
    join sexton.changes u on u.step = %s - c.step + 1 and u.run = %s
    cross join lateral jsonb_object_keys(c.before) as k (name)
    where c.run = %s and u.after is distinct from c.before
      and k.name <> '' and u.after ? k.name
      and u.after -> k.name is distinct from c.before -> k.name
    group by c.table_name, k.name
    order by c.table_name, k.name
"""


@dataclass
class Reversal:
    """A run as a job of the runner, backwards: whatever moved since is left alone.

    Of a table, columns that are not `allowed` (none for all) are left as they are. With
    `triggers`, what they make of a row is said; else it is refused. Without `cascades`, a
    row stays that others refer to by keys which would delete or empty them. `back` is the
    command that reverts the change of the schema that the run belongs to. Steps in `skip`
    are left as they are. `kept` are flags, by table, which rows that come back do not have
    at first.
    """

    connection: Connection
    undone: Mapping[str, Any]
    tables: Mapping[tuple[str | None, str], Table]
    allowed: Mapping[tuple[str | None, str], Collection[str]]
    actor: str | None
    lost: list[str]
    writes: Mapping[int, int]
    triggers: bool
    cascades: bool = False
    back: str | None = None
    kind: str = "undo"
    skip: frozenset[int] = frozenset()
    kept: Mapping[tuple[str | None, str], Collection[str]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    again: str = "the same command goes on"

    @property
    def number(self) -> int:
        """The run that is undone."""
        return int(self.undone["run"])

    @cached_property
    def total(self) -> int:
        """The number of its last step."""
        return journal.last_step(self.connection, self.number)

    def lock(self, batch: list[Block] | None) -> None:
        """Lock nothing: what another row has taken since is left to it."""

    def begin(self, *, finished: bool) -> int:
        """Open the run, and mark the other one as undone."""
        number = journal.begin_run(
            self.connection,
            self.kind,
            actor=self.actor,
            options={"undoes": self.number},
            finished=finished,
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

        written, allowed = found["before"], self.allowed[found["schema"], found["table"]]
        if kind == "update":
            kept = self.kept.get((found["schema"], found["table"]), ())
            written = [
                n
                for n in found["written"]
                if (not allowed or n in allowed) and n not in kept
            ]
            written += [n for n in found["before"] if n in kept]

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
            after=stored(written),
        )
        given = {
            "last": last,
            "undone": self.number,
            "low": found["low"],
            "high": found["high"],
            "skip": sorted(self.skip),
            "kept": sorted(self.kept.get((found["schema"], found["table"]), ())),
        }
        first = last - found["high"] + 1
        return Block(shape, first, found["count"], JOURNALLED, given)

    def make(self, writer: Writer, batch: list[Block], done: int) -> None:
        """Restore the rows that are as expected, and remember why others are not."""
        del done
        for block in batch:
            if not block.shape.after and block.shape.kind == "update":
                steps = range(block.first, block.first + block.count)
                self.reasons |= dict.fromkeys(steps, OTHERS)
                continue
            several = dict.fromkeys(writer.several(block), SEVERAL)
            if not self.cascades:
                several |= writer.reached(block, lifted=False)
            self.reasons |= several
            try:
                with writer.connection.transaction():
                    stale = [] if several else writer.make(block)
                whole = not several
            except (psycopg.IntegrityError, psycopg.DataError, Refused):
                whole = False
            if not whole:
                # One of them conflicts with another row: find out which, one by one.
                stale = []
                for single in _single(block):
                    if single.first in several:
                        continue
                    try:
                        with writer.connection.transaction():
                            stale += writer.make(single)
                    except (psycopg.IntegrityError, psycopg.DataError) as error:
                        said = printable(str(error.diag.message_primary))
                        self.reasons[single.first] = said
                    except Refused as error:
                        self.reasons[single.first] = error.message
            self.reasons |= dict.fromkeys(stale, writer.why(block, stale, CHANGED_SINCE))

    def judge(self, found: list[Difference], run: int, done: int) -> None:
        """Remember which rows triggers have changed back; without the option, refuse."""
        kept = "nothing was changed"
        if done:
            kept = (
                f"of the first {done:,} of {self.total:,} rows, run {run} has restored "
                "what it could"
            )
        refuse_differences([d for d in found if d.gone or not self.triggers], kept)
        self.reasons |= {d.step: f"{d.by} took it back" for d in found if d.lost}

    def close(self, run: int) -> UndoResult:
        """Count what was restored, and list what was not."""
        last = self.total
        left = rows(
            self.connection,
            """
            select c.step, c.table_name as "table", c.key
            from sexton.changes c
            where c.run = %s and c.step not in (  -- hashed, whatever statistics say
                select %s - u.step + 1 from sexton.changes u where u.run = %s
            )
            order by c.step
            """,
            self.number,
            last,
            run,
        )
        listed = [
            {
                "table": row["table"],
                "key": row["key"],
                "reason": self.reasons.get(last - row["step"] + 1, CHANGED_SINCE),
            }
            for row in left
        ]
        count = int(self.undone["rows"])
        if len(left) == count:
            why = "; ".join(dict.fromkeys(row["reason"] for row in listed))
            raise Refused(
                f"none of the {count:,} rows of run {self.number} can be restored: {why}; "
                "nothing was changed",
                hint=f"first drop what forbids them: {self.back}"
                if self.back
                else f"sexton history {self.number}",
            )
        lost = [*self.lost, *self._differing(run, last)]
        return UndoResult(self.number, run, count - len(left), listed, lost)

    def _differing(self, run: int, last: int) -> list[str]:
        """Which columns of restored rows are not as they were, for a trigger sets them.

        Statistics know nothing of the run that is being written: a loop in a loop over
        100,000 steps would never end.
        """
        with settings(self.connection, {"enable_nestloop": "off"}):
            found = rows(self.connection, DIFFERING, last, run, self.number)
        said = []
        for row in found:
            which = f"{row['name']} of {count_rows(row['rows'])} of {row['table']}"
            said.append(printable(f"{which} is not as it was: a trigger sets it"))
        return said


def _single(block: Block) -> Iterator[Block]:
    """The block's rows, each in a block of its own."""
    for step in range(block.first, block.first + block.count):
        journalled = block.parameters["last"] - step + 1
        one = {**block.parameters, "low": journalled, "high": journalled}
        yield replace(block, first=step, count=1, parameters=one)
