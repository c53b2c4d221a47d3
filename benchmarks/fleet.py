"""A fleet of databases beside a shell's loop over them, and what 100,000 targets cost.

DATABASES clones of one migrated database, audited by `sexton fleet audit` and by one
`sexton audit` after the other; the same through a local Dask cluster; then a run of
TARGETS that does nothing on each, for the scheduling, the memory and the report alone.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sexton.database import database
from sexton.embedded import Server
from sexton.fleet.executors import executor
from sexton.fleet.inventory import Target, Wave
from sexton.fleet.report import FleetReport, now
from sexton.fleet.run import run_fleet
from sexton.upgrade.run import upgrade

DATABASES = 200
RUNS = 3
TARGETS = 100_000
SETTINGS = {"fsync": "off", "max_connections": "100", "autovacuum": "off"}
memory: list[int] = []  # MiB that each client had at most
SEXTON = str(Path(sys.executable).with_name("sexton"))


def nothing(_: Target) -> dict[str, object]:
    """Work that costs nothing, so that what is measured is all around it."""
    return {"status": "clean", "code": 0, "revision": "0000", "database": "d"}


def main() -> None:
    """Print the medians, and how many times faster than the loop."""
    with tempfile.TemporaryDirectory() as name, fleet(Path(name)) as (file, urls):
        Path(name).chmod(0o711)
        loops, fleets = [], []
        for _ in range(RUNS):
            fleets.append(timed(["fleet", "audit", "--inventory", str(file)]))
            loops.append(sum(timed(["audit", "--url", url]) for url in urls))
        ours, theirs = statistics.median(fleets), statistics.median(loops)
        print(
            f"{DATABASES} databases: fleet {ours:.1f} s, a loop {theirs:.1f} s, "
            f"{theirs / ours:.1f} times faster (goal: 5), medians of {RUNS}"
        )
        print(f"the client of the fleet had {max(memory)} MiB at most")
        print(f"Dask: {dask():.1f} ms a target more than threads")
    simulate()


@contextlib.contextmanager
def fleet(directory: Path) -> Iterator[tuple[Path, list[str]]]:
    """Databases, and the inventory that lists them."""
    directory.chmod(0o711)
    with Server(directory / "db", settings=SETTINGS) as server:
        with database(server.url()) as connection:
            connection.execute("create database model")
            with database(server.url("model")) as model:
                upgrade(model)
            for number in range(DATABASES):
                connection.execute(f"create database d{number} template model")
        urls = [server.url(f"d{number}") for number in range(DATABASES)]
        file = directory / "fleet.toml"
        targets = [f'[[target]]\nname = "d{n}"\nurl = "{u}"' for n, u in enumerate(urls)]
        file.write_text("[fleet]\nper_server = 8\n" + "\n".join(targets))
        yield file, urls


def timed(arguments: list[str]) -> float:
    """The wall time of one command, in seconds; its memory is noted."""
    begun = time.perf_counter()
    with subprocess.Popen([SEXTON, *arguments], stdout=subprocess.DEVNULL) as client:
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = status
    memory.append(usage.ru_maxrss // 1024)
    return time.perf_counter() - begun


def dask() -> float:
    """Milliseconds that a target costs through Dask beyond what it costs in a thread."""
    from distributed import LocalCluster

    many = [Target(name=f"t{n}", service=f"s{n % 50}") for n in range(1_000)]
    wave = [(Wave(name="w", parallel=64), many)]
    with LocalCluster(n_workers=2, threads_per_worker=4, dashboard_address=None) as cluster:
        where = cluster.scheduler_address.removeprefix("tcp://")
        with executor(f"dask://{where}", 8, 60) as (pool, _):
            begun = time.perf_counter()
            list(run_fleet(wave, nothing, pool, per_server=64))
            theirs = time.perf_counter() - begun
    with ThreadPoolExecutor(8) as threads:
        begun = time.perf_counter()
        list(run_fleet(wave, nothing, threads, per_server=64))
        ours = time.perf_counter() - begun
    return (theirs - ours) / len(many) * 1000


def simulate() -> None:
    """The run and the report of very many targets on many servers."""
    many = [
        Target(name=f"tenant-{n}", service=f"server-{n % 2_000}", labels={"region": "eu"})
        for n in range(TARGETS)
    ]
    tracemalloc.start()
    report = FleetReport("audit", now())
    begun = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        wave = [(Wave(name="w", parallel=64), many)]
        for record in run_fleet(wave, nothing, pool, per_server=4):
            report.add(record)
    report.finish()
    took = time.perf_counter() - begun
    _, peak = tracemalloc.get_traced_memory()
    size = len(json.dumps(report.document()))
    print(
        f"{TARGETS:,} targets that take no time: {took:.0f} s with memory traced, "
        f"{took / TARGETS * 1e6:.0f} µs each; {peak / 2**20:.0f} MiB at most; "
        f"the report has {size / 2**20:.0f} MiB"
    )


if __name__ == "__main__":
    main()
