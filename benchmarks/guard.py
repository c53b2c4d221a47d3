"""What the guard costs: writes under it, and setting it on a large table under traffic.

`python -m benchmarks.guard [ROWS]` prints three tables: seconds for 300,000 rows with no
key, the plain key and the guard (medians of seven rounds, the rivals taking turns); what a
write to a parent costs under zero, one, three and twelve guards; then the guard beside its
rival, a stored generated column with a key, on ROWS rows (default 5,000,000): time, WAL,
tables rewritten, and how long two clients waited at most. With 0 ROWS the last is left out.
"""

import contextlib
import functools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sexton.chat.project import LIVE_MODELS
from sexton.database import Connection, connect, scalar
from sexton.ddl import execution
from sexton.embedded import Server
from sexton.guard import change as guard
from sexton.guard.change import planned
from sexton.guard.spec import GuardSpec
from sexton.upgrade.run import upgrade

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
    "synchronous_commit": "off",
}
PROVIDERS = 2000
WRITES = 300_000
ROUNDS = 7

OPERATIONS = {
    "insert": """
        insert into chat_model_configs (
            provider, model, context_limit, compression_threshold
        )
        select 'p' || i % {providers}, 'm', 1, 1 from generate_series(1, {rows}) i
    """,
    "update another column": "update chat_model_configs set display_name = 'x'",
    "tombstone": "update chat_model_configs set deleted = true, deleted_at = now()",
    "revive": "update chat_model_configs set deleted = false, deleted_at = null",
}
RIVALS = {"no key": ("head", False), "plain key": ("0003", False), "guard": ("head", True)}


def main(rows: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with Server(Path(name) / "db", settings=SETTINGS) as server:
            with contextlib.closing(connect(server.url(), name="bench")) as connection:
                version = connection.info.parameter_status("server_version")
            print(f"PostgreSQL {version}\n")
            writes(server)
            parents(server)
            if rows:
                large(server, rows)


@contextlib.contextmanager
def fresh(server: Server, revision: str) -> Iterator[tuple[Connection, str]]:
    """A database at a revision, with providers; dropped afterwards."""
    with contextlib.closing(connect(server.url(), name="bench")) as administrator:
        administrator.execute("create database bench")
        url = server.url("bench")
        try:
            with contextlib.closing(connect(url, name="bench")) as connection:
                upgrade(connection, revision)
                connection.execute(
                    "alter table chat_providers "
                    "drop constraint chat_providers_provider_check"
                )
                connection.execute(
                    "insert into chat_providers (provider) "
                    "select 'p' || i from generate_series(0, %s - 1) i",
                    (PROVIDERS,),
                )
                yield connection, url
        finally:
            administrator.execute("drop database bench with (force)")


def writes(server: Server) -> None:
    """Print the seconds of each operation under each rival."""
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for rival, (revision, guarded) in RIVALS.items():
            with fresh(server, revision) as (connection, _):
                if guarded:
                    guard.add(connection, LIVE_MODELS)
                connection.execute("analyze chat_providers")
                for operation, statement in OPERATIONS.items():
                    query: Any = statement.format(rows=WRITES, providers=PROVIDERS)
                    connection.execute("checkpoint")
                    seconds = timed(functools.partial(connection.execute, query))
                    taken.setdefault((operation, rival), []).append(seconds)
                    connection.execute("vacuum chat_model_configs")
    print(f"| {WRITES:,} rows, s | {' | '.join(RIVALS)} | guard / plain key |")
    print("|---|" + "---|" * (len(RIVALS) + 1))
    for operation in OPERATIONS:
        found = [statistics.median(taken[operation, rival]) for rival in RIVALS]
        cells = " | ".join(f"{seconds:.2f}" for seconds in found)
        print(f"| {operation} | {cells} | {found[2] / found[1]:.2f} |", flush=True)


CUSTOMERS = 20_000
GUARDS = (0, 1, 3, 12)
PARENT_WRITES = {
    "update another column": "update customers set name = name || 'x'",
    "insert": f"insert into customers select i + {CUSTOMERS} from generate_series(1, "
    f"{CUSTOMERS}) i",
    "soft-delete those": f"update customers set deleted = true where id > {CUSTOMERS}",
    "revive those": f"update customers set deleted = false where id > {CUSTOMERS}",
    "delete those": f"delete from customers where id > {CUSTOMERS}",
}


def parents(server: Server) -> None:
    """Print the server's CPU time of each write to a parent, by how many guards it has."""
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for count in GUARDS:
            with fresh(server, "head") as (connection, _):
                children(connection, count)
                for write, statement in PARENT_WRITES.items():
                    connection.execute("checkpoint")
                    query: Any = statement
                    before = busy(connection)
                    connection.execute(query)
                    spent = (busy(connection) - before) / 1e6
                    taken.setdefault((write, count), []).append(spent)
                    connection.execute("vacuum customers")
    print(f"\n| {CUSTOMERS:,} parents, CPU ms | {' | '.join(map(str, GUARDS))} | 12 / 1 |")
    print("|---|" + "---|" * (len(GUARDS) + 1))
    for write in PARENT_WRITES:
        found = [statistics.median(taken[write, count]) for count in GUARDS]
        cells = " | ".join(f"{milliseconds:.0f}" for milliseconds in found)
        print(f"| {write} | {cells} | {found[-1] / found[1]:.2f} |", flush=True)


def busy(connection: Connection) -> int:
    """How many nanoseconds the session's server process has run; for Linux."""
    status = Path(f"/proc/{connection.info.backend_pid}/schedstat")
    return int(status.read_text().split()[0])


def children(connection: Connection, count: int) -> None:
    """Make a parent and twelve children, of which some have a guard."""
    connection.execute(
        "create table customers (id bigint primary key, name text default '', "
        "deleted boolean not null default false)"
    )
    connection.execute(f"insert into customers select generate_series(1, {CUSTOMERS})")
    for n in range(max(GUARDS)):
        statement: Any = (
            f"create table child_{n} (customer_id bigint, deleted boolean not null "
            f"default false); create index on child_{n} (customer_id); "
            f"insert into child_{n} select generate_series(1, 1000); analyze child_{n}"
        )
        connection.execute(statement)
    guard.add(
        connection,
        *(
            GuardSpec(
                f"child_{n}",
                ("customer_id",),
                "customers",
                ("id",),
                parent_live="not deleted",
            )
            for n in range(count)
        ),
    )
    connection.execute("vacuum (analyze) customers")


def timed(work: Callable[[], object]) -> float:
    """How many seconds it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def load(connection: Connection, rows: int) -> None:
    """Fill the table; every 50th row is a tombstone."""
    for table, key in (
        ("chats", "chats_last_model_config_id_fkey"),
        ("chat_messages", "chat_messages_model_config_id_fkey"),
    ):
        connection.execute(f"alter table {table} drop constraint {key}")
    connection.execute(
        "alter table chat_model_configs drop constraint chat_model_configs_pkey"
    )
    connection.execute(
        "drop index idx_chat_model_configs_provider, idx_chat_model_configs_enabled, "
        "idx_chat_model_configs_provider_model"
    )
    connection.execute(
        """
        insert into chat_model_configs (
            provider, model, context_limit, compression_threshold, deleted, deleted_at
        )
        select 'p' || i %% %s, 'm', 1, 1, i %% 50 = 0, case when i %% 50 = 0 then now() end
        from generate_series(1, %s) i
        """,
        (PROVIDERS, rows),
    )
    connection.execute("alter table chat_model_configs add primary key (id)")
    connection.execute(
        "create index idx_chat_model_configs_provider on chat_model_configs (provider)"
    )
    connection.execute("vacuum (analyze) chat_model_configs")
    connection.execute("checkpoint")


class Traffic:
    """Clients that read and write single rows; the waits of each, in seconds."""

    def __init__(self, url: str, ids: list[Any]) -> None:
        self.waits: list[float] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(url, ids[n::2])) for n in range(2)
        ]

    def _run(self, url: str, ids: list[Any]) -> None:
        with contextlib.closing(connect(url, name="traffic")) as connection:
            index = 0
            while not self._stop.is_set():
                id = ids[index % len(ids)]
                index += 1
                started = time.perf_counter()
                connection.execute(
                    "select c.id from chat_model_configs c "
                    "join chat_providers p on p.provider = c.provider where c.id = %s",
                    (id,),
                )
                connection.execute(
                    "update chat_model_configs set enabled = not enabled where id = %s",
                    (id,),
                )
                self.waits.append(time.perf_counter() - started)
                self._stop.wait(0.005)

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def summary(self) -> str:
        """99th percentile and maximum, in milliseconds."""
        ordered = sorted(self.waits)
        return f"{ordered[len(ordered) * 99 // 100] * 1e3:.0f} | {ordered[-1] * 1e3:.0f}"


GENERATED = (
    "alter table chat_model_configs add column live_provider text "
    "generated always as (case when not deleted then provider end) stored",
    "create index concurrently live_provider_index on chat_model_configs (live_provider)",
    "alter table chat_model_configs add constraint live_provider_fkey "
    "foreign key (live_provider) references chat_providers (provider) not valid",
    "alter table chat_model_configs validate constraint live_provider_fkey",
)


def large(server: Server, rows: int) -> None:
    """Print what setting the guard takes on a large table, beside its rival."""
    with fresh(server, "head") as (connection, url):
        load(connection, rows)
        ids = [
            row["id"]
            for row in connection.execute(
                "select id from chat_model_configs where provider in ('p1', 'p7')"
            )
        ]
        print(f"\nSteps on {rows:,} rows, every 50th a tombstone, without traffic:\n")
        print("| step | lock | s | WAL, kB |\n|---|---|---|---|")
        for step in planned(connection, "add", LIVE_MODELS):
            before = wal(connection)
            seconds = timed(functools.partial(execution.run, connection, [step]))
            written = (wal(connection) - before) / 1024
            lock = f"{step.lock} on {', '.join(step.tables)}"
            print(f"| {step.title} | {lock} | {seconds:.2f} | {written:,.0f} |")
        removed = timed(lambda: guard.remove(connection, LIVE_MODELS))
        print(f"\nguard remove: {removed * 1e3:.0f} ms\n")
        connection.execute("vacuum chat_model_configs")
        connection.execute("checkpoint")
        print("| under traffic | s | WAL, MB | rewritten | p99, ms | longest wait, ms |")
        print("|---|---|---|---|---|---|", flush=True)
        with Traffic(url, ids) as quiet:
            time.sleep(20)
        print(f"| no DDL | 20.0 | – | – | {quiet.summary()} |", flush=True)
        for name, work in (
            ("guard add", lambda: guard.add(connection, LIVE_MODELS)),
            ("stored generated column", lambda: generate(connection)),
        ):
            connection.execute("checkpoint")
            before, stored = wal(connection), storage(connection)
            with Traffic(url, ids) as traffic:
                time.sleep(1)
                seconds = timed(work)
            written = (wal(connection) - before) / 2**20
            rewritten = "yes" if storage(connection) != stored else "no"
            cells = f"{seconds:.1f} | {written:,.0f} | {rewritten} | {traffic.summary()}"
            print(f"| {name} | {cells} |", flush=True)
            guard.remove(connection, LIVE_MODELS)


def generate(connection: Connection) -> None:
    """The rival: a generated column, and a key over it."""
    for statement in GENERATED:
        connection.execute(statement)


def wal(connection: Connection) -> int:
    """How many bytes of WAL there have been."""
    return int(scalar(connection, "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def storage(connection: Connection) -> Any:
    """Which files the two tables lie in."""
    return connection.execute(
        "select relname, relfilenode from pg_class "
        "where relname in ('chat_providers', 'chat_model_configs') order by relname"
    ).fetchall()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5_000_000)
