"""What the database has: which tables and columns, which revision."""

from typing import Any

from psycopg.rows import dict_row

from sexton.database import Connection, rows, scalar

VERSION_SCHEMA = "sexton"  # everything that is Sexton's own lives here
VERSION_TABLE = "alembic_version"


# The relation named by a parameter; to ask for one in a schema barred to us is an error.
RELATION = """case
    when strpos(%(table)s, '.') = 0
        or has_schema_privilege(to_regnamespace(split_part(%(table)s, '.', 1)), 'usage')
    then to_regclass(%(table)s)
end"""


def column_types(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table, in order, with their types in SQL's spelling.

    Empty where the table is absent, or in a schema that this role may not enter.
    """
    query: Any = f"""
        select attname as name, format_type(atttypid, atttypmod) as type
        from pg_catalog.pg_attribute
        where attrelid = {RELATION} and attnum > 0 and not attisdropped
        order by attnum
    """  # noqa: S608 - a literal of ours
    found = connection.cursor(row_factory=dict_row).execute(query, {"table": table})
    return {column["name"]: column["type"] for column in found}


def columns(connection: Connection, table: str) -> set[str]:
    """The names of a table's columns; empty where it is absent or barred to this role."""
    return set(column_types(connection, table))


def has(connection: Connection, table: str, *names: str) -> bool:
    """Whether the table is there, with these columns."""
    present = columns(connection, table)
    return bool(present) and present.issuperset(names)


def revision(connection: Connection) -> str | None:
    """The revision the database says it has, or None where it says nothing."""
    if scalar(connection, "select to_regclass('sexton.alembic_version')") is None:
        return None
    found = rows(connection, "select version_num from sexton.alembic_version")
    return str(found[0]["version_num"]) if found else None


def visible_revision(connection: Connection) -> str | None:
    """The revision, or None also where this role may not see it: looking must not fail."""
    readable = scalar(
        connection,
        """
        select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'sexton' and c.relname = 'alembic_version'
        """,
    )
    return revision(connection) if readable else None
