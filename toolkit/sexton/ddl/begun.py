"""Steps that an interrupted revision has made and whose result looks like a mistake.

A constraint that is to be dropped and does not exist was either dropped by a run that was
interrupted, or is called otherwise here. Such a step leaves a row in `sexton.begun`, in its
own transaction; whoever completes the revisions removes it.
"""

import psycopg

from sexton.database import Connection, rows, scalar
from sexton.ddl.own_schema import make_schema, require_own_schema
from sexton.errors import Refused, SextonError

THERE = """
    select exists (
        select from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname::text operator(pg_catalog.=) 'sexton'
          and c.relname::text operator(pg_catalog.=) 'begun'
          and c.relkind::text operator(pg_catalog.=) 'r'
    )
"""


def _is_ours(driver: Connection) -> bool:
    """Whether the table exists and no stranger's code runs by reading or writing it."""
    try:
        return bool(scalar(driver, THERE)) and require_own_schema(driver, "sexton")
    except Refused:
        return False


def was_made(driver: Connection, start: str | None, title: str) -> bool:
    """Whether a run from the revision `start`, or any, made a step of this title."""
    if not _is_ours(driver):
        return False
    found = rows(
        driver,
        "select from sexton.begun where step operator(pg_catalog.=) %s::pg_catalog.text "
        "and start operator(pg_catalog.=) coalesce(%s::pg_catalog.text, start)",
        title,
        start,
    )
    return bool(found)


def note(driver: Connection, start: str, title: str, *, make: bool) -> str | None:
    """Note in the caller's transaction that a step is made; returns why it could not.

    Unless `make`, nothing is noted if the schema does not exist.
    """
    try:
        with driver.transaction():
            if not require_own_schema(driver, "sexton"):
                if not make:
                    return None
                make_schema(driver, "sexton")
            driver.execute(
                "create table if not exists sexton.begun "
                "(start pg_catalog.text not null, step pg_catalog.text not null)"
            )
            driver.execute("insert into sexton.begun values (%s, %s)", (start, title))
    except psycopg.errors.LockNotAvailable:
        raise
    except (SextonError, psycopg.Error) as error:
        return str(error).partition("\n")[0]
    return None


def forget(driver: Connection) -> None:
    """Remove what is noted of revisions that are complete."""
    if _is_ours(driver):
        driver.execute("delete from sexton.begun")
