"""What derived checks are called, and how their messages show columns."""

import re
from collections.abc import Sequence

from sexton.catalog.identifiers import identifier
from sexton.reference import Default, Reference


def stem(*names: str) -> str:
    """What a check is called after: the last part of a table, columns, in small letters."""
    table, *columns = names
    words = "_".join([table.rpartition(".")[2], *columns])
    found = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return found if found and not found[0].isdigit() else f"t_{found}"


def reference_name(ref: Reference) -> str:
    """The name of a reference's check."""
    side = ref.source
    return ref.name or f"{stem(side.table, *side.columns)}_dangling"


def flag_name(flag: Default) -> str:
    """What the checks of a default are called after."""
    return flag.name or f"{stem(flag.table)}_default"


class Shown:
    """Columns in a message, by a name that a template can hold."""

    def __init__(self) -> None:
        self.select: dict[str, str] = {}

    def __call__(self, columns: Sequence[str]) -> str:
        """One column as `{id}`, several as `({a}, {b})`."""
        said = ", ".join(self._one(column) for column in columns)
        return f"({said})" if len(columns) > 1 else said

    def _one(self, column: str) -> str:
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column):
            return "{" + column + "}"
        name = f"value_{len(self.select) + 1}"
        self.select[name] = f"this.{identifier(column)}"
        return "{" + name + "}"


def template(text: str) -> str:
    """A name as it stands in a message's template."""
    return text.replace("{", "{{").replace("}", "}}")


def same_row(id: Sequence[str]) -> dict[str, str]:
    """The condition of a repair: it is the row that was found."""
    return {column: f"found.{identifier(column)}" for column in id}
