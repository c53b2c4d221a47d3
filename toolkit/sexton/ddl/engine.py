"""A SQLAlchemy engine over Sexton's own connections, for alembic."""

from typing import Any

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from sexton.ddl.upgrade_lock import require_direct
from sexton.postgres.connect import another, closed_on_error, connect
from sexton.postgres.session import set_parameters

# Also where somebody takes the connection out of its transactions.
READ_ONLY = {"default_transaction_read_only": "on"}


def engine(
    where: str | psycopg.Connection[Any], name: str, *, read_only: bool = False
) -> Engine:
    """An engine whose connections lead to an address, or to where a connection leads.

    They read as `name` in pg_stat_activity.

    With `read_only`, the server refuses whatever would write. Behind a pooler, that
    setting would end up in somebody else's session: raises WrongServer.
    """

    def creator() -> object:
        if isinstance(where, str):
            connection = connect(where, name=name, read_only=read_only)
        else:
            connection = another(where, name=name, read_only=read_only)
        with closed_on_error(connection):
            if read_only:
                require_direct(connection)
                set_parameters(connection, READ_ONLY)
            connection.row_factory = tuple_row  # type: ignore[assignment]
            connection.autocommit = False
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=creator,
        poolclass=NullPool,
        use_native_hstore=False,  # it would be looked up on the search path
    )
