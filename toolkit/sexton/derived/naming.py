"""What derived checks are called, and how their messages show columns."""

import re
from collections.abc import Sequence

from sexton.catalog.identifiers import identifier
from sexton.condition import tokens
from sexton.reference import Default, Reference, Unique, column, table


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


# Words of an expression that name no column; a type or a collation follows some of them.
_TYPED = frozenset({"as", "collate", ":"})
_WORDS = _TYPED | set(
    """
    and or not is null true false case when then else end in between like ilike from for
    at time zone
    """.split()  # noqa: SIM905
)


def unique_name(unique: Unique) -> str:
    """The name of the check of rows that are unique among live ones."""
    if unique.name:
        return unique.name
    return f"{stem(table(unique.table), *columns_of(unique))}_duplicated"


def columns_of(unique: Unique) -> tuple[str, ...]:
    """The columns that are unique together, those in expressions as well."""
    names = [name for text in unique.columns for name in _identifiers(text)]
    return tuple(dict.fromkeys(names))


def _identifiers(text: str) -> list[str]:
    """The columns that an expression names, as far as its text tells."""
    if (name := column(text)) is not None:
        return [name]
    found, read = list[str](), tokens(text)
    typed = False
    for n, token in enumerate(read):
        following = read[n + 1].text if n + 1 < len(read) else ""
        if token.text == "." and typed:
            continue  # the type has a schema
        if token.named and not typed:
            word = token.kind == "name" and token.text in _WORDS
            found += [] if word or following in ("(", ".") else [token.text]
        typed = token.text in _TYPED or (typed and following == ".")
    return found


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
