"""Which rows count: a condition, read by the server itself and never by us.

EXPLAIN parses it over a table's columns and spells it in its own canonical form, without
touching a row and with no right on the table. A CHECK or a trigger made from that form is
spelt the same way by the catalogs, so that it is known again by its definition.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from sexton.catalog.relations import SAFE_PATH, quoted
from sexton.condition import HINT, beyond, closed
from sexton.database import Connection, scalar, set_local
from sexton.errors import Refused, WrongSchema
from sexton.guard.table import Table
from sexton.postgres.connect import another
from sexton.postgres.session import set_parameters

_SIMPLE = re.compile(
    r"\s*(?P<no>not\s+)?(?P<name>[a-z_][a-z0-9_]*)\s*(?P<null>is\s+(?:not\s+)?null)?\s*",
    re.IGNORECASE,
)
_WORDS = {"true", "false", "null", "not", "is"}
_STRING = re.compile(r"'(?:[^']|'')*'")
_COLUMN = re.compile(r'\bnew\.("(?:[^"]|"")+"|\w+|\*)')
_OTHER = "cross join pg_catalog.generate_series(1, 1) as sexton_other (sexton_nothing)"


@dataclass(frozen=True)
class Mark:
    """What a row's marker must be, true or null: over its columns, and over `new.`"""

    text: str
    new: str
    columns: tuple[str, ...]
    simple: bool = True


@contextlib.contextmanager
def in_pg_catalog(connection: Connection) -> Iterator[None]:
    """Look in pg_catalog alone, in a transaction or a part of one."""
    # Rolled back, or the path would stay in the caller's transaction.
    with connection.transaction(force_rollback=True):
        wanted = {"search_path": SAFE_PATH, "quote_all_identifiers": "off"}
        set_parameters(connection, wanted, local=True)
        yield


def simple(condition: str) -> Mark | None:
    """The mark of a condition on one column, such as `not deleted`; None for others.

    It is known without a server, so it may speak of a column that is still to be made.
    """
    found = _SIMPLE.fullmatch(condition)
    if not found or found["name"].lower() in _WORDS or (found["no"] and found["null"]):
        return None
    name = found["name"].lower()

    def say(row: str) -> str:
        column = f"{row}{quoted(name)}"
        if found["null"]:
            column = f"({column} {' '.join(found['null'].upper().split())})"
        return f"NULLIF({f'(NOT {column})' if found['no'] else column}, false)"

    return Mark(say(""), say("new."), (name,))


def read(
    connection: Connection, table: Table, types: dict[str, str], condition: str
) -> Mark:
    """The mark of a condition over a table's columns, of which `types` are the types.

    Raises WrongSchema where a column is not there, Refused where it is no condition over
    the columns alone. `immutable` is a question of its own.
    """
    if mark := simple(condition):
        require(table, types, mark.columns, condition)
        if " IS " in mark.text or types[mark.columns[0]] == "boolean":
            return mark
    if wrong := _beyond(connection, condition):
        raise Refused(f"{condition!r}, over {table.name}, {wrong}", hint=HINT)
    bare = _output(connection, table, condition, "sexton_row")
    new = _output(connection, table, condition, "new", _OTHER)
    names = [found.strip('"') for found in _COLUMN.findall(_STRING.sub("''", new))]
    columns = tuple(dict.fromkeys(name.replace('""', '"') for name in names))
    if not columns or not set(columns) <= types.keys():
        raise Refused(
            f"{condition!r} speaks of no column of {table.name}, or of the whole row",
            hint="leave it empty where every row counts",
        )
    return Mark(bare, new, columns, simple=False)


def _beyond(connection: Connection, text: str) -> str | None:
    try:
        closed(text)
    except ValueError:
        return "is no condition, closed in itself"
    return beyond(connection, text)


def require(
    table: Table, types: dict[str, str], columns: tuple[str, ...], why: str = ""
) -> None:
    """Insist on columns; raises WrongSchema."""
    for column in columns:
        if column not in types:
            raise WrongSchema(
                f"{table.name} has no column {column}"
                + (f", of which the guard's {why!r} speaks" if why else ""),
                hint="sexton upgrade, where a revision makes it; else see the spelling",
            )


def _output(
    connection: Connection, table: Table, condition: str, alias: str, more: str = ""
) -> str:
    """A mark as the server spells it; with two tables, columns have their table's name."""
    query: Any = f"""
        explain (verbose, costs off, format json)
        select nullif((\n{condition}\n), false)
        from pg_catalog.unnest(null::{table.sql}[]) as {alias} {more}
    """
    try:
        with in_pg_catalog(connection), connection.cursor(row_factory=tuple_row) as cursor:
            # The extended protocol takes one statement and no second.
            [[[document]]] = cursor.execute(query, binary=True).fetchall()
    except errors.UndefinedColumn as error:
        raise WrongSchema(
            f"{table.name}: {error.diag.message_primary}, in {condition!r}",
            hint="name the table's own columns, without the table",
        ) from None
    except (errors.ProgrammingError, errors.DataError, errors.NotSupportedError) as error:
        raise Refused(
            f"{condition!r} is no condition over the columns of {table.name}: "
            f"{error.diag.message_primary}",
            hint="operators and functions are looked for in pg_catalog alone: write others "
            "with their schema",
        ) from None
    plan = document["Plan"]
    plans = plan.get("Plans", [])
    wanted = "Nested Loop" if more else "Function Scan"
    if plan["Node Type"] != wanted or len(plan["Output"]) != 1 or len(plans) > 2:
        raise Refused(
            f"{condition!r} speaks of more than the columns of a row of {table.name}",
            hint="a sub-query, an aggregate or a set cannot be kept by a constraint",
        )
    return str(plan["Output"][0])


def require_immutable(
    connection: Connection, table: Table, mark: Mark, marker: str, check: str
) -> None:
    """Insist that a row's mark never changes by itself, and is known again.

    Asks the server by a temporary table that is rolled back. Raises Refused; says nothing
    on a standby, where nothing can be made.
    """
    if mark.simple or scalar(connection, "select pg_catalog.pg_is_in_recovery()"):
        return
    before = connection.read_only
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    reads = scalar(connection, "select pg_catalog.current_setting('transaction_read_only')")
    if not idle and reads == "on":  # as of a plan: the probe is another session's
        with contextlib.closing(another(connection)) as probing:
            require_immutable(probing, table, mark, marker, check)
        return
    if idle:
        connection.read_only = False
    try:
        with connection.transaction(force_rollback=True):
            set_local(connection, "search_path", SAFE_PATH)
            for statement in (
                f"create temp table sexton_probe (like {table.sql})",
                f"alter table pg_temp.sexton_probe "
                f"add column if not exists {marker} boolean",
                f"create index on pg_temp.sexton_probe ((1)) where {mark.text}",
                f"alter table pg_temp.sexton_probe add constraint probe check "
                f"({marker} is not distinct from {mark.text})",
            ):
                query: Any = statement
                connection.execute(query)
            spelt = scalar(
                connection,
                "select pg_catalog.pg_get_expr(conbin, conrelid) "
                "from pg_catalog.pg_constraint where conname = 'probe' "
                "and conrelid = 'pg_temp.sexton_probe'::pg_catalog.regclass",
            )
    except errors.InvalidObjectDefinition:
        raise Refused(
            f"{mark.text} is not immutable: a constraint cannot keep what time, settings "
            "or other tables may change",
            hint="compare columns with constants, not with now() or with another type",
        ) from None
    finally:
        if idle:
            connection.read_only = before
    if spelt.replace('"', "") != check.replace('"', ""):
        raise Refused(
            f"the server spells {check} otherwise: {spelt}",
            hint="write the condition in the server's own words",
        )
