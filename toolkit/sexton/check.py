"""What a check is: data plus one sentence of wisdom.

A check's module has the name of the check. Its docstring is its explanation: the bad
state in one sentence; how it comes about and what breaks; what the repair does and loses,
or what a person must decide.
"""

import copy
import enum
import graphlib
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from sexton.cure import Delete, Insert, Repair, Rewrite, Update, describe

__all__ = [
    "Check",
    "Delete",
    "Insert",
    "Reference",
    "Rewrite",
    "Severity",
    "Update",
]

from sexton.catalog.identifiers import identifier


class Severity(enum.StrEnum):
    """How bad a finding is; `audit --fail-on` compares by this order."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Reference:
    """A soft reference: every value of `column` should be a `parent_key` of `parent`.

    A composite one has tuples of names; NULL, in any of them, refers to nothing. Which
    rows of the check's table count is the check's `where`, or `live`; which rows of the
    parent count is `parent_where`, over the alias `parent`, or `parent_live`, over the
    parent's bare columns.
    `guarded`: a guard that the project declares for these columns, once it is set,
    enforces the reference for the rows that count. The fastest way to find the violating
    rows depends on the indexes and is chosen at each run.
    """

    column: LiteralString | tuple[LiteralString, ...]
    parent: LiteralString
    parent_key: LiteralString | tuple[LiteralString, ...]
    parent_where: LiteralString = ""
    parent_live: LiteralString = ""
    guarded: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The child's columns, one or more."""
        return (self.column,) if isinstance(self.column, str) else self.column

    @property
    def parent_keys(self) -> tuple[str, ...]:
        """The parent's columns, in the order of the child's."""
        return (self.parent_key,) if isinstance(self.parent_key, str) else self.parent_key

    @property
    def source(self) -> str:
        """What the parent's rows that count are called in a query."""
        return "sexton_parent" if self.parent_live else identifier(self.parent)

    @property
    def present(self) -> str:
        """The condition that the alias `this` refers to something.

        Of a composite type, `is not null` would be false if one of its fields is NULL.
        """
        return " and ".join([f"not (this.{identifier(c)} is null)" for c in self.columns])

    @property
    def joined(self) -> str:
        """The condition that the aliases `parent` and `this` belong together."""
        pairs = zip(self.parent_keys, self.columns, strict=True)
        return " and ".join(
            [f"parent.{identifier(key)} = this.{identifier(c)}" for key, c in pairs]
        )


@dataclass(frozen=True)
class Check:
    """A rule about the data, in one of three ways.

    * `reference`: the rows of `table` whose reference leads nowhere;
    * `where` alone: the rows of `table`, by the alias `this`, for which it is true; with
      `joins`, it may speak of the row that is referred to, by the alias `parent`;
    * `find`: a query that returns one row a violation, ordered by `key`.

    For the first two, `live` says which rows of the table count at all, over its bare
    columns: it sees no other table's. Tables and columns are named as the catalogs have
    them, without quotes.

    Rows have the `key` columns and whatever `message` names; for the first two, `select`
    adds names and their expressions. A row that has a column `table` says so
    of which table it is. Where SQL cannot tell (JSON in a text column, say), `judge`
    takes a row of `find` and returns the row of the finding, or None.

    `reads` says which tables and columns must be there; where one is absent, the check is
    skipped, unless `fallbacks` has a query that takes the absent table's place. `parent`
    is the table that a reference points to: were it empty or hidden, every row would look
    like an orphan.

    `repair` says how the findings are cured: one `Update`, `Delete`, `Insert` or
    `Rewrite`, or several, made one after the other. `data_loss` says what the repair
    loses: it then takes `--unsafe`. A repair that is `opt_in` is made only when its check
    is named. `manual_action` says what a person must decide where `repair` does not apply.

    `absent` says why no database of the project has what the check looks for: it is then
    skipped.

    A repair comes after those of the checks in `after`. `followed_by` names checks whose
    repair must follow this one's, and commit together with the last of its rows.
    A repair that `elects` says which rows carry a flag, of which there is one: it is made
    under a lock that keeps other writers from the table, and only as far as the check
    still wants it. `text` is the explanation of a check that has no module.
    """

    module: str
    severity: Severity
    table: LiteralString
    key: tuple[LiteralString, ...]
    message: str
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    find: LiteralString = ""
    where: LiteralString = ""
    live: LiteralString = ""
    select: Mapping[LiteralString, LiteralString] = field(default_factory=dict)
    reference: Reference | None = None
    joins: Reference | None = None
    judge: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    fallbacks: Mapping[str, LiteralString] = field(default_factory=dict)
    parent: LiteralString | None = None
    repair: Repair | tuple[Repair, ...] = ()
    data_loss: str | None = None
    opt_in: bool = False
    manual_action: str | None = None
    after: tuple[str, ...] = ()
    followed_by: tuple[str, ...] = ()
    elects: bool = False
    text: str = ""
    absent: str = ""

    def __post_init__(self) -> None:
        """Make `find`, `parent` and `reads` complete where the rest implies them."""
        if bool(self.find) == bool(self.where or self.reference):
            raise ValueError(
                f"{self.name}: a check has either `find`, or `where` or `reference`"
            )
        # A text will do: `severity="error"`. Any other is refused.
        self._set("severity", Severity(self.severity))
        reads = {table: tuple(columns) for table, columns in self.reads.items()}
        if not self.find:
            self._read(reads, self.table, self.key)
        for ref in filter(None, (self.reference, self.joins)):
            self._read(reads, self.table, ref.columns)
            self._read(reads, ref.parent, ref.parent_keys)
        if self.reference:
            self._set("parent", self.parent or self.reference.parent)
        if not self.find:
            keys = ", ".join([f"this.{identifier(column)}" for column in self.key])
            self._set("find", f"{self.rows}\norder by {keys}")
        self._set("reads", reads)
        if not isinstance(self.repair, tuple):
            self._set("repair", (self.repair,))

    def ranked(self, severity: Severity | None) -> "Check":
        """The same check with another severity, if one is given."""
        return self if severity is None else self.changed(severity=severity)

    def changed(self, **values: object) -> "Check":
        """The same check with other values, which must fit what it was made of."""
        made = copy.copy(self)
        for name, value in values.items():
            made._set(name, value)
        return made

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @staticmethod
    def _read(
        reads: dict[str, tuple[str, ...]], table: str, columns: tuple[str, ...]
    ) -> None:
        already = reads.get(table, ())
        reads[table] = already + tuple(c for c in columns if c not in already)

    def own(self, name: str) -> bool:
        """Whether its rows have a column of the table's under this name."""
        referring = self.reference.columns if self.reference else ()
        return name in self.key or name in referring

    @property
    def columns(self) -> LiteralString:
        """What the query returns of a row, as a list for SELECT; not for `find`."""
        names = list(self.key)
        if self.reference:
            names += [c for c in self.reference.columns if c not in names]
        shown = [f"this.{identifier(name)}" for name in names]
        shown += [f"{sql} as {identifier(name)}" for name, sql in self.select.items()]
        return ", ".join(shown)

    @property
    def source(self) -> str:
        """What the table's rows that count are called in a query; not for `find`."""
        return "sexton_child" if self.live else identifier(self.table)

    @property
    def sources(self) -> list[str]:
        """The queries before a query: the rows that count, where not all do.

        Each stands alone, so that its bare columns can only be its own table's.
        """
        ref = self.reference or self.joins
        wanted = [(self.source, self.table, self.live)]
        wanted += [(ref.source, ref.parent, ref.parent_live)] if ref else []
        return [
            f"{name} as not materialized (select * from {identifier(table)} "  # noqa: S608
            f"where (\n{live}\n))"
            for name, table, live in wanted
            if live
        ]

    @property
    def violation(self) -> LiteralString:
        """The condition, over `this`, that makes a row a finding; not for `find`."""
        if self.reference is None:
            return self.where
        ref = self.reference
        conditions = [ref.present]
        if self.where:
            conditions.append(f"({self.where})")
        counts = f" and ({ref.parent_where})" if ref.parent_where else ""
        conditions.append(
            f"not exists (select from {ref.source} parent where {ref.joined}{counts})"
        )
        return "\n  and ".join(conditions)

    @property
    def rows(self) -> LiteralString:
        """The query for the violating rows, unordered where that can be said."""
        if not (self.where or self.reference):
            return self.find
        lines = [f"with {', '.join(self.sources)}"] if self.sources else []
        lines += [f"select {self.columns}", f"from {self.source} this"]
        if ref := self.joins:
            lines.append(f"join {ref.source} parent on {ref.joined}")
        return "\n".join([*lines, f"where {self.violation}"])

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """How the findings are cured; empty where a person must."""
        return self.repair if isinstance(self.repair, tuple) else (self.repair,)

    @property
    def repair_texts(self) -> list[str]:
        """The repairs as a person reads them, near to SQL."""
        return [describe(self.table, repair) for repair in self.repairs]

    @property
    def definition(self) -> str:
        """A digest of what makes a row a finding: not of texts, severity or repair."""
        asked = (
            *(self.table, self.key, self.find, self.where, self.live, self.parent),
            *(sorted(self.fallbacks.items()), sorted(self.reads.items())),
            *(self.reference, self.joins),
            self.judge and _source(self.judge),
        )
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]

    @property
    def cure(self) -> str:
        """A digest of what a plan of this check is made from: findings and repair."""
        asked = (self.definition, *self.repair_texts)
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """The name of the check, which is the name of its file."""
        return self.module.rpartition(".")[2]

    @property
    def explanation(self) -> str:
        """The module's docstring, or the text that the check was made with."""
        return self.text or inspect.cleandoc(sys.modules[self.module].__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the explanation: the bad state as a sentence."""
        return self.explanation.partition("\n")[0]


def _source(judge: Any) -> str:
    try:
        return inspect.getsource(judge)
    except (OSError, TypeError):  # made at run time
        return str(getattr(judge, "__qualname__", type(judge)))


def in_order(checks: Mapping[str, Check]) -> list[str]:
    """The names of checks in the order of their repairs; raises ValueError for a circle.

    Where the declarations leave it open, the order is alphabetical.
    """
    before: dict[str, set[str]] = {name: set(c.after) for name, c in checks.items()}
    for name, check in checks.items():
        for follower in check.followed_by:
            before.setdefault(follower, set()).add(name)
    sorter = graphlib.TopologicalSorter(before)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise ValueError(" -> ".join(reversed(error.args[1]))) from None
    ready: list[str] = []
    found = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()])
        name, *ready = ready
        found.append(name)
        sorter.done(name)
    return [name for name in found if name in checks]
