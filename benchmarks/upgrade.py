"""What others feel of the upgrade: Alembic alone, lock_timeout with retries, Sexton.

Readers and writers of both tables at a fixed rate, a reader that sits idle in its
transaction, and the step that drops the key. A request's latency counts from the time it
was due. `python -m benchmarks.upgrade [IDLE_SECONDS]`; the rate is 200 a second.
"""

import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from sexton.chat.sample import populate
from sexton.database import Connection, connect
from sexton.embedded import Server
from sexton.upgrade.run import Options, upgrade

CLIENTS, RATE = 8, 200.0
BEFORE = 2.0  # the upgrade starts so long after the reader
AFTER = 4.0
NAIVE = (
    "alter table chat_model_configs add column if not exists deleted boolean "
    "not null default false",
    "alter table chat_model_configs drop constraint chat_model_configs_provider_fkey",
)
READ = """
    select c.id from chat_model_configs c join chat_providers p using (provider)
    where c.enabled limit 5
"""
WRITES = (  # parent first
    "update chat_providers set updated_at = now() where provider = 'openai'",
    "update chat_model_configs set updated_at = now() where provider = 'openai'",
)


@dataclass(frozen=True)
class Traffic:
    """What the others do: a read, a transaction of writes, and the idle one's statement."""

    read: str = READ
    writes: tuple[str, ...] = WRITES
    idle: str = "select from chat_model_configs"


def alembic_alone(url: str) -> None:
    """One transaction, no timeout: what alembic does by itself."""
    with psycopg.connect(url) as connection:
        for statement in NAIVE:
            connection.execute(statement)


def timeout_with_retries(url: str) -> None:
    """A lock_timeout of a second and a pause of two, until it works."""
    while True:
        try:
            with psycopg.connect(url) as connection:
                connection.execute("set local lock_timeout = '1s'")
                connection.execute(NAIVE[1])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            time.sleep(2)
        else:
            return


def sexton(url: str) -> None:
    """`sexton upgrade`, with its defaults."""
    with contextlib.closing(connect(url, name="sexton upgrade")) as connection:
        upgrade(connection, "head", Options())


def nothing(_: str) -> None:
    """No change of the schema at all."""


def work(
    url: str, until: float, offset: int, latencies: list[float], traffic: Traffic
) -> None:
    """One client: a third of its requests write, parent first."""
    rng = random.Random(offset)
    with contextlib.closing(connect(url, name="application")) as connection:
        due = time.monotonic() + offset / RATE
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(psycopg.errors.DeadlockDetected):
                _request(connection, traffic, rng.random() < 1 / 3)
            latencies.append(time.monotonic() - due)
            due += CLIENTS / RATE


def _request(connection: Connection, traffic: Traffic, writes: bool) -> None:
    statement: Any
    if not writes:
        connection.execute(statement := traffic.read)
        return
    with connection.transaction():
        for statement in traffic.writes:
            connection.execute(statement)


def measure(
    url: str, change: Callable[[str], None], idle: float, traffic: Traffic = Traffic()
) -> tuple[float, float, float, str]:
    """Longest wait, p99 and p50 of the others, and how long the change came after."""
    begun: Any = traffic.idle
    latencies: list[list[float]] = [[] for _ in range(CLIENTS)]
    until = time.monotonic() + idle + AFTER
    clients = [
        threading.Thread(target=work, args=(url, until, index, latencies[index], traffic))
        for index in range(CLIENTS)
    ]
    ended: list[float] = []

    failed: list[str] = []

    def run() -> None:
        try:
            change(url)
        except psycopg.errors.DeadlockDetected:
            failed.append("failed: deadlock detected")
        ended.append(time.monotonic())

    with contextlib.closing(connect(url, name="idle reader")) as reader:
        for client in clients:
            client.start()
        reader.execute("begin")
        reader.execute(begun)
        time.sleep(BEFORE)
        changing = threading.Thread(target=run)
        changing.start()
        time.sleep(idle - BEFORE)
        reader.execute("commit")
        free = time.monotonic()
    for thread in (*clients, changing):
        thread.join()
    found = sorted(value for values in latencies for value in values)
    p99 = found[int(len(found) * 0.99)]
    after = failed[0] if failed else f"{max(0.0, ended[0] - free):.2f}"
    return found[-1], p99, statistics.median(found), after


def main(idle: float = 20.0) -> None:
    """Run all four on one server, one after the other, and print a table."""
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as directory:
        Path(directory).chmod(0o711)
        with Server(Path(directory) / "db", settings={"autovacuum": "off"}) as server:
            print("| | longest wait, ms | p99, ms | p50, ms | done after the reader, s |")
            print("|---|---|---|---|---|")
            for name, change in (
                ("no change of the schema", nothing),
                ("(a) Alembic alone", alembic_alone),
                ("(b) lock_timeout 1 s, retry after 2 s", timeout_with_retries),
                ("(c) Sexton", sexton),
            ):
                database = change.__name__
                with psycopg.connect(server.url(), autocommit=True) as administrator:
                    administrator.execute(f"create database {database}")
                url = server.url(database)
                with contextlib.closing(connect(url, name="bench")) as connection:
                    upgrade(connection, "0003")
                    populate(connection, chats=2000)
                longest, p99, p50, after = measure(url, change, idle)
                print(
                    f"| {name} | {longest * 1000:.0f} | {p99 * 1000:.1f} | "
                    f"{p50 * 1000:.2f} | {after} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(*(float(value) for value in sys.argv[1:]))
