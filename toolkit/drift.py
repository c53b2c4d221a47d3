"""Drift: where the catalogs contradict a revision, read by the check `schema_drift`."""

from typing import Any

from checks.schema_drift import QUERY
from toolkit.database import Connection, rows
from toolkit.schema import visible_revision


def drift(connection: Connection, revision: str | None = None) -> list[str]:
    """One sentence for each contradiction with `revision`, by default the recorded one.

    Empty where the catalogs keep its word. A database without a revision promises
    nothing, so it has no drift.
    """
    at = revision or visible_revision(connection)
    if at is None:
        return []
    query: Any = QUERY.replace("{at}", "select %s::text as at")
    return [f"{row['object']} {row['problem']}" for row in rows(connection, query, at)]
