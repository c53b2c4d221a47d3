"""A transaction pooler between us and the server, and why it is refused.

Behind one, each transaction may run on another backend: session locks leak to strangers,
CREATE INDEX CONCURRENTLY loses its connection, timeouts stick to other people's clients.
"""

from typing import Any

from alembic.util import CommandError

ADVICE = "connect to PostgreSQL itself, by its own host and port"


def refuse_pooler(driver: Any) -> None:
    """Refuse a psycopg connection whose backend is not the one it was told of.

    A server sends its process id with the first handshake; a pooler makes one up.
    """
    told = driver.pgconn.backend_pid
    (actual,) = driver.execute("select pg_backend_pid()").fetchone()
    if told != actual:
        raise CommandError(
            "the connection goes through a pooler (it was told of backend "
            f"{told} and runs on {actual}), behind which a schema change is not safe"
        )
