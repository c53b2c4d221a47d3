"""Steps: what a revision does, one lock at a time, and only what is not done yet.

A revision declares its steps as dictionaries, for it is history and imports nothing of
ours, and calls `op.run_steps`, which makes a `Step` of each. Each step commits by itself,
except a revision's last one: it shares its transaction with the version row. Killed
anywhere, the revision can be run again.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sexton.ddl.row_changes import RowChange
from sexton.errors import UsageError

Statement = str | RowChange

AUTOVACUUM_LOCK = "share update exclusive"
_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
# The lock modes that a step may take, and what stands in the way of each.
CONFLICTS = {
    "access share": _STRONG[-1:],
    "row exclusive": _STRONG,
    AUTOVACUUM_LOCK: ("ShareUpdateExclusiveLock", *_STRONG),
    "share": ("RowExclusiveLock", "ShareUpdateExclusiveLock", *_STRONG[1:]),
    "share row exclusive": ("RowExclusiveLock", "ShareUpdateExclusiveLock", *_STRONG),
    "access exclusive": (
        *("AccessShareLock", "RowShareLock", "RowExclusiveLock"),
        *("ShareUpdateExclusiveLock", *_STRONG),
    ),
}


@dataclass(frozen=True)
class Step:
    """One change of the schema.

    `title`     what it does, as an imperative sentence
    `lock`      the lock mode it takes
    `tables`    the tables it locks, parent first
    `done`      a query that returns true when the step's result is there, by definition
                and not by name; then nothing is sent, for even a needless statement queues
    `facts`     what holds from this step on: (table, subject, sentence where it does not
                hold, query that returns true where it does), each until a later revision
                has a fact of the same table and subject. Where not given, the fact is
                `done` itself; where `done` is not given, it is that all facts hold
    `refuse`    pairs of a query and a sentence: where the query returns a row, the step
                is refused, with the sentence filled from that row
    `absent`    such pairs too, asked if the step is done before it is made and no
                interrupted run made it: what it is to drop may be called otherwise here
    `warn`      such pairs for what does not stop the step, but should be known before
    `builds`    labels of the indexes that it builds (`index_label`); a step whose
                `cured_by` is one of them is not warned of what such a step cures before it
    `leaves`    {table: query}: what a table will hold after the step, as far as later
                steps ask about it; so they can be asked before the first one is made
    `sql`       the statements; they see the tables' schema and pg_catalog. One that changes
                rows is a mapping, as `sexton.ddl.row_changes` says, for the journal's sake
    `outside_transaction`  for statements that run for long beside the others' work: on a
                connection of their own
    `unless`    an option, as `tombstones=disable`, that lifts `refuse`
    `unless_sql`  statements that then come before `sql`
    `scans`     the tables whose rows it reads; `reads`: further tables its queries name
    `irreversible`  what cannot be reverted, as a sentence
    `hint`      what to type where it is refused

    Queries run with pg_catalog alone in sight; the tables of the step are in it by name.
    """

    title: str
    sql: tuple[Statement, ...] = ()
    lock: str | None = None
    tables: tuple[str, ...] = ()
    done: str = ""
    facts: tuple[tuple[str, str, str, str], ...] | None = None
    refuse: tuple[tuple[str, str], ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    warn: tuple[tuple[str, str], ...] = ()
    builds: tuple[str, ...] = ()
    cured_by: str | None = None
    leaves: Mapping[str, str] = field(default_factory=dict)
    outside_transaction: bool = False
    unless: str | None = None
    unless_sql: tuple[Statement, ...] = ()
    scans: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    irreversible: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, declared: "Step | Mapping[str, Any]") -> "Step":
        """The step that a revision declares; raises UsageError where it is none."""
        if isinstance(declared, Step):
            return declared
        title = declared.get("title")
        if not isinstance(title, str) or not title:
            raise UsageError("a step has no title")
        values: dict[str, Any] = {}
        for name, value in declared.items():
            if name not in _READ:
                near = difflib.get_close_matches(name, _READ, 1)
                raise UsageError(
                    f"the step {title!r} has {name!r}, which no step has",
                    hint=f"it is spelt {near[0]!r}" if near else ", ".join(_READ),
                )
            try:
                values[name] = _READ[name](value)
            except (TypeError, ValueError):
                raise UsageError(
                    f"the step {title!r}: {name} cannot be {value!r}",
                    hint="what a step holds: help(sexton.ddl.steps.Step)",
                ) from None
        if bool(values.get("lock")) != bool(values.get("tables")):
            raise UsageError(f"the step {title!r} needs both a lock and tables, or neither")
        step = cls(**values)
        for statement in (*step.unless_sql, *step.sql):
            if isinstance(statement, RowChange) and statement.table not in step.tables:
                raise UsageError(
                    f"the step {title!r} changes rows of {statement.table}, "
                    "which is not among its tables"
                )
        return step

    @property
    def question(self) -> str:
        """The query that says whether it is done; empty where that is never known."""
        if self.done or not self.facts:
            return self.done
        return "select " + " and ".join(f"({holds})" for *_, holds in self.facts)

    def statements(self, choices: frozenset[str] = frozenset()) -> tuple[Statement, ...]:
        """What it sends, the user's choices regarded."""
        chosen = self.unless_sql if self.unless in choices else ()
        return (*chosen, *self.sql)


def index_label(schema: str | None, table: str, columns: Sequence[str]) -> str:
    """What names an index that finds rows by these columns, in any order."""
    return repr((schema, table, sorted(columns)))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _lock(value: Any) -> str:
    if value not in CONFLICTS:
        raise ValueError
    return _text(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError
    return tuple(_text(part) for part in value)


def _statements(value: Any) -> tuple[Statement, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError
    return tuple(p if isinstance(p, str) else RowChange.of(p) for p in value)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((_text(query), _text(sentence)) for query, sentence in value)


def _queries(value: Any) -> dict[str, str]:
    return {_text(name): _text(query) for name, query in value.items()}


def _facts(value: Any) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(
        (_text(table), _text(subject), _text(broken), _text(holds))
        for table, subject, broken, holds in value
    )


_READ = {
    "title": _text,
    "lock": _lock,
    "tables": _texts,
    "done": _text,
    "facts": _facts,
    "refuse": _pairs,
    "absent": _pairs,
    "warn": _pairs,
    "builds": _texts,
    "cured_by": _text,
    "leaves": _queries,
    "sql": _statements,
    "outside_transaction": _flag,
    "unless": _text,
    "unless_sql": _statements,
    "scans": _texts,
    "reads": _texts,
    "irreversible": _text,
    "hint": _text,
}
assert set(_READ) == {field.name for field in dataclasses.fields(Step)}
