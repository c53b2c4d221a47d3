"""Drift: where the catalogs contradict the revision that the database says it has.

The check `schema_drift` holds the facts and the query; so an audit, `sexton status` and
every upgrade see the same.
"""

import sys
from typing import Any

from psycopg.rows import tuple_row

from sexton.database import Connection, rows
from sexton.errors import SchemaDrift
from sexton.project import all_checks
from sexton.schema import revision

check = all_checks()["schema_drift"]
_facts = sys.modules[check.module]
FACTS, END = _facts.FACTS, _facts.END
Fact = Any


def drift(connection: Connection) -> list[str]:
    """One sentence for each table that drifted; empty where the database keeps its word.

    A database without a revision promises nothing, so it has no drift.
    """
    if revision(connection) is None:
        return []
    return [check.message.format_map(row) for row in rows(connection, check.find)]


def facts(connection: Connection) -> list[tuple[Fact, bool]]:
    """All facts, of all revisions, and whether each holds now. Reads catalogs alone."""
    query: Any = "select " + ", ".join(fact.holds for fact in FACTS)
    cursor = connection.cursor(row_factory=tuple_row)
    held = cursor.execute(query).fetchone()
    return list(zip(FACTS, held or (), strict=True))


def verify(connection: Connection) -> None:
    """Insist that there is no drift; raises SchemaDrift."""
    if found := drift(connection):
        raise SchemaDrift(
            "the schema contradicts its revision:\n  " + "\n  ".join(found),
            hint="sexton explain schema_drift",
        )
