"""Upgrading under traffic: how long others wait because of us.

pgbench reads and writes the tables at a steady rate; latency counts from the moment when
a transaction was due. A reader sits idle in its transaction for 20 seconds. Two seconds
after it began, the schema is changed from 0001 to head, by (a) alembic alone in its one
transaction, (b) alembic with a lock timeout of one second, an index built concurrently
and another try every five seconds, (c) `sexton upgrade`. Beside them: no change at all.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from toolkit.database import connect
from toolkit.embedded import Server
from toolkit.engine import engine
from toolkit.upgrade import upgrade

SECONDS = 40  # of traffic in a run
READER_AT, READER_SECONDS, CHANGE_AT = 4.0, 20.0, 6.0
RATE, CLIENTS = 200, 16
CHATS = 20_000

ROWS = f"""
    insert into chat_providers (provider) values ('openai'), ('google'), ('anthropic');
    insert into chat_model_configs
        (id, provider, model, is_default, context_limit, compression_threshold)
    select md5('model' || n)::uuid, (array['openai', 'google', 'anthropic'])[1 + n % 3],
           'model-' || n, n = 0, 200000, 70
    from generate_series(0, 29) n;
    insert into chats (id, owner_id, last_model_config_id)
    select md5('chat' || n)::uuid, md5('owner' || n)::uuid, md5('model' || n % 30)::uuid
    from generate_series(1, {CHATS}) n;
    analyze;
"""

SCRIPTS = {
    # A turn: which model does the chat use, and may it be used?
    "read@8": f"""
\\set n random(1, {CHATS})
select c.id, c.model, p.enabled from chats h
join chat_model_configs c on c.id = h.last_model_config_id
join chat_providers p on p.provider = c.provider
where h.id = md5('chat' || :n)::uuid;
""",
    "write@1": """
\\set m random(0, 29)
update chat_model_configs set updated_at = now() where id = md5('model' || :m)::uuid;
""",
    # The order in which the product's own server locks.
    "parent_then_child@1": """
\\set m random(0, 29)
begin;
select id from chat_providers where provider = 'openai' for update;
update chat_model_configs set updated_at = now() where id = md5('model' || :m)::uuid;
commit;
""",
}


@dataclass
class Run:
    """What one run showed; times in seconds."""

    longest: float
    p99: float
    over_100ms: int
    failed: int
    change_took: float
    after_reader: float
    said: str


def main() -> None:
    """Run each way several times, in turn, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=2)
    ways: dict[str, Callable[[str], None] | None] = {
        "no change": None,
        "(a) alembic alone": alembic_alone,
        "(b) lock_timeout 1 s, retries": alembic_with_retries,
        "(c) sexton upgrade": sexton,
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(options.parse_args().runs):
        for name, change in ways.items():
            runs[name].append(measure(change))
            print(f"{name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    print(
        "| | longest wait | p99 | waits over 100 ms | done after | after the reader's end "
        "| result |\n|---|---|---|---|---|---|---|"
    )
    for name, made in runs.items():
        print(row(name, made))


def row(name: str, made: list[Run]) -> str:
    """A line of the table: medians, and what came of it."""

    def median(field: str) -> float:
        return statistics.median([float(getattr(run, field)) for run in made])

    cells = [
        name,
        f"{median('longest') * 1000:,.0f} ms",
        f"{median('p99') * 1000:,.1f} ms",
        f"{median('over_100ms'):,.0f}",
    ]
    if name == "no change":
        cells += ["", "", ""]
    else:
        cells += [
            f"{median('change_took'):.1f} s",
            f"{median('after_reader'):.1f} s",
            ", ".join(sorted({run.said for run in made})),
        ]
    return f"| {' | '.join(cells)} |"


def measure(change: Callable[[str], None] | None) -> Run:
    """One run on a fresh server."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with Server(Path(name) / "db", settings={"fsync": "off"}) as server:
            url = server.url()
            with contextlib.closing(connect(url, name="bench")) as connection:
                upgrade(connection, url, "0001")
                for statement in ROWS.strip().split(";\n"):
                    connection.execute(statement.rstrip(";"))
            return traffic(server, Path(name), url, change)


def traffic(
    server: Server, scratch: Path, url: str, change: Callable[[str], None] | None
) -> Run:
    """The load, the idle reader and the change, each at its time."""
    files = []
    for script, text in SCRIPTS.items():
        file, _, weight = script.partition("@")
        (scratch / file).write_text(text)
        files += ["-f", f"{scratch / file}@{weight}"]
    load = subprocess.Popen(
        [
            *(server.program("pgbench"), "-n", "-T", str(SECONDS), "-R", str(RATE)),
            *("-c", str(CLIENTS), "-j", "1", "-l", *files, "--max-tries", "1"),
            *("-h", str(server.sockets), "-U", "postgres", "postgres"),
        ],
        cwd=scratch,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started = time.monotonic()
    reader = threading.Thread(target=idle_reader, args=(url, started))
    reader.start()
    time.sleep(max(0, started + CHANGE_AT - time.monotonic()))
    said = "done"
    if change is not None:
        try:
            change(url)
        except (sa.exc.DBAPIError, psycopg.Error, subprocess.CalledProcessError) as error:
            cause = getattr(error, "orig", error)
            code = getattr(cause, "sqlstate", None) or getattr(cause, "returncode", cause)
            said = f"failed, {code}"
    ended = time.monotonic() - started
    reader.join()
    load.wait()
    waits, failed = latencies(scratch)
    return Run(
        longest=waits[-1],
        p99=waits[int(len(waits) * 0.99)],
        over_100ms=sum(wait > 0.1 for wait in waits),
        failed=failed,
        change_took=ended - CHANGE_AT,
        after_reader=ended - READER_AT - READER_SECONDS,
        said=said,
    )


def idle_reader(url: str, started: float) -> None:
    """A transaction that read one row and went to lunch."""
    time.sleep(max(0, started + READER_AT - time.monotonic()))
    with psycopg.connect(url, application_name="idle reader") as connection:
        connection.execute("select id from chat_model_configs limit 1")
        time.sleep(max(0, started + READER_AT + READER_SECONDS - time.monotonic()))


def latencies(scratch: Path) -> tuple[list[float], int]:
    """All waits in seconds, sorted, from pgbench's logs; and how many failed."""
    waits, failed = [], 0
    for log in scratch.glob("pgbench_log.*"):
        for line in log.read_text().splitlines():
            wait = line.split()[2]
            if wait.isdigit():
                waits.append(int(wait) / 1e6)
            else:
                failed += 1
    return sorted(waits), failed


def add_columns(op: Operations) -> None:
    """The first part of the change, as alembic's own operations."""
    op.add_column(
        "chat_model_configs",
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.add_column("chat_model_configs", sa.Column("deleted_at", sa.DateTime(timezone=True)))


def swap_index(op: Operations, *, concurrently: bool) -> None:
    """The second part."""
    name = "idx_chat_model_configs_single_default"
    op.drop_index(name, postgresql_concurrently=concurrently, if_exists=True)
    op.create_index(
        name,
        "chat_model_configs",
        [sa.text("(1)")],
        unique=True,
        postgresql_where=sa.text("is_default = true and deleted = false"),
        postgresql_concurrently=concurrently,
    )


def drop_key(op: Operations) -> None:
    """The third part."""
    op.drop_constraint("chat_model_configs_provider_fkey", "chat_model_configs")


def alembic_alone(url: str) -> None:
    """Everything in one transaction, as `alembic upgrade head` does by default."""
    with engine(url, "alembic").begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        add_columns(op)
        swap_index(op, concurrently=False)
        drop_key(op)


def alembic_with_retries(url: str) -> None:
    """A transaction a part, a lock timeout, and another try until it goes through."""
    parts: list[Callable[[Operations], None]] = [add_columns, drop_key]
    for part in parts[:1]:
        again(url, part)
    with engine(url, "alembic").connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        swap_index(
            Operations(MigrationContext.configure(autocommit)),
            concurrently=True,
        )
    for part in parts[1:]:
        again(url, part)


def again(url: str, part: Callable[[Operations], None]) -> None:
    """Try a part until it gets its locks within a second."""
    while True:
        try:
            with engine(url, "alembic").begin() as connection:
                connection.execute(sa.text("set local lock_timeout = '1s'"))
                part(Operations(MigrationContext.configure(connection)))
                return
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in ("55P03", "40P01"):
                raise
            time.sleep(5)


def sexton(url: str) -> None:
    """Our own."""
    program = Path(sys.executable).with_name("sexton")
    subprocess.run(
        [program, "upgrade", "--url", url], check=True, capture_output=True, timeout=120
    )


if __name__ == "__main__":
    main()
