"""Looking at guards: whether each is whole, and what it enforces. Reads catalogs alone."""

from collections.abc import Mapping
from typing import Any

from sexton.catalog.relations import Relation
from sexton.check import Reference
from sexton.database import Connection, scalar
from sexton.errors import SextonError
from sexton.guard.binding import bind, loosely
from sexton.guard.definition import Guard
from sexton.guard.predicate import in_pg_catalog
from sexton.guard.selection import detached, left_behind
from sexton.guard.spec import GuardSpec, columns_of
from sexton.project import current

SET, INCOMPLETE, NONE = "set", "incomplete", "none"
PASSED = (
    "triggers that every writer fires: a subscription writes to these tables, or a role "
    "or the database sets session_replication_role = replica"
)


def status(connection: Connection, *guards: GuardSpec | Guard) -> dict[str, Any]:
    """The document that `guard status --format json` prints. Reads the catalogs only.

    One guard is `set` if every part exists by its definition and its key is enforced,
    `none` if no part exists, else `incomplete`; `constraint` is the name of its key if it
    is enforced, by the audit's own proof; `detached` are the references of tables that
    keep parts of it since they were detached. All of them are `set` or `none` if each is,
    else `incomplete`. Raises WrongSchema if a table does not exist.
    """
    bound = [loosely(connection, one) for one in guards]
    with in_pg_catalog(connection):
        left = [detached(connection, guard) for guard in bound]
        apart = {one.child.table.sql for each in left for one in each}
        found = [
            _status(connection, guard, each)
            for guard, each in zip(bound, left, strict=True)
            if not (left_behind(guard) and guard.child.table.sql in apart)
        ]
    states = {INCOMPLETE if one["detached"] else one["guard"] for one in found} or {NONE}
    return {"guard": states.pop() if len(states) == 1 else INCOMPLETE, "guards": found}


def _status(connection: Connection, guard: Guard, left: list[Guard]) -> dict[str, Any]:
    asked = [*guard.parts.values(), guard.anything, guard.enforced]
    query: Any = f"select array[{', '.join(f'({one})::text' for one in asked)}]"
    *parts, anything, key = scalar(connection, query)
    there = {part: said == "true" for part, said in zip(guard.parts, parts, strict=True)}
    spec = guard.spec
    if key is None and all(there.values()):
        there[PASSED] = False
    return {
        "child": columns_of(spec.child, spec.columns),
        "parent": columns_of(spec.parent, spec.parent_columns),
        "live": guard.child.condition,
        "parent_live": guard.parent.condition,
        "guard": SET if all(there.values()) else INCOMPLETE if anything == "true" else NONE,
        "constraint": key,
        "parts": [{"part": part, "there": found} for part, found in there.items()],
        "detached": [columns_of(one.spec.child, one.spec.columns) for one in left],
    }


def enforced_by(
    connection: Connection,
    spec: GuardSpec,
    relations: Mapping[str, Relation] | None = None,
) -> str | None:
    """The name of the key that enforces a reference for its live rows, or None.

    Reads the catalogs only; None also where the tables are not there.
    """
    try:
        guard = bind(connection, spec, relations)
    except SextonError:
        return None
    with in_pg_catalog(connection):
        query: Any = guard.enforced
        found = scalar(connection, query)
    return None if found is None else str(found)


def anything(connection: Connection, *given: GuardSpec | Guard) -> bool:
    """Whether anything is there that `remove` would take away."""
    guards = [loosely(connection, one) for one in given]
    with in_pg_catalog(connection):
        return any(true(connection, guard.anything) for guard in guards)


def drift(connection: Connection, *guards: GuardSpec | Guard) -> list[str]:
    """One sentence for each guard that was begun and lacks a part."""
    sentences = []
    for one in status(connection, *guards)["guards"]:
        missing = [part["part"] for part in one["parts"] if not part["there"]]
        if missing == [PASSED]:
            sentences.append(f"the guard of {one['child']} lacks {PASSED}")
        elif one["guard"] == INCOMPLETE:
            sentences.append(
                f"the guard of {one['child']} is incomplete, it lacks "
                f"{', '.join(missing)}: sexton guard add makes it whole, "
                "sexton guard remove takes it away"
            )
    return sentences


def guarding(
    connection: Connection,
    table: str,
    ref: Reference,
    relations: Mapping[str, Relation] | None = None,
) -> str | None:
    """The name of the key by which a declared guard enforces a check's reference."""
    for spec in current().guards:
        if (spec.child, spec.columns) != (table, ref.columns):
            continue
        if (spec.parent, spec.parent_columns) != (ref.parent, ref.parent_keys):
            continue
        if (ref.parent_where or ref.parent_live) and not spec.parent_live:
            continue  # it holds for every parent, and the check asks for some
        return enforced_by(connection, spec, relations)
    return None


def true(connection: Connection, query: Any) -> bool:
    """Whether a query says so."""
    return bool(scalar(connection, query))
