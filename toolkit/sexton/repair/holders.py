"""Holders: who is in the way of a repair, for the end of a sentence."""

# ruff: noqa: S608 - queries of ours

from typing import Any

from sexton.database import REPAIR, Connection, rows
from sexton.text.printable import printable

SESSIONS = """
    select distinct
        a.pid, a.usename::pg_catalog.text as role, a.application_name as application,
        a.state,
        extract(epoch from pg_catalog.statement_timestamp() - a.xact_start)::pg_catalog.int8
            as age
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.granted and l.pid <> pg_catalog.pg_backend_pid()
"""


def holders(connection: Connection, oids: list[int]) -> str:
    """Who may hold rows of these tables locked, as the end of a sentence."""
    found = rows(
        connection,
        f"""{SESSIONS}
          and l.database = (
              select d.oid from pg_catalog.pg_database d
              where d.datname = pg_catalog.current_database()
          )
          and l.relation = any (%s::pg_catalog.oid[])
          and l.mode <> 'AccessShareLock'::pg_catalog.text
        order by age desc nulls last, a.pid
        """,
        oids,
    )
    return _listed("; locks on its tables are held by ", found)


def lock_holder(connection: Connection) -> str:
    """Who holds the lock of repairs, as the end of a sentence."""
    found = rows(
        connection,
        f"""{SESSIONS}
          and l.locktype = 'advisory'::pg_catalog.text
          and l.classid::pg_catalog.int8 = %s::pg_catalog.int8
          and l.objid::pg_catalog.int8 = %s::pg_catalog.int8
          and l.objsubid = 1::pg_catalog.int2
        order by age desc nulls last, a.pid
        """,
        REPAIR >> 32,
        REPAIR & 0xFFFFFFFF,
    )
    return _listed(": ", found)


def _listed(lead: str, found: list[dict[str, Any]]) -> str:
    said = []
    for row in found[:3]:
        application = f" ({printable(row['application'])})" if row["application"] else ""
        age = "" if row["age"] is None else f", for {row['age']} s"
        state = f", {row['state']}{age}" if row["state"] else ""
        said.append(f"pid {row['pid']}, {printable(str(row['role']))}{application}{state}")
    return lead + "; ".join(said) if said else ""
