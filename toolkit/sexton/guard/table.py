"""What a guard's tables and parts are called."""

import hashlib
import re
from dataclasses import dataclass

from sexton.catalog.relations import literal, quoted
from sexton.guard.spec import GuardSpec, Names

LONGEST = 34  # bytes of the readable middle of a name: 63 are allowed in all


@dataclass(frozen=True)
class Table:
    """A table by its whole name, and as it is called where it is declared.

    Without a schema where nobody looked it up. Steps, and queries for rows, say `called`:
    what runs them knows where it is, or what it will hold by then.
    """

    schema: str | None
    name: str
    called: str

    @property
    def sql(self) -> str:
        """Its name in SQL."""
        return self.in_same_schema(self.name)

    def in_same_schema(self, name: str) -> str:
        """The name in SQL of something in the table's schema."""
        return f"{quoted(self.schema)}.{quoted(name)}" if self.schema else quoted(name)

    @property
    def regclass(self) -> str:
        """Its oid in SQL, null where it is not there."""
        name = self.sql if self.schema or not _plain(self.name) else self.name
        return f"pg_catalog.to_regclass({literal(name)})"

    @property
    def rows(self) -> str:
        """Its rows in a step's query."""
        return quoted(self.called)


def _plain(name: str) -> bool:
    return re.fullmatch(r"[a-z_][a-z0-9_]*", name) is not None


def named(name: str) -> Table:
    """A table by a name as it is declared."""
    schema, dot, bare = name.partition(".")
    return Table(schema if dot else None, bare or schema, name)


def names(spec: GuardSpec, child: Table, parent: Table, live: str, target: str) -> Names:
    """The names of a guard's parts: its own, else short and stable ones.

    `live` and `target` are the conditions of the two sides as the server spells them: all
    guards of one table and condition have one marker. The child's schema counts only if
    it is not the parent's, so that a schema may be renamed, and two schemas may refer to
    one parent.
    """
    if spec.names:
        return spec.names
    apart = f"{child.schema}." if child.schema != parent.schema else ""
    whole = (apart, child.name, *spec.columns, "->", parent.name, *spec.parent_columns)
    readable = re.sub(r"[^a-z0-9]+", "_", "_".join((child.name, *spec.columns)).lower())
    marker = _marker(parent, target)
    return Names(
        key=f"sexton_guard_{readable[:LONGEST].strip('_')}_{_digest(*whole)}",
        live=_marker(child, live),
        target=marker,
        target_index=f"{marker}_{_digest(*spec.parent_columns)}",
    )


def _marker(table: Table, condition: str) -> str:
    return f"sexton_live_{_digest(table.name, condition.replace(chr(34), ''))}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
