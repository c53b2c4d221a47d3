"""What writers feel while the orphans of a new key are seen to: one statement, batches.

Two writers of orphans' rows, one request after the other, while a key is made over
1,000,000 rows, 300,000 of them orphans. `python -m benchmarks.orphans [ROUNDS]`.
"""

import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from sexton.database import connect, scalar
from sexton.ddl.execution import run
from sexton.ddl.row_changes import RowChange
from sexton.ddl.steps import Step
from sexton.embedded import Server
from sexton.online.keys import create_key, key_of
from sexton.online.tables import Table

ROWS, PAUSE = 1_000_000, 0.002
TABLES = f"""
    create table customers (id bigint primary key, name text);
    create table invoices (id bigint primary key, customer bigint, paid boolean, note text);
    insert into customers select n, 'c' || n from generate_series(1, 2000) n;
    insert into invoices
        select n, case when n % 10 < 3 then {ROWS} + n else 1 + n % 2000 end, false,
               'n' || n
        from generate_series(1, {ROWS}) n;
    create index on invoices (customer);
    vacuum (analyze) customers, invoices;
"""
ORPHANS = "select count(*) from sexton.changes"


def steps(orphans: str, *, batched: bool) -> list[Step]:
    """The key's steps; in one statement as it would be without batches."""
    tables = (Table("invoices", "public"), Table("customers", "public"))
    key = key_of("key", tables, (["customer"], ["id"]), orphans=orphans)
    return [
        replace(
            step,
            sql=tuple(
                replace(s, batched=batched) if isinstance(s, RowChange) else s
                for s in step.sql
            ),
        )
        for step in create_key(None, key)
    ]


def write(url: str, waits: list[float], stopped: threading.Event) -> None:
    """Update one orphan after another, until told to stop."""
    with contextlib.closing(connect(url, name="writer")) as connection:
        while not stopped.is_set():
            row = 10 * random.randrange(ROWS // 10) + random.randrange(3)
            began = time.perf_counter()
            connection.execute("update invoices set paid = not paid where id = %s", (row,))
            waits.append(time.perf_counter() - began)
            time.sleep(PAUSE)


def measure(url: str, made: list[Step], writers: int) -> tuple[float, float]:
    """How long the key took, and the longest wait of a writer, in seconds."""
    waits, stopped = [0.0], threading.Event()
    threads = [
        threading.Thread(target=write, args=(url, waits, stopped)) for _ in range(writers)
    ]
    with contextlib.closing(connect(url, name="change")) as connection:
        connection.execute("checkpoint")
        for thread in threads:
            thread.start()
        began = time.perf_counter()
        run(connection, made)
        took = time.perf_counter() - began
        stopped.set()
        for thread in threads:
            thread.join()
        assert scalar(connection, ORPHANS) == ROWS * 3 // 10
    return took, max(waits)


def main(rounds: int = 3) -> None:
    """Run all, round after round, each on a database of its own; print medians."""
    cases = [(o, batched) for o in ("null", "delete") for batched in (False, True)]
    found: dict[tuple[str, bool], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as directory:
        Path(directory).chmod(0o711)
        with (
            Server(Path(directory) / "db", settings={"autovacuum": "off"}) as server,
            contextlib.closing(connect(server.url(), name="bench")) as admin,
        ):
            admin.execute("create database plain")
            with contextlib.closing(connect(server.url("plain"), name="bench")) as plain:
                for statement in TABLES.split(";"):
                    plain.execute(statement.encode())
            for _ in range(rounds):
                for case in cases:
                    figures = []
                    for writers in (0, 2):
                        admin.execute("create database bench template plain")
                        made = steps(case[0], batched=case[1])
                        figures.append(measure(server.url("bench"), made, writers))
                        admin.execute("drop database bench with (force)")
                    (alone, _), (beside, wait) = figures
                    found.setdefault(case, []).append((alone, beside, wait))
    print("| | alone, s | beside writers, s | longest wait of a writer, ms |")
    print("|---|---|---|---|")
    for (orphans, batched), measured in found.items():
        alone, beside, wait = map(statistics.median, zip(*measured, strict=True))
        longest = ", ".join(f"{1000 * one:.0f}" for *_, one in measured)
        name = "batches" if batched else "one statement"
        print(
            f'| `"{orphans}"`, {name} | {alone:.1f} | {beside:.1f} | '
            f"{1000 * wait:.0f} ({longest}) |",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
