"""What the database has: a table's columns, and which revision it is at."""

from typing import Literal

from sexton.catalog.relations import resolve
from sexton.database import Connection, rows, scalar
from sexton.errors import WrongSchema

VERSION_SCHEMA = "sexton"  # everything that is Sexton's own lives here
VERSION_TABLE = "alembic_version"
VERSIONS = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
UNRECORDED = "sexton adopt recognises such a database"  # that records no revision

Sight = Literal["absent", "hidden", "visible"]


def columns(connection: Connection, table: str) -> set[str]:
    """The names of a table's columns; empty where the caller's path leads to no such table.

    The catalogs show them also to a role that may not read the table.
    """
    found = resolve(connection, [table], judged=False).get(table)
    if found is None:
        return set()
    listed = rows(
        connection,
        """
        select a.attname::pg_catalog.text as name
        from pg_catalog.pg_attribute a
        where a.attrelid = %s::pg_catalog.oid
          and a.attnum > 0::pg_catalog.int2 and not a.attisdropped
        order by a.attnum
        """,
        found.oid,
    )
    return {column["name"] for column in listed}


def sight(connection: Connection) -> Sight:
    """Whether the database says its revision, and whether this role may read it.

    Raises WrongSchema if what is called so is no table, and Refused if reading it may run
    code of an owner who is not trusted.
    """
    found = resolve(connection, [VERSIONS], judged=False).get(VERSIONS)
    if found is None:
        return "absent"
    if found.kind != "r":
        raise WrongSchema(
            "sexton.alembic_version is no table, and not Sexton's",
            hint="find out who made it, and drop it",
        )
    if refused := found.refusal():
        raise refused
    return "visible" if found.readable else "hidden"


def revision(connection: Connection) -> str | None:
    """The revision the database says it has, or None where it says nothing.

    Where it may not be read, the server says so.
    """
    return None if sight(connection) == "absent" else _recorded(connection)


def visible_revision(connection: Connection) -> str | None:
    """The revision, or None also where this role may not see it: looking must not fail."""
    return _recorded(connection) if sight(connection) == "visible" else None


def _recorded(connection: Connection) -> str | None:
    found = scalar(connection, "select version_num from sexton.alembic_version")
    return None if found is None else str(found)
