"""Killing Sexton after a statement: the process, or only its session."""

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg

from sexton.database import Connection, connect
from sexton.errors import SextonError

# Kill after every so many statements, and after the first; 1 is each of them.
EVERY = int(os.environ.get("KILL_EVERY", "9"))
SELDOM = 1 if EVERY == 1 else 10 * EVERY  # where a run sends hundreds of them


def lived_through(
    url: str,
    work: Callable[[Connection], object],
    statement: int,
    kill: Callable[[Any], None],
) -> bool:
    """Work in a child process; `kill` it after so many statements. True where it lived."""
    child = os.fork()
    if child == 0:
        count = 0
        execute = psycopg.Cursor.execute

        def counting(cursor: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            done = execute(cursor, *arguments, **options)
            count += 1
            if count == statement:
                kill(cursor.connection)
            return done

        psycopg.Cursor.execute = counting  # type: ignore[method-assign, assignment]
        status = 1
        try:
            work(connect(url, name="child"))
            status = 2 if count >= statement else 0
        except (SextonError, psycopg.Error):
            status = 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL, 2 << 8), status
    return status == 0


def kill_process(_connection: object) -> None:
    """As `kill -9` would."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_session(connection: Any) -> None:
    """As if the server had ended it: from another session, which then ends too."""
    with psycopg.connect(connection.info.dsn, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
