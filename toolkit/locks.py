"""The advisory locks Sexton takes, so that its copies wait for each other."""

from toolkit.database import Connection, require_transaction

# Any constant will do, as long as nobody else uses it: "sexton" as a number, twice.
ELECTION = 0x736578746F6E01  # whoever may move the default
UPGRADE = 0x736578746F6E02  # whoever changes the schema
REPAIR = 0x736578746F6E03  # whoever makes a plan's changes, or takes a run back


def lock_election(connection: Connection) -> None:
    """Take the election lock until the end of the transaction.

    It comes first in every transaction that may move the default. Without it, two of
    them see each other's old state: no default while a usable config lives, or a
    deadlock between tombstoning and promotion (domain facts 2.25 to 2.30).
    """
    require_transaction(connection)
    connection.execute("select pg_advisory_xact_lock(%s)", (ELECTION,))
