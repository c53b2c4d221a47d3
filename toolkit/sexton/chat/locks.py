"""The locks Sexton takes, and their order: election, provider row, model configs.

Upstream's server knows nothing of the first. It locks a provider's row, then writes model
configs; the same order here means that neither ever waits for the other in a circle.
"""

from sexton.database import Connection, rows, scalar
from sexton.text.printable import printable

# Any constant will do, as long as nobody else uses it: "sexton" as a number, twice.
ELECTION = 0x736578746F6E01  # whoever may move the default


def lock_election(connection: Connection) -> None:
    """Take the election lock until the end of the transaction.

    It comes first in every transaction that may move the default. Without it, two of
    them see each other's old state: no default while a usable config lives, or a
    deadlock between tombstoning and promotion (domain facts 2.25 to 2.30).
    """
    scalar(
        connection,
        "select pg_catalog.pg_advisory_xact_lock(%s::pg_catalog.int8)",
        ELECTION,
    )


# Sessions that hold the election lock, or one of these tables against our changes.
HOLDERS = """
    select
        a.pid, a.usename::pg_catalog.text as role, a.application_name as application,
        coalesce(a.state, 'state hidden'::pg_catalog.text) as state,
        pg_catalog.date_part(
            'epoch'::pg_catalog.text, pg_catalog.clock_timestamp() - a.xact_start
        ) as seconds,
        pg_catalog.bool_or(l.locktype = 'advisory'::pg_catalog.text) as election
    from pg_catalog.pg_locks l
    join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.granted
      and a.pid <> pg_catalog.pg_backend_pid()
      and l.database = (
          select d.oid from pg_catalog.pg_database d
          where d.datname = pg_catalog.current_database()
      )
      and case
            when l.locktype = 'advisory'::pg_catalog.text then
                l.classid::pg_catalog.int8 = %s::pg_catalog.int8
                and l.objid::pg_catalog.int8 = %s::pg_catalog.int8
                and l.objsubid = 1::pg_catalog.int2
            when l.locktype = 'relation'::pg_catalog.text then
                l.mode <> 'AccessShareLock'::pg_catalog.text
                and exists (
                    select from pg_catalog.pg_class c
                    where c.oid = l.relation
                      and c.relname = any (
                          array['chat_providers', 'chat_model_configs']
                              ::pg_catalog.name[]
                      )
                )
            else false
      end
    group by a.pid, a.usename, a.application_name, a.state, a.xact_start
    order by election desc, seconds desc nulls last, a.pid
    limit 5
"""


def holders(connection: Connection) -> str:
    """Who may be in the way of a change, in words; empty where nobody is seen.

    Anybody may take an advisory lock, also one who has no right on any table.
    """
    found = rows(connection, HOLDERS, ELECTION >> 32, ELECTION & 0xFFFFFFFF)
    return "; ".join(
        f"pid {row['pid']}, {printable(row['role'] or 'role hidden')} "
        f"({printable(row['application'] or 'no name')}), {printable(row['state'])}"
        + (f", {row['seconds']:.0f} s old" if row["seconds"] is not None else "")
        + (", holds the election lock" if row["election"] else "")
        for row in found
    )
