"""Repairs a second with safety limits and journal, beside hand-written SQL without either.

ORPHANS live configs lose their provider. The rivals repair the same rows: one UPDATE for
all of them, and one UPDATE for each. Every figure is the median of RUNS runs, each on a
fresh copy of the same database.
"""

import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

import sexton.cli
from sexton.database import Connection, connect, snapshot
from sexton.embedded import Server
from sexton.journal import list_runs
from sexton.project import all_checks
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options, Plan
from sexton.repair.planfile import read_plan, write_plan
from sexton.repair.planner import plan_repair
from sexton.repair.undo import undo_run
from sexton.upgrade.run import upgrade

ORPHANS = 100_000
RUNS = 5
SETTINGS = {"fsync": "off", "max_wal_size": "4GB", "shared_buffers": "256MB"}
OPTIONS = Options(named=("model_without_provider",), max_rows=ORPHANS * 2, max_fraction=1.0)

ONE_UPDATE = """
    update chat_model_configs c
    set deleted = true, deleted_at = now(), updated_at = now()
    where not c.deleted
      and not exists (select from chat_providers p where p.provider = c.provider)
"""
BY_ROW = """
    update chat_model_configs
    set deleted = true, deleted_at = now(), updated_at = now()
    where id = %s and not deleted
"""


def main() -> None:
    """Print the medians, and the goals beside them."""
    gc.set_threshold(*sexton.cli.COLLECTED)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with Server(Path(name) / "db", settings=SETTINGS) as server:
            _prepare(server)
            ours, undos, longest, plans = [], [], [], []
            by_hand, by_row = [], []
            for _ in range(RUNS):
                with _copy(server) as connection:
                    by_hand.append(_timed(connection.execute, ONE_UPDATE))
                with _copy(server) as connection:
                    by_row.append(_timed(_one_by_one, connection))
                with _copy(server) as connection:
                    path = Path(name) / "plan.json"
                    plans.append(_timed(_save_plan, connection, path))
                    with _watched(connection) as statements:
                        ours.append(_timed(_apply, connection, path))
                        undos.append(_timed(_undo, connection))
                    longest.append(max(statements))
    _say("sexton repair --out (plan and save)", plans)
    _say(
        "sexton apply (journal, safety limits, verification)",
        ours,
        goal="at least 30,000 rows/s",
    )
    _say("one UPDATE by hand, no journal, no safety limits", by_hand)
    _say("one UPDATE a row, committed each, no journal", by_row)
    ratio = statistics.median(u / o for u, o in zip(undos, ours, strict=True))
    _say("sexton undo", undos, goal=f"under 2 times apply: {ratio:.2f}")
    print(
        f"longest statement of apply and undo: {statistics.median(longest):.3f} s, "
        f"at worst {max(longest):.3f} s (goal: under 0.5 s)"
    )


def _prepare(server: Server) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create database template_orphans")
    url = server.url("template_orphans")
    with contextlib.closing(connect(url, name="benchmark")) as connection:
        upgrade(connection)
        connection.execute("insert into chat_providers (provider) values ('openai')")
        connection.execute(
            """
            insert into chat_model_configs
                (provider, model, is_default, context_limit, compression_threshold)
            select case when n = 0 then 'openai' else 'gone' end, 'model ' || n, n = 0,
                200000, 70
            from generate_series(0, %s) as n
            """,
            (ORPHANS,),
        )
        connection.execute("vacuum analyze chat_model_configs")


@contextlib.contextmanager
def _copy(server: Server) -> Iterator[Connection]:
    with psycopg.connect(server.url(), autocommit=True) as administrator:
        administrator.execute("create database copy template template_orphans")
        administrator.execute("checkpoint")
        url = server.url("copy")
        with contextlib.closing(connect(url, name="benchmark")) as connection:
            yield connection
        administrator.execute("drop database copy with (force)")


def _plan(connection: Connection) -> Plan:
    with snapshot(connection):
        checks = [all_checks()[name] for name in OPTIONS.named]
        return plan_repair(connection, checks, OPTIONS)


def _save_plan(connection: Connection, path: Path) -> None:
    write_plan(_plan(connection), path)


def _apply(connection: Connection, path: Path) -> None:
    made = apply_plan(connection, read_plan(path))
    if made.rows != ORPHANS:
        raise AssertionError(f"{made.rows} rows changed, not {ORPHANS}")


def _undo(connection: Connection) -> None:
    newest = list_runs(connection)[0]["run"]  # the first is the upgrade's
    undo_run(connection, newest)


def _one_by_one(connection: Connection) -> None:
    found = connection.execute(
        "select id from chat_model_configs where provider = 'gone'"
    ).fetchall()
    for row in found:
        connection.execute(BY_ROW, (row["id"],))


@contextlib.contextmanager
def _watched(connection: Connection) -> Iterator[list[float]]:
    """Time every statement of the connection."""
    taken: list[float] = []
    plain = connection.execute

    def execute(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return plain(*arguments, **options)
        finally:
            taken.append(time.perf_counter() - started)

    connection.execute = execute  # type: ignore[method-assign]
    yield taken
    del connection.execute


def _timed(work: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def _say(what: str, seconds: list[float], goal: str = "") -> None:
    median = statistics.median(seconds)
    print(
        f"{what}: {median:.2f} s, {ORPHANS / median:,.0f} rows/s"
        + (f" ({goal})" if goal else "")
    )


if __name__ == "__main__":
    main()
