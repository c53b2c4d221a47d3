"""A SQLAlchemy engine over Sexton's own connections, for alembic."""

from typing import Any

from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from sexton.database import connect
from sexton.ddl.upgrade_lock import require_direct

# Also where somebody takes the connection out of its transactions.
READ_ONLY = """
    select pg_catalog.set_config('default_transaction_read_only', 'on', false)
"""


def engine(address: str, name: str, *, read_only: bool = False) -> Engine:
    """An engine whose connections follow libpq's rules and read as `name`.

    With `read_only`, the server refuses whatever would write. Behind a pooler, that
    setting would end up in somebody else's session: raises WrongServer.
    """

    def creator() -> object:
        connection = connect(address, name=name, read_only=read_only)
        if read_only:
            require_direct(connection)
            connection.execute(READ_ONLY)
        connection.row_factory = tuple_row  # type: ignore[assignment]
        connection.autocommit = False
        return connection

    made = create_engine(
        "postgresql+psycopg://",
        creator=creator,
        poolclass=NullPool,
        use_native_hstore=False,  # it would be looked up on the search path
    )
    dialect: Any = made.dialect
    plain = dialect.do_rollback

    def roll_back(connection: Any) -> None:
        # An interrupt may leave it at work on a statement that nobody reads any more.
        driver = getattr(connection, "driver_connection", connection)
        if driver.info.transaction_status == TransactionStatus.ACTIVE:
            driver.close()
        if not driver.closed:
            plain(connection)

    dialect.do_rollback = roll_back
    return made
