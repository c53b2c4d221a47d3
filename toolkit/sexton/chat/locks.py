"""The locks Sexton takes, and their order: election, provider row, model configs.

Upstream's server knows nothing of the first. It locks a provider's row, then writes model
configs; the same order here means that neither ever waits for the other in a circle.
"""

import uuid
from typing import Any

from sexton.database import Connection, require_transaction, rows

# Any constant will do, as long as nobody else uses it: "sexton" as a number, twice.
ELECTION = 0x736578746F6E01  # whoever may move the default


def lock_election(connection: Connection) -> None:
    """Take the election lock until the end of the transaction.

    It comes first in every transaction that may move the default. Without it, two of
    them see each other's old state: no default while a usable config lives, or a
    deadlock between tombstoning and promotion (domain facts 2.25 to 2.30).
    """
    require_transaction(connection)
    connection.execute("select pg_advisory_xact_lock(%s)", (ELECTION,))


def lock_provider(connection: Connection, id: uuid.UUID, strength: str) -> bool:
    """Lock a provider's row; false where it has gone.

    `strength` is `update` for whoever deletes it, `no key update` for whoever changes
    it, `key share` for whoever only needs it to stay: that one lets a key rotation pass.
    """
    query: Any = f"select id from chat_providers where id = %s for {strength}"  # noqa: S608
    return bool(rows(connection, query, id))


def lock_models(connection: Connection) -> None:
    """Keep every other writer from the model configs until the end of the transaction.

    It waits for the server's transactions that have written one, and they wait for
    ours, so what is read from here on cannot move. Readers, new chats and new messages
    are not held up. Take it after the provider's row, as the server does.
    """
    connection.execute("lock table chat_model_configs in share row exclusive mode")
