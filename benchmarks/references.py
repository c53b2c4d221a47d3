"""An audit of 200 declared references over 200 tables, beside the same by psql.

    python -m benchmarks.references

Each table refers to its neighbour by an indexed column; ten of them have three rows that
dangle. Both sides look once, on one connection and one snapshot, and tell the same: how
many rows dangle in each table, and the first five. Whole processes, in turn with their
rival, RUNS times. What a process costs before it connects is measured beside it, for
Python cannot start as psql does: the audit itself, from the first statement to the last,
is told apart.
"""

import contextlib
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.audit import _programs
from sexton.database import connect
from sexton.embedded import Server

TABLES = 200
SIZES = (1_000, 20_000)  # rows of each table
RUNS = 15
SETTINGS = {"fsync": "off", "autovacuum": "off", "shared_buffers": "512MB"}
SEXTON = str(Path(sys.executable).with_name("sexton"))


def main() -> None:
    """Print the medians, and how many times psql's each is."""
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        config = directory / "sexton.toml"
        config.write_text(declarations())
        script = directory / "by_hand.sql"
        script.write_text(by_hand())
        with Server(directory / "db", settings=SETTINGS) as server:
            for size in SIZES:
                url = made(server, f"rows{size}", size)
                audit = [SEXTON, "--config", str(config), "audit", "--url", url]
                audit += ["--confirm-after", "0"]
                psql = [str(_programs() / "psql"), "-XqAt", "-d", url]
                compare(size, audit, [*psql, "-f", str(script)])
            starts = {
                "psql -c 'select 1'": [*psql, "-c", "select 1"],
                "sexton audit of one of them": [*audit, "t1_parent_id_dangling"],
                "python -c 'import click, psycopg'": [
                    *(sys.executable, "-c", "import click, psycopg")
                ],
            }
            for what, command in starts.items():
                times = [timed(command) for _ in range(RUNS)]
                print(f"{what}: {statistics.median(times) * 1000:.0f} ms")


def declarations() -> str:
    """The project file."""
    entries = [
        f'[[reference]]\nchild = "t{n}.parent_id"\nparent = "t{(n + 1) % TABLES}.id"\n'
        for n in range(TABLES)
    ]
    return "\n".join(['project = "bench"\n', *entries])


def made(server: Server, name: str, size: int) -> str:
    """A database with the tables; its address."""
    with contextlib.closing(connect(server.url(), name="bench")) as connection:
        connection.execute(f"create database {name}")
    url = server.url(name)
    with contextlib.closing(connect(url, name="bench")) as connection:
        for n in range(TABLES):
            connection.execute(
                f"create table t{n} (id bigint primary key, parent_id bigint, note text)"
            )
            connection.execute(
                f"insert into t{n} select n, (n * 7919) %% %s + 1, 'row ' || n "
                "from generate_series(1, %s) n",
                (size, size),
            )
            connection.execute(f"create index on t{n} (parent_id)")
            if n % (TABLES // 10) == 0:
                connection.execute(
                    f"update t{n} set parent_id = -id where id in (3, 500, 900)"
                )
        connection.execute("vacuum analyze")
    return url


def by_hand() -> str:
    """What a person would write: for each reference its count, and its first rows."""
    lines = ["begin isolation level repeatable read read only;"]
    for n in range(TABLES):
        found = (
            f"from t{n} c where c.parent_id is not null and not exists "
            f"(select from t{(n + 1) % TABLES} p where p.id = c.parent_id)"
        )
        lines += [
            f"select 't{n}', count(*) {found};",
            f"select c.id, c.parent_id {found} order by c.id limit 5;",
        ]
    return "\n".join([*lines, "commit;"])


def compare(size: int, audit: list[str], psql: list[str]) -> None:
    """Time an audit and its rival in turn, and see that it found what there is."""
    times: dict[str, list[float]] = {"psql": [], "sexton": [], "the audit itself": []}
    for _ in range(RUNS):
        times["psql"].append(timed(psql))
        begun = time.perf_counter()
        done = subprocess.run([*audit, "--format", "json"], capture_output=True)
        times["sexton"].append(time.perf_counter() - begun)
        document = json.loads(done.stdout)
        summary = document["summary"]
        assert (summary["passed"], summary["findings"]) == (TABLES - 10, 30), summary
        times["the audit itself"].append(lasted(document["run"]))
    print(f"{TABLES} references, {size:,} rows a table, medians of {RUNS} (goal: 1 psql)")
    for name, taken in times.items():
        pairs = zip(taken, times["psql"], strict=True)
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        print(f"{name:>18}: {statistics.median(taken) * 1000:>5.0f} ms, {ratio:.2f} times")


def lasted(run: dict[str, str]) -> float:
    """Seconds from an audit's first statement to its last."""
    ended, begun = (run[f"{when}_at"] for when in ("finished", "started"))
    read = datetime.datetime.fromisoformat
    return (read(ended) - read(begun)).total_seconds()


def timed(command: list[str]) -> float:
    """The wall time of one run, in seconds."""
    begun = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    assert done.returncode <= 1, done
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
