"""The locks Sexton takes, and their order: election, provider row, model configs.

Upstream's server knows nothing of the first. It locks a provider's row, then writes model
configs; the same order here means that neither ever waits for the other in a circle.
"""

from sexton.catalog.relations import resolve
from sexton.database import Connection, scalar
from sexton.postgres.blockers import holding, in_words

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


def holders(connection: Connection) -> str:
    """Who may block a change, in words; empty where nobody is seen.

    Anybody may take an advisory lock, also one who has no right on any table.
    """
    tables = resolve(connection, ["chat_providers", "chat_model_configs"], judged=False)
    oids = [relation.oid for relation in tables.values()]
    return in_words(holding(connection, oids, key=ELECTION, name="the election lock"))
