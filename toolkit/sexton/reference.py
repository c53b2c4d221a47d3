"""Declarations: references, soft deletes, defaults and unique keys of a team's tables.

They are what a project file holds, entry by entry; `derived` makes checks of them. Names
are as the catalogs have them; quotes are needed around a name that holds a dot, a comma, a
bracket or a blank at its end. Conditions are SQL over the bare columns of one table.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Annotated, Literal

import msgspec

from sexton import condition
from sexton.catalog.identifiers import identifier
from sexton.check import Severity

_NAME = r'(?:"(?:[^"]|"")+"|[^".(),\s](?:[^".(),]*[^".(),\s])?)'
_TABLE = re.compile(rf"\s*(?:({_NAME})\s*\.\s*)?({_NAME})\s*")
_COLUMNS = re.compile(
    rf"\s*((?:{_NAME}\s*\.\s*)?{_NAME})\s*"
    rf"(?:\.\s*({_NAME})|\(\s*({_NAME}(?:\s*,\s*{_NAME})*)\s*\))\s*"
)
_DIRECTION = re.compile(
    r"(?:\s+(?:asc|desc))?(?:\s+nulls\s+(?:first|last))?\s*$", re.IGNORECASE
)
_CHECK = re.compile(r"[a-z_][a-z0-9_]{0,99}")

CheckName = Annotated[str, msgspec.Meta(pattern=f"^{_CHECK.pattern}$")]


def is_true(text: str) -> bool:
    """Whether a condition holds for every row: it is empty, or `true`."""
    return text.strip().lower() in ("", "true")


class Columns(msgspec.Struct, frozen=True):
    """A table, `[schema.]name`, and some of its columns."""

    table: str
    columns: tuple[str, ...]

    @property
    def label(self) -> str:
        """How people write it: `invoices.customer_id`, or `invoices(tenant_id, no)`."""
        if len(self.columns) == 1:
            return f"{self.table}.{self.columns[0]}"
        return f"{self.table}({', '.join(self.columns)})"


@cache
def table(text: str) -> str:
    """A table's `[schema.]name` without quotes; raises ValueError."""
    found = _TABLE.fullmatch(text)
    if not found:
        raise ValueError(f"`{text}` names no table: write `table` or `schema.table`")
    names = [_bare(name) for name in found.groups() if name]
    if any("." in name for name in names):
        raise ValueError(f"`{text}`: a table whose name holds a dot cannot be declared")
    return ".".join(names)


@cache
def columns(text: str) -> Columns:
    """What `[schema.]table.column` or `[schema.]table(a, b)` names; raises ValueError."""
    found = _COLUMNS.fullmatch(text)
    if not found:
        raise ValueError(
            f"`{text}` names no column: write `table.column`, `schema.table.column` or, "
            "of a composite one, `table(a, b)`"
        )
    named = [found[2]] if found[2] else re.findall(_NAME, found[3])
    return Columns(table(found[1]), tuple(_bare(name) for name in named))


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


class SoftDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this table marks soft-deleted rows.

    Either a boolean column `deleted`, a nullable time column `deleted_at`, or both; or any
    other convention: `live` is the condition that a row is not deleted, `set` assigns SQL
    expressions to the columns that mark it as deleted. A time column may stand beside
    `live`.
    """

    table: str
    deleted: str = ""
    deleted_at: str = ""
    live: str | None = None
    assigned: dict[str, str] = msgspec.field(name="set", default_factory=dict)
    id: tuple[str, ...] = ()
    name: CheckName | None = None
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        """Require one convention and closed expressions; raises ValueError."""
        table(self.table)
        if self.live is not None and self.deleted:
            raise ValueError("write either `deleted` or `live`, not both")
        if self.live is None and not (self.deleted or self.deleted_at):
            raise ValueError(
                "a soft delete has a boolean column `deleted`, a timestamp column "
                "`deleted_at`, or both; for any other convention write `live` and `set`"
            )
        if self.assigned and self.live is None:
            raise ValueError("`set` needs `live`: the condition that a row is not deleted")
        for text in (*filter(None, [self.live]), *self.assigned.values()):
            condition.closed(text)
        if self.live is not None and is_true(self.live):
            raise ValueError(
                f"`live = {self.live!r}` holds for every row, so none would be deleted"
            )

    @property
    def marks(self) -> dict[str, str]:
        """By column the SQL expression that marks a row as deleted; empty if unknown."""
        if self.live is not None:
            return self.assigned
        marks = {self.deleted: "true", self.deleted_at: "now()"}
        return {column: value for column, value in marks.items() if column}

    @property
    def condition(self) -> str:
        """The condition that a row is not deleted, over the table's bare columns."""
        if self.live is not None:
            return self.live
        if self.deleted:
            return f"not {identifier(self.deleted)}"
        return f"{identifier(self.deleted_at)} is null"

    @property
    def checked(self) -> bool:
        """Whether checks of the marks follow from the entry."""
        return True


class UncheckedSoftDelete(SoftDelete, frozen=True, kw_only=True):
    """A soft delete of a built-in declaration, which has checks of the marks itself."""

    @property
    def checked(self) -> bool:
        """As above."""
        return False


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every value of the child's columns should be a key of the parent's."""

    child: str
    parent: str
    live: str | None = None
    parent_live: str | None = None
    key: Literal["foreign", "none", "any"] = "any"
    guard: bool | msgspec.UnsetType = msgspec.UNSET  # unset is not our concern
    deferrable: bool | Literal["deferred", "immediate"] | None = None  # of the guard's key
    on_delete: Literal["soft_delete", "null", "delete", "keep", "refuse"] = "refuse"
    on_orphan: Literal["soft_delete", "tombstone", "null", "delete", "report"] = "report"
    severity: Severity = Severity.ERROR
    id: tuple[str, ...] = ()
    name: CheckName | None = None

    def __post_init__(self) -> None:
        """Insist on columns that pair off, and on conditions."""
        mine, theirs = len(self.source.columns), len(self.target.columns)
        if mine != theirs:
            raise ValueError(
                f"{self.label} pairs {mine} columns with {theirs}: write as many of each"
            )
        for text in (self.live, self.parent_live):
            if text:
                condition.closed(text)

    @property
    def soft_deletes_orphans(self) -> bool:
        """Whether its repair marks orphans as deleted, in either spelling."""
        return self.on_orphan in ("soft_delete", "tombstone")

    @property
    def source(self) -> Columns:
        """The child's table and columns."""
        return columns(self.child)

    @property
    def target(self) -> Columns:
        """The parent's table and columns."""
        return columns(self.parent)

    @property
    def label(self) -> str:
        """How people call it: `invoices.customer_id -> customers.id`."""
        return f"{self.source.label} -> {self.target.label}"


class Default(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row among the live ones, or one of each group, carries a flag."""

    table: str
    flag: str
    per: tuple[str, ...] = ()
    among: str | None = None
    elect: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    flag_on_deleted: bool = False
    required: bool = False
    severity: Severity = Severity.ERROR
    id: tuple[str, ...] = ()
    name: CheckName | None = None

    def __post_init__(self) -> None:
        """Insist on a table, a condition and an order."""
        table(self.table)
        if self.among:
            condition.closed(self.among)
        for text in (*self.elect, *self.keep):
            order(text)

    @property
    def computed(self) -> Mapping[str, str]:
        """Names that `per` and `elect` may use beside columns: SQL over the row `this`."""
        return {}

    @property
    def consulted(self) -> Mapping[str, tuple[str, ...]]:
        """The other tables and columns that `computed` reads."""
        return {}

    def order(self, alias: str, id: Sequence[str], *, keep: bool = False) -> str:
        """Which row is elected first, over an alias; rows that are alike by their key.

        With `keep`, which of several rows keeps the flag.
        """
        named = [order(text) for text in (self.keep if keep else ()) or self.elect]
        named += [(c, "") for c in id if c not in [name for name, _ in named]]
        return ", ".join(f"{alias}.{identifier(name)}{how}" for name, how in named)


class ComputedDefault(Default, frozen=True, kw_only=True):
    """A default of a built-in declaration, whose election consults other tables."""

    names: dict[str, str]
    reads: dict[str, tuple[str, ...]]

    @property
    def computed(self) -> Mapping[str, str]:
        """As above."""
        return self.names

    @property
    def consulted(self) -> Mapping[str, tuple[str, ...]]:
        """As above."""
        return self.reads


def order(text: str) -> tuple[str, str]:
    """The column and the direction of `created_at desc`; raises ValueError."""
    words = _DIRECTION.search(text)
    how = words[0] if words else ""
    name = text[: len(text) - len(how)].strip()
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"`{text}` is no order: write `column`, `column desc`, "
            "or `column desc nulls last`"
        )
    return _bare(name), " ".join(("", *how.lower().split()))


class Unique(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No two live rows have the same values in these columns, or of these expressions.

    NULL equals nothing, as in a unique index. `keep` is the order in which one of several
    rows is kept; the repair soft-deletes the others.
    """

    table: str
    columns: tuple[str, ...]
    keep: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    id: tuple[str, ...] = ()
    name: CheckName | None = None

    def __post_init__(self) -> None:
        """Require a table, columns or closed expressions, and orders."""
        table(self.table)
        if not self.columns:
            raise ValueError("`columns` is empty: name what is unique among live rows")
        for text in self.columns:
            if column(text) is None:
                condition.closed(text)
        for text in self.keep:
            order(text)

    @property
    def stored(self) -> tuple[str, ...]:
        """Those of the columns that are columns by name."""
        return tuple(name for text in self.columns if (name := column(text)) is not None)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The others."""
        return tuple(text for text in self.columns if column(text) is None)

    @property
    def sql(self) -> tuple[str, ...]:
        """Each of the columns as SQL over the table's bare columns."""
        names = [column(text) for text in self.columns]
        return tuple(
            f"(\n{text}\n)" if name is None else identifier(name)
            for text, name in zip(self.columns, names, strict=True)
        )


def column(text: str) -> str | None:
    """The column that a word or a name in quotes means; None of an expression."""
    text = text.strip()
    if re.fullmatch(r'\w+|"(?:[^"]|"")+"', text) and not text[0].isdigit():
        return _bare(text)
    return None


class Declarations(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that is declared of one database."""

    soft_delete: tuple[SoftDelete, ...] = ()
    reference: tuple[Reference, ...] = ()
    default: tuple[Default, ...] = ()
    unique: tuple[Unique, ...] = ()
    # Of each kind of entry, how many come first and from the project that is extended.
    inherited: dict[str, int] = {}

    def path(self, kind: str, n: int) -> str:
        """How a person finds an entry in the project file: `reference[2]`."""
        first = self.inherited.get(kind, 0)
        return f"{kind}[{n - first}]" if n >= first else f"built-in {kind}[{n}]"

    def live(self, name: str) -> str:
        """The condition that a row of a table is not deleted; empty if all count."""
        soft = self.soft(name)
        return soft.condition if soft else ""

    def sides(self, ref: Reference) -> tuple[str, str]:
        """The conditions for the children and parents that count; empty if all count.

        With `on_delete = "keep"` children outlive their parent: deleted parents count.
        """
        live, parent_live = ref.live, ref.parent_live
        if live is None:
            live = self.live(ref.source.table)
        if parent_live is None:
            kept = ref.on_delete == "keep"
            parent_live = "" if kept else self.live(ref.target.table)
        return (
            "" if is_true(live) else live,
            "" if is_true(parent_live) else parent_live,
        )

    def among(self, flag: Default) -> str:
        """The condition of the rows that may carry a flag; empty where all may."""
        return self.live(table(flag.table)) if flag.among is None else flag.among

    def soft(self, name: str) -> SoftDelete | None:
        """The soft delete of a table."""
        return self._soft.get(name)

    def id(self, name: str) -> tuple[str, ...]:
        """The columns that tell the rows of a table apart; `id` where nobody says."""
        return self._ids.get(name, ("id",))

    @cached_property
    def _soft(self) -> dict[str, SoftDelete]:
        return {table(e.table): e for e in reversed(self.soft_delete)}

    @cached_property
    def _ids(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, entry in self.entries():
            if entry.id:
                found.setdefault(name, entry.id)
        return found

    def entries(self) -> Iterator[tuple[str, SoftDelete | Reference | Default | Unique]]:
        """Each entry with the table that its checks look at."""
        yield from ((table(e.table), e) for e in self.soft_delete)
        yield from ((e.source.table, e) for e in self.reference)
        yield from ((table(e.table), e) for e in self.default)
        yield from ((table(e.table), e) for e in self.unique)

    def deletable(self) -> dict[str, set[str]]:
        """By table the columns that deleting rows writes; none if it removes the rows."""
        found: dict[str, set[str]] = {}
        for name in self.tables():
            soft = self.soft(name)
            found[name] = set(soft.marks) if soft else set()
        for ref in self.reference:
            if ref.on_delete == "delete":
                found[ref.source.table] = set()
            elif ref.on_delete == "null" and found[ref.source.table]:
                found[ref.source.table].add(ref.source.columns[-1])
        for name, flag in self.defaults():
            if found[name]:
                found[name].add(flag.flag)
        return found

    def defaults(self) -> Iterator[tuple[str, Default]]:
        """The defaults with their tables."""
        yield from ((table(e.table), e) for e in self.default)

    def tables(self) -> dict[str, dict[str, str]]:
        """The tables declared, with each of their columns and the path that names it."""
        found: dict[str, dict[str, str]] = {}

        def add(table: str, path: str, names: Sequence[str]) -> None:
            mine = found.setdefault(table, {})
            for name in names:
                if name:
                    mine.setdefault(name, path)

        for n, soft in enumerate(self.soft_delete):
            path = self.path("soft_delete", n)
            add(table(soft.table), f"{path}.deleted", (soft.deleted,))
            add(table(soft.table), f"{path}.deleted_at", (soft.deleted_at,))
            add(table(soft.table), f"{path}.set", tuple(soft.assigned))
        for n, ref in enumerate(self.reference):
            path = self.path("reference", n)
            add(ref.source.table, f"{path}.child", ref.source.columns)
            add(ref.target.table, f"{path}.parent", ref.target.columns)
        for n, flag in enumerate(self.default):
            path = self.path("default", n)
            mine = {
                "flag": (flag.flag,),
                "per": flag.per,
                "elect": [order(text)[0] for text in flag.elect],
                "keep": [order(text)[0] for text in flag.keep],
            }
            for key, names in mine.items():
                stored = [name for name in names if name not in flag.computed]
                add(table(flag.table), f"{path}.{key}", stored)
        for n, unique in enumerate(self.unique):
            path = self.path("unique", n)
            add(table(unique.table), f"{path}.columns", unique.stored)
            kept = [order(text)[0] for text in unique.keep]
            add(table(unique.table), f"{path}.keep", kept)
        return found
