"""Drift: where the catalogs contradict the revision that the database says it has.

What a revision promises, its steps declare as facts; an audit, `sexton status`, `adopt`
and every upgrade ask the same.
"""

from collections.abc import Callable

from psycopg.rows import tuple_row

from sexton.catalog.relations import bind, named, resolve
from sexton.catalog.schema import VERSION_TABLE, revision
from sexton.database import Connection
from sexton.ddl import revisions
from sexton.ddl.revisions import Fact
from sexton.ddl.session import own_session
from sexton.errors import SchemaDrift, WrongSchema
from sexton.guard.binding import loosely, offline
from sexton.guard.spec import columns_of
from sexton.project import current


def facts(connection: Connection | None = None) -> list[Fact]:
    """What holds at the project's revisions, and of its guards at all of them.

    Without a connection, guards are left out whose conditions take a server to be read.
    """
    return revisions.facts(revisions.load(current().migrations)) + guards(connection)


def guards(connection: Connection | None = None) -> list[Fact]:
    """What holds of the project's guards: each is whole, or not there at all."""
    found = []
    for spec in current().guards:
        try:
            guard = loosely(connection, spec) if connection else offline(spec)
        except WrongSchema:
            continue
        found.append(
            Fact(
                table=spec.child,
                subject=f"the guard of {columns_of(spec.child, spec.columns)}",
                since=1,
                until=None,
                broken="the guard is incomplete: sexton guard add makes it whole, "
                "sexton guard remove takes it away",
                holds=f"select {guard.whole_or_absent}",
            )
        )
    return found


def held(connection: Connection) -> list[tuple[Fact, bool]]:
    """All facts, of all revisions, and whether each holds now. Reads catalogs alone."""
    return _held(connection, facts)


def broken_guards(connection: Connection) -> list[str]:
    """One sentence for each guard that is neither whole nor absent."""
    return [
        f"{fact.table}: {fact.broken}"
        for fact, holds in _held(connection, guards)
        if not holds
    ]


def _held(
    connection: Connection, asked_of: Callable[[Connection], list[Fact]]
) -> list[tuple[Fact, bool]]:
    with own_session(connection):
        if not (asked := asked_of(connection)):
            return []
        query = "select " + ", ".join(f"({fact.holds})" for fact in asked)
        sql = bind(query, resolve(connection, named(query)))
        row = connection.cursor(row_factory=tuple_row).execute(sql).fetchone()
    return list(zip(asked, row or (), strict=True))


def drift(connection: Connection, *, until: str | None = None) -> list[str]:
    """One sentence for each table that drifted; empty where the database keeps its word.

    A database without a revision promises nothing, so it has no drift. `until` leaves out
    what holds no longer at another revision. If the schema is exactly that of a later
    revision than the one recorded, this is all that is said; of an earlier one it is
    said as well.
    """
    at = revision(connection)
    numbers = [known.number for known in revisions.load(current().migrations)]
    if at not in numbers:
        return []
    ordinals = [numbers.index(number) + 1 for number in (at, until) if number in numbers]
    broken = drift_at(connection, *ordinals)
    found = revision_found(connection) if broken and until is None else None
    if found not in numbers:
        return broken
    moved = [f"{VERSION_TABLE}: {MOVED.format(recorded=at, found=found)}"]
    # What an earlier revision lacks may also have been dropped by accident.
    return moved if numbers.index(found) > numbers.index(at) else [*broken, *moved]


MOVED = (
    "{recorded} is recorded, but the schema is that of {found}: "
    "sexton adopt --apply records it"
)


def revision_found(connection: Connection) -> str | None:
    """The newest revision of which everything holds; None if there is no such one."""
    everything = held(connection)
    for ordinal, known in reversed([*enumerate(revisions.load(current().migrations), 1)]):
        if all(holds for fact, holds in everything if fact.is_in_force(ordinal)):
            return known.number
    return None


def drift_at(connection: Connection, *ordinals: int) -> list[str]:
    """The same, for what is promised at all of these revisions, counted from 1."""
    broken: dict[str, list[str]] = {}
    for fact, holds in held(connection):
        if all(map(fact.is_in_force, ordinals)) and not holds:
            broken.setdefault(fact.table, []).append(fact.broken)
    return [f"{table}: {'; '.join(broken[table])}" for table in sorted(broken)]


def verify(connection: Connection) -> None:
    """Insist that there is no drift; raises SchemaDrift."""
    if found := drift(connection):
        raise SchemaDrift(
            "the schema contradicts its revision:\n  " + "\n  ".join(found),
            hint="restore what is missing; sexton explain schema_drift says more",
        )
