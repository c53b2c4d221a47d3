"""The life of a row: delete and restore rows of declared tables, and what follows from it.

    import sexton.rows
    done = sexton.rows.delete(connection, "customers", 7, reason="asked to")
    sexton.rows.restore(connection, run=done.run)

Functions take an open psycopg 3 connection or a SQLAlchemy session or connection on one,
run in its transaction and never commit. With a connection in autocommit mode and outside a
transaction they use one of their own, and try again if it loses against another.
"""

from sexton.rows.api import delete, restore
from sexton.rows.result import Result

__all__ = ["Result", "delete", "restore"]
