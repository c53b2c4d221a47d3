"""Sessions: what a role or a database sets for them does not change what is read.

The first statement of every connection calls everything by its whole name, operators
included. It notes in which schemas the user's names are looked up, and sees to it that
from then on `pg_catalog` comes first: whoever may create objects elsewhere cannot put one
in the place of the server's own.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, tuple_row

# What our own statements see: pg_temp last, or a temporary table would come first.
SAFE_PATH = "pg_catalog, pg_temp"

# Values come out whole, in the form that the driver reads, and go in as they came out.
EXACT = {
    "DateStyle": "ISO",  # the order of day and month stays the role's
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",  # expressions are compared as the catalogs have them
    "gin_fuzzy_search_limit": "0",  # else an index may leave rows out
}
# For a transaction that reads or writes the rows of users' tables.
ROWS = {
    **EXACT,
    "search_path": SAFE_PATH,
    "statement_timeout": "60s",
    "row_security": "off",  # a policy would hide rows
    "jit": "off",
}
# Of whatever may wait, a read of the catalogs included: pg_get_expr() locks the table.
LOCK_TIMEOUT = "10s"
# Nobody ends a session that waits for others.
PATIENT = {
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What the first statement found: where the connection leads, and its path.

    `server` is when it was started, to the microsecond, `database` the oid. `path` are the
    schemas in which names are looked up; `direct` says that no pooler stands between.
    """

    server: str
    database: int
    path: list[str]
    setting: str
    direct: bool


# Behind a pooler sessions are everybody's: there, the settings end with the statement.
FIRST = """
    with before as materialized (
        select
            pg_catalog.current_schemas(true)::pg_catalog.text[] as path,
            pg_catalog.current_setting('search_path'::pg_catalog.text) as setting,
            pg_catalog.pg_backend_pid()
                operator(pg_catalog.=) %(pid)s::pg_catalog.int4 as direct,
            pg_catalog.encode(
                pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()),
                'hex'::pg_catalog.text
            ) as server,
            (
                select d.oid::pg_catalog.int8 from pg_catalog.pg_database d
                where d.datname operator(pg_catalog.=) pg_catalog.current_database()
            ) as database
    ),
    changed as materialized (
        select pg_catalog.set_config(
            s.name, s.value, not (b.direct and %(keep)s::pg_catalog.bool)
        )
        from before b, rows from (
            pg_catalog.unnest(%(names)s::pg_catalog.text[]),
            pg_catalog.unnest(%(values)s::pg_catalog.text[])
        ) as s (name, value)
    )
    select b.*, (select pg_catalog.count(*) from changed) as changed from before b
"""


def first_statement(connection: psycopg.Connection[Any], *, keep: bool = True) -> Found:
    """Run the first statement, and return what it found.

    With `keep`, the session is ours, and safe from then on; else it stays as it is.
    """
    wanted = {"search_path": SAFE_PATH, **EXACT, **PATIENT} if keep else {}
    known: Any = connection
    with connection.cursor(row_factory=dict_row) as cursor:
        [row] = cursor.execute(
            FIRST,
            {
                "pid": connection.info.backend_pid,
                "keep": keep,
                "names": list(wanted),
                "values": list(wanted.values()),
            },
        ).fetchall()
    del row["changed"]
    found = Found(**row)
    if keep:
        known.sexton_path, known.sexton_direct = found.path, found.direct
        if found.direct:
            set_parameters(connection, {"search_path": _catalog_first(found)})
    return found


def _catalog_first(found: Found) -> str:
    """The user's path, without a `pg_catalog` that others' objects come before."""
    explicit = [schema for schema in found.path if not schema.startswith("pg_temp")]
    if explicit[:1] == ["pg_catalog"]:
        return found.setting
    names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in explicit]
    return ", ".join(name for name in names if name != '"pg_catalog"')


# A shorter one that somebody has set stays.
BOUND = """
    select pg_catalog.set_config('lock_timeout', %s, %s) from pg_catalog.pg_settings s
    where s.name = 'lock_timeout' and s.setting::pg_catalog.int4 not between 1 and 10000
"""
SET = """
    select pg_catalog.set_config(name, value, %s)
    from rows from (
        pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[])
    ) as s (name, value)
    where pg_catalog.current_setting(name, true) is not null
"""

EXCHANGE = """
    with before as materialized (
        select s.name, s.wanted, pg_catalog.current_setting(s.name, true) as value
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[])
        ) as s (name, wanted)
    )
    select b.name, b.value, pg_catalog.set_config(b.name, b.wanted, %s)
    from before b where b.value is not null
"""


def set_parameters(
    connection: psycopg.Connection[Any], wanted: Mapping[str, str], *, local: bool = False
) -> None:
    """Set those parameters that the server has; if `local`, for the transaction."""
    connection.execute(SET, (local, list(wanted), list(wanted.values())))


def exchange(
    connection: psycopg.Connection[Any], wanted: Mapping[str, str], *, local: bool = True
) -> dict[str, str]:
    """Set the parameters that the server has, and return what they were.

    They are `local` to the transaction, or the session's.
    """
    found = rows(connection, EXCHANGE, list(wanted), list(wanted.values()), local)
    return {row["name"]: row["value"] for row in found}


def bound_waits(connection: psycopg.Connection[Any]) -> None:
    """Let no statement wait for a lock longer than LOCK_TIMEOUT, unless told otherwise."""
    if getattr(connection, "sexton_direct", True):
        connection.execute(BOUND, (LOCK_TIMEOUT, False))


def safe_transaction(connection: psycopg.Connection[Any]) -> None:
    """Make a transaction safe as the session would be, behind a pooler: it is nobody's."""
    if not getattr(connection, "sexton_direct", True):
        set_parameters(connection, EXACT, local=True)
        connection.execute(BOUND, (LOCK_TIMEOUT, True))


@contextlib.contextmanager
def _bounded(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let a read outside a transaction have one behind a pooler, which bounds its waits."""
    pooled = not getattr(connection, "sexton_direct", True)
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    if not (pooled and idle and connection.autocommit):
        yield
        return
    with connection.transaction():
        safe_transaction(connection)
        yield


def scalar(
    connection: psycopg.Connection[Any],
    query: LiteralString,
    /,
    *args: object,
    **named: object,
) -> Any:
    """The first column of the first row, or None. Parameters as in `rows`."""
    with _bounded(connection), connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query, args or named or None).fetchone()
        return row[0] if row else None


def rows(
    connection: psycopg.Connection[Any],
    query: LiteralString,
    /,
    *args: object,
    **named: object,
) -> list[dict[str, Any]]:
    """All rows of a query, each as a dictionary. Parameters have places, or names."""
    # Not the connection's own row factory: SQLAlchemy's connections make tuples.
    with _bounded(connection), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, args or named or None).fetchall()
