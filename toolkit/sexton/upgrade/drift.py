"""Drift: where the catalogs contradict the revision that the database says it has.

What a revision promises, its steps declare as facts; an audit, `sexton status`, `adopt`
and every upgrade ask the same.
"""

from psycopg.rows import tuple_row

from sexton.database import Connection
from sexton.ddl import revisions
from sexton.ddl.questions import safe
from sexton.ddl.revisions import Fact
from sexton.ddl.session import own_session
from sexton.errors import SchemaDrift
from sexton.guard.facts import WHOLE_OR_ABSENT
from sexton.project import current
from sexton.schema import revision

GUARD_IS_WHOLE = Fact(
    table="chat_model_configs",
    subject="the guard",
    since=1,
    until=None,
    broken="the guard is incomplete: sexton guard add makes it whole, "
    "sexton guard remove takes it away",
    holds=f"select {WHOLE_OR_ABSENT}",
)


def facts() -> list[Fact]:
    """What holds at the project's revisions, and of a guard at all of them."""
    return [*revisions.facts(revisions.load(current().migrations)), GUARD_IS_WHOLE]


def held(connection: Connection) -> list[tuple[Fact, bool]]:
    """All facts, of all revisions, and whether each holds now. Reads catalogs alone."""
    asked = facts()
    with own_session(connection):
        query = "select " + ", ".join(f"({fact.holds})" for fact in asked)
        sql = safe(connection, query, (), {})
        row = connection.cursor(row_factory=tuple_row).execute(sql).fetchone()
    return list(zip(asked, row or (), strict=True))


def drift(connection: Connection, *, until: str | None = None) -> list[str]:
    """One sentence for each table that drifted; empty where the database keeps its word.

    A database without a revision promises nothing, so it has no drift. `until` leaves out
    what holds no longer at another revision.
    """
    at = revision(connection)
    numbers = [known.number for known in revisions.load(current().migrations)]
    if at not in numbers:
        return []
    places = [numbers.index(number) + 1 for number in (at, until) if number in numbers]
    return drift_at(connection, *places)


def drift_at(connection: Connection, *places: int) -> list[str]:
    """The same, for what is promised at all of these places, counted from 1."""
    broken: dict[str, list[str]] = {}
    for fact, holds in held(connection):
        if all(map(fact.is_in_force, places)) and not holds:
            broken.setdefault(fact.table, []).append(fact.broken)
    return [f"{table}: {'; '.join(broken[table])}" for table in sorted(broken)]


def verify(connection: Connection) -> None:
    """Insist that there is no drift; raises SchemaDrift."""
    if found := drift(connection):
        raise SchemaDrift(
            "the schema contradicts its revision:\n  " + "\n  ".join(found),
            hint="put back what is missing; sexton explain schema_drift says more",
        )
