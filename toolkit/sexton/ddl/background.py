"""Work beside the others: statements that take long, on a connection of their own.

CREATE INDEX CONCURRENTLY and VALIDATE hold no lock that readers or writers mind, but they
wait for them and read the whole table. So there is no lock timeout, but a deadline, and a
word about the progress now and then. A limit that role or database sets for sessions
does not reach this connection, and none of its own leaks into another.
"""

import threading
import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from sexton.ddl.waiting import TELL_EVERY, Driver, Options
from sexton.durations import duration
from sexton.errors import Busy

LOOK_EVERY = 0.2

PROGRESS = """
    select
        phase, lockers_done, lockers_total, current_locker_pid as pid,
        blocks_done, blocks_total, tuples_done, tuples_total
    from pg_catalog.pg_stat_progress_create_index where pid = %s
"""
WAITS = """
    select b.pid, a.usename as "user", a.application_name as application, a.state,
           extract(epoch from clock_timestamp() - a.xact_start)::float8 as age
    from unnest(pg_blocking_pids(%s)) as b (pid)
    left join pg_catalog.pg_stat_activity a on a.pid = b.pid
    order by age desc nulls last, b.pid
"""


def connect(driver: Driver, name: str = "") -> Driver:
    """Another autocommit connection to the same database, as the same role and path."""
    known: dict[str, Any] = driver.info.get_parameters()
    known["password"] = driver.info.password or None
    if name:
        known["application_name"] = name
    made: Driver = psycopg.connect(**known, autocommit=True, prepare_threshold=None)
    [path] = driver.cursor(row_factory=dict_row).execute(
        "select current_setting('search_path') as path, current_user::text as role"
    )
    made.execute("select set_config('search_path', %s, false)", (path["path"],))
    made.execute("select set_config('role', %s, false)", (path["role"],))
    return made


def run(driver: Driver, statements: list[str], options: Options) -> None:
    """Run statements one by one; at the deadline, cancel and raise Busy.

    `driver` looks on; it must be in no transaction, or the statement would wait for it.
    """
    with closing(connect(driver)) as worker:
        worker.execute("set lock_timeout = 0")
        worker.execute("set statement_timeout = 0")
        if worker.info.server_version >= 140000:
            worker.execute("set client_connection_check_interval = '1s'")
        for statement in statements:
            _run(driver, worker, statement, options)


def _run(driver: Driver, worker: Driver, statement: str, options: Options) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            worker.execute(statement)
        except BaseException as error:
            failed.append(error)

    pid = worker.info.backend_pid
    started = told = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    late = False
    last = "it was waiting for nobody in particular"
    try:
        while thread.is_alive():
            thread.join(LOOK_EVERY)
            now = time.monotonic()
            if thread.is_alive() and now - told >= TELL_EVERY:
                told = now
                last = _progress(driver, pid)
                options.say(f"{_first_words(statement)}: {last}, {duration(now - started)}")
            if not late and now - started > options.deadline:
                last = _progress(driver, pid)
                late = True
                worker.cancel()
    finally:
        if thread.is_alive():  # interrupted: leave nothing at work behind our back
            worker.cancel()
            thread.join()
    if not failed:
        return
    if late and isinstance(failed[0], errors.QueryCanceled):
        raise Busy(
            f"{_first_words(statement)} did not end within "
            f"{duration(options.deadline)}: {last}",
            hint="run the same command again: it clears up what is half built; "
            "or give it longer: --deadline",
        )
    raise failed[0]


def _first_words(statement: str) -> str:
    words = statement.split()
    return " ".join(words[: 4 if "concurrently" in words else 3])


def _progress(driver: Driver, pid: int) -> str:
    cursor = driver.cursor(row_factory=dict_row)
    said = "at work"
    if row := cursor.execute(PROGRESS, (pid,)).fetchone():
        said = row["phase"]
        for unit in ("blocks", "tuples", "lockers"):
            if row[f"{unit}_total"]:
                said += f", {row[f'{unit}_done']} of {row[f'{unit}_total']} {unit}"
    for row in cursor.execute(WAITS, (pid,)).fetchall()[:3]:
        who = f"pid {row['pid']}, {row['user'] or 'a user we may not see'}"
        if row["application"]:
            who += f" ({row['application']})"
        age = "" if row["age"] is None else f", {duration(row['age'])} old"
        said += f"; waits for {who}, {row['state'] or 'in a transaction'}{age}"
    return said
