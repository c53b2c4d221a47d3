"""What is declared of a guard: the two tables, their columns, and which rows count.

Nothing here speaks to a database, so a project may declare its guards at no cost.
"""

import re
from dataclasses import dataclass
from typing import Any

from sexton.errors import UsageError

# Columns that are markers; those of one guard alone were called `target` on its parent.
MARKER = "^sexton_(live|target)(_[0-9a-f]{8})?(_new)?$"


@dataclass(frozen=True)
class Names:
    """What a guard's parts are called.

    `live` is the child's marker and `target` the parent's: a column, and the CHECK and
    function of the same name that keep it. `key` is the foreign key.
    """

    key: str
    live: str
    target: str
    target_index: str


DEFERRABLE = {
    "no": "",
    "immediate": "deferrable initially immediate",
    "deferred": "deferrable initially deferred",
}
_SAID: dict[bool | str, str] = {
    True: "deferred",
    False: "no",
    **{said: said for said in DEFERRABLE},
}


def deferrability(said: object) -> str | None:
    """One of DEFERRABLE, of what is declared; None: as the key that the guard replaces.

    Raises ValueError.
    """
    if said is None:
        return None
    if isinstance(said, str | bool) and said in _SAID:
        return _SAID[said]
    raise ValueError(
        f"deferrable cannot be {said!r}: write true or 'deferred' (checked at commit), "
        "'immediate' (until SET CONSTRAINTS), or false"
    )


@dataclass(frozen=True)
class GuardSpec:
    """A foreign key for those children that `live` is true of, to parents of `parent_live`.

    Tables are `[schema.]name`, columns pair off. Both conditions are SQL over the table's
    own bare columns, and immutable; an empty one counts every row. `check` is the check
    that finds its orphans. `deferrable` is one of DEFERRABLE; None is that of the plain
    key over the same columns. Raises UsageError if the columns do not pair off.
    """

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    live: str = "not deleted"
    parent_live: str = ""
    check: str = ""
    names: Names | None = None
    deferrable: str | None = None

    def __post_init__(self) -> None:
        """Insist on columns that pair off."""
        if not self.columns or len(self.columns) != len(self.parent_columns):
            raise UsageError(
                f"a guard pairs columns: {self.label} has {len(self.columns)} and "
                f"{len(self.parent_columns)}"
            )

    @property
    def label(self) -> str:
        """How people call it: `invoices.customer_id -> customers.id`."""
        return f"{columns_of(self.child, self.columns)} -> " + columns_of(
            self.parent, self.parent_columns
        )

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of `op.add_guard` that set it."""
        return {
            "child": columns_of(self.child, self.columns),
            "parent": columns_of(self.parent, self.parent_columns),
            "live": self.live,
            "parent_live": self.parent_live,
            "deferrable": self.deferrable,
        }


def columns_of(table: str, columns: tuple[str, ...]) -> str:
    """One column as `table.column`, several as `table(a, b)`."""
    if len(columns) == 1:
        return f"{table}.{columns[0]}"
    return f"{table}({', '.join(columns)})"


def table_and_columns(reference: str) -> tuple[str, tuple[str, ...]]:
    """The table and columns of `[schema.]table.column` or `[schema.]table(a, b)`."""
    if match := re.fullmatch(r"\s*(.+?)\s*\((.+)\)\s*", reference):
        return match[1], tuple(column.strip() for column in match[2].split(","))
    table, dot, column = reference.strip().rpartition(".")
    if not dot or not table or not column:
        raise UsageError(
            f"{reference!r} names no column",
            hint="write TABLE.COLUMN, SCHEMA.TABLE.COLUMN or 'TABLE(A, B)'",
        )
    return table, (column,)
