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
    found = resolve(connection, [table]).get(table)
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

    Raises WrongSchema where what is called so is no table: a view would run its owner's
    functions with the rights of whoever reads it.
    """
    found = rows(
        connection,
        """
        select
            c.relkind::pg_catalog.text as kind,
            pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text)
            and pg_catalog.has_table_privilege(c.oid, 'select'::pg_catalog.text)
                as readable
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'sexton'::pg_catalog.name
          and c.relname = 'alembic_version'::pg_catalog.name
        """,
    )
    if not found:
        return "absent"
    if found[0]["kind"] != "r":
        raise WrongSchema(
            "sexton.alembic_version is no table, and not Sexton's",
            hint="find out who made it, and drop it",
        )
    return "visible" if found[0]["readable"] else "hidden"


def revision(connection: Connection) -> str | None:
    """The revision the database says it has, or None where it says nothing.

    Where it may not be read, the server says so.
    """
    if sight(connection) == "absent":
        return None
    found = scalar(connection, "select version_num from sexton.alembic_version")
    return None if found is None else str(found)


def visible_revision(connection: Connection) -> str | None:
    """The revision, or None also where this role may not see it: looking must not fail."""
    return revision(connection) if sight(connection) == "visible" else None
