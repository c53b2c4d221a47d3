"""Which tables cannot be read now, for another session has locked them; and who that is."""

from collections.abc import Collection

from sexton.audit.rewrites import Seen
from sexton.database import Connection, rows
from sexton.ddl.steps import CONFLICTS
from sexton.postgres.blockers import holding

# A reader waits behind ACCESS EXCLUSIVE alone, and behind whoever waits for it.
BLOCKED = """
    select distinct w.root, l.relation::pg_catalog.int8 as relation
    from rows from (
        pg_catalog.unnest(%s::pg_catalog.int8[]), pg_catalog.unnest(%s::pg_catalog.int8[])
    ) as w (root, oid)
    join pg_catalog.pg_locks l
      on l.relation = w.oid::pg_catalog.oid
      or l.relation in (
          select i.indexrelid from pg_catalog.pg_index i
          where i.indrelid = w.oid::pg_catalog.oid
      )
    where l.locktype = 'relation'::pg_catalog.text
      and l.mode = 'AccessExclusiveLock'::pg_catalog.text
      and l.pid is distinct from pg_catalog.pg_backend_pid()
      and l.database = (
          select d.oid from pg_catalog.pg_database d
          where d.datname = pg_catalog.current_database()
      )
"""


def blocked(connection: Connection, before: Seen, roots: Collection[int]) -> dict[int, str]:
    """Those of the tables that cannot be read now, each with who has locked it."""
    members = [one for root in roots for one in before.members.get(root, ())]
    found: dict[int, list[int]] = {}
    for row in rows(
        connection, BLOCKED, [one.root for one in members], [one.oid for one in members]
    ):
        found.setdefault(row["root"], []).append(row["relation"])
    return {root: _who(connection, relations) for root, relations in found.items()}


def _who(connection: Connection, relations: list[int]) -> str:
    for session in holding(connection, relations, CONFLICTS["access share"]):
        return session.summary()
    return "a session that itself waits for ACCESS EXCLUSIVE"
