"""What is declared of a guard: the two tables, their columns, and which rows count.

Nothing here speaks to a database, so a project may declare its guards at no cost.
"""

import re
from dataclasses import asdict, dataclass

from sexton.errors import UsageError


@dataclass(frozen=True)
class Names:
    """What a guard's parts are called; `key` is the foreign key and the child's trigger."""

    key: str
    live: str  # the child's column
    live_check: str
    target: str  # the parent's column
    target_check: str
    target_trigger: str
    target_index: str

    @property
    def beside(self) -> "Names":
        """What the parts are called while they are made beside those of these names."""
        return Names(**{part: f"{name[:59]}_new" for part, name in asdict(self).items()})


@dataclass(frozen=True)
class GuardSpec:
    """A foreign key for those children that `live` is true of, to parents of `parent_live`.

    Tables are `[schema.]name`, columns pair off. Both conditions are SQL over the table's
    own bare columns, and immutable; an empty one counts every row. `check` is the check
    that finds the rows in its way. Raises UsageError where it makes no sense.
    """

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    live: str = "not deleted"
    parent_live: str = ""
    check: str = ""
    names: Names | None = None

    def __post_init__(self) -> None:
        """Refuse what no guard can be made of."""
        if not self.columns or len(self.columns) != len(self.parent_columns):
            raise UsageError(
                f"a guard pairs columns: {self.label} has {len(self.columns)} and "
                f"{len(self.parent_columns)}"
            )
        if not self.live.strip() and not self.parent_live.strip():
            raise UsageError(
                f"{self.label}: where every row counts on both sides, a plain foreign key "
                "does what a guard would",
                hint="say which rows count: --live, --parent-live",
            )

    @property
    def label(self) -> str:
        """How people call it: `invoices.customer_id -> customers.id`."""
        return f"{columns_of(self.child, self.columns)} -> " + columns_of(
            self.parent, self.parent_columns
        )


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
