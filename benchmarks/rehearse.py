"""Rehearsal: one new revision after many, and what its base costs beside plain Alembic.

HISTORY revisions, each a table and an index, are the base. The rival is `alembic upgrade
head` on a server that is running already. Squawk and eugene read or run SQL alone: squawk
is timed on the script of the one new revision.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.startup import SEXTON
from sexton.embedded import Server
from tests.support.rehearsals import Environment

HISTORY = 400
RUNS = 5
NEW = 'op.create_index("new", "t0", ["a"])'


def main() -> None:
    """Print the medians of wall and CPU time."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        Path(name).chmod(0o711)
        environment = Environment(Path(name))
        for n in range(HISTORY):
            environment.add(
                f"r{n:03d}",
                f'op.create_table("t{n}", sa.Column("id", sa.BigInteger, '
                'primary_key=True), sa.Column("a", sa.Integer))\n'
                f'op.create_index("i{n}", "t{n}", ["a"])',
                f'op.drop_table("t{n}")',
            )
        environment.add("new", NEW, 'op.drop_index("new")')
        alembic = [str(Path(sys.executable).with_name("alembic")), "upgrade", "head"]
        rehearse = [SEXTON, "rehearse", "--alembic", "alembic.ini", "--base"]
        times: dict[str, list[tuple[float, float]]] = {}
        with Server(Path(name) / "server", settings={"fsync": "off"}) as server:
            for run in range(RUNS):
                url = _database(server, f"run_{run}")
                _point(environment, url)
                times.setdefault("alembic upgrade head", []).append(_timed(alembic))
                one = _timed([*rehearse, f"rev:r{HISTORY - 1:03d}"])
                times.setdefault(f"one revision after {HISTORY}", []).append(one)
                short = _timed([*rehearse, "rev:r000", "--help"])
                times.setdefault("start-up alone", []).append(short)
                if squawk := shutil.which("squawk", path=str(Path(sys.executable).parent)):
                    Path("new.sql").write_text("create index new on t0 (a);")
                    times.setdefault("squawk", []).append(_timed([squawk, "new.sql"]))
    for what, found in times.items():
        wall, cpu = (statistics.median(one) for one in zip(*found, strict=True))
        print(f"{what}: {wall:.2f} s, {cpu:.2f} s of CPU; medians of {RUNS} runs")


def _database(server: Server, name: str) -> str:
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.url(name)


def _point(environment: Environment, url: str) -> None:
    parts = dict(part.split("=", 1) for part in url.split())
    address = f"postgresql+psycopg://postgres@/{parts['dbname']}?host={parts['host']}"
    lines = environment.ini.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("sqlalchemy.url")]
    environment.ini.write_text("\n".join([*kept, f"sqlalchemy.url = {address}"]))


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds of wall and of CPU of a command and what it starts."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = os.times()
    cpu = after.children_user - before.children_user
    cpu += after.children_system - before.children_system
    return time.perf_counter() - began, cpu


if __name__ == "__main__":
    main()
