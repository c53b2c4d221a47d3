"""Work in the background: statements that take long, on a connection of their own.

CREATE INDEX CONCURRENTLY and VALIDATE hold no lock that readers or writers mind, but they
wait for them and read the whole table. So there is no lock timeout, but a deadline, and a
word about the progress now and then. A limit that role or database sets for sessions
does not reach this connection, and none of its own leaks into another.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

from psycopg import errors

from sexton.ddl.holders import advice, terminate_idle
from sexton.ddl.options import TELL_EVERY, Options
from sexton.ddl.sending import Sender
from sexton.ddl.session import Driver, secure_session
from sexton.ddl.steps import Statement
from sexton.errors import Busy
from sexton.postgres.blockers import BlockingSession, blocking
from sexton.postgres.connect import another, closed_on_error
from sexton.postgres.session import rows, scalar
from sexton.text.durations import duration

POLL_INTERVAL = 0.2

PROGRESS = """
    select
        phase, lockers_done, lockers_total,
        blocks_done, blocks_total, tuples_done, tuples_total
    from pg_catalog.pg_stat_progress_create_index where pid = %s
"""


def connect(driver: Driver, name: str = "", **more: str) -> Driver:
    """Another autocommit connection to the same database, as the same role.

    Its session is safe, and has the settings in `more` as well.
    """
    role = scalar(driver, "select current_user::pg_catalog.text")
    made: Any = another(driver, name=name)
    made.sexton_path = getattr(driver, "sexton_path", made.sexton_path)
    with closed_on_error(made):
        # No lock_timeout: there is a deadline.
        secure_session(made, role=role, **{"lock_timeout": "0", **more})
    return cast("Driver", made)


def run(
    driver: Driver,
    statements: Sequence[Statement],
    path: str,
    options: Options,
    send: Sender,
) -> None:
    """Send statements one by one on a search_path; at the deadline, cancel, raise Busy.

    `driver` looks on; it must be in no transaction, or the statement would wait for it.
    """
    more = {"search_path": path, "client_connection_check_interval": "1s"}
    with closing(connect(driver, **more)) as worker:
        for statement in statements:
            _run(driver, worker, statement, options, send)


def _run(
    driver: Driver,
    worker: Driver,
    statement: Statement,
    options: Options,
    send: Sender,
) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            send(worker, statement)
        except BaseException as error:
            failed.append(error)

    pid = worker.info.backend_pid
    started = last_said = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    late = False
    last, blockers = "it was waiting for nobody in particular", list[BlockingSession]()
    try:
        while thread.is_alive():
            thread.join(POLL_INTERVAL)
            now = time.monotonic()
            if not thread.is_alive():
                break
            if options.terminate_idle_older_than is not None:
                terminate_idle(driver, blocking(driver, pid), options)
            if now - last_said >= TELL_EVERY:
                last_said = now
                last, blockers = _progress(driver, pid, options, send.progress)
                left = duration(max(0.0, started + options.deadline - now))
                options.say(f"{_first_words(statement)}: {last}; {left} left")
            if not late and now - started > options.deadline:
                last, blockers = _progress(driver, pid, options, send.progress)
                late = True
            if late:  # again and again: between two of its statements, none is canceled
                worker.cancel()
    finally:
        while thread.is_alive():  # interrupted: leave nothing at work behind our back
            worker.cancel()
            thread.join(POLL_INTERVAL)
    if not failed:
        return
    if late and isinstance(failed[0], errors.QueryCanceled):
        raise Busy(
            f"{_first_words(statement)} did not end within "
            f"{duration(options.deadline)}: {last}",
            hint=advice(driver, blockers)
            or "run the same command again: it clears up what is half built; "
            "or give it longer: --deadline",
        )
    raise failed[0]


def _first_words(statement: Statement) -> str:
    """What a statement does, without what it does it to: `drop index concurrently`."""
    words = (statement if isinstance(statement, str) else statement.sql).split()
    if "concurrently" in words:
        return " ".join(words[: words.index("concurrently") + 1])
    return "validate" if "validate" in words else " ".join(words[:2])


def _progress(
    driver: Driver, pid: int, options: Options, done: str
) -> tuple[str, list[BlockingSession]]:
    said = done or "at work"
    for row in rows(driver, PROGRESS, pid):
        said = row["phase"]
        for unit in ("blocks", "tuples", "lockers"):
            if row[f"{unit}_total"]:
                said += f", {row[f'{unit}_done']} of {row[f'{unit}_total']} {unit}"
    blockers = blocking(driver, pid)
    for holder in blockers[:3]:
        said += f"; waits for {holder.summary(options.show_queries)}"
    return said, blockers
