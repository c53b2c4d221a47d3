"""Connections of our own: closed where nobody can use them any more."""

import contextlib
import select
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

CANCELS = 5
CANCEL_WAIT = 0.5  # seconds


class OwnConnection(psycopg.Connection[Any]):
    """A connection that no interrupt leaves at work on a statement that nobody reads.

    psycopg cancels such a statement, but may not fetch its end: all that is asked of the
    connection fails from then on. This one is closed instead.
    """

    def wait(self, *arguments: Any, **options: Any) -> Any:
        """As psycopg's."""
        try:
            return super().wait(*arguments, **options)
        except KeyboardInterrupt:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                try:
                    self._end_statement()
                finally:
                    self.close()
            raise

    def _end_statement(self) -> None:
        # A cancel that comes before its statement has begun ends nothing.
        with contextlib.suppress(psycopg.Error):
            for _ in range(CANCELS):
                self.cancel_safe(timeout=CANCEL_WAIT)
                select.select([self.pgconn.socket], [], [], CANCEL_WAIT)
                self.pgconn.consume_input()
                if not self.pgconn.is_busy():
                    return


@contextlib.contextmanager
def closed_on_error(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Close a connection where the block, which makes it ready, fails."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
