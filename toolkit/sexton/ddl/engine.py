"""A SQLAlchemy engine over Sexton's own connections, for alembic."""

from psycopg.rows import tuple_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from sexton.database import connect


def engine(address: str, name: str) -> Engine:
    """An engine whose connections follow libpq's rules and read as `name`."""

    def creator() -> object:
        connection = connect(address, name=name)
        connection.row_factory = tuple_row  # type: ignore[assignment]
        connection.autocommit = False
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=creator,
        poolclass=NullPool,
        use_native_hstore=False,  # it would be looked up on the search path
    )
