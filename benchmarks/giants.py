"""An audit of tables of 20 and 100 million messages: time and memory.

The messages name live models and tombstones; there is no key and, first, no index. Each
figure is the median of RUNS runs of the whole command, with the client's memory.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sexton.chat.sample import populate
from sexton.database import Connection, database
from sexton.embedded import Server
from sexton.upgrade.run import upgrade

SIZES = (20_000_000, 100_000_000)
STEP = 10_000_000
RUNS = 3
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
    "maintenance_work_mem": "512MB",
}
memory: list[int] = []  # MiB that each client had at most
SEXTON = str(Path(sys.executable).with_name("sexton"))
KEYS = """
    alter table chat_messages
        drop constraint chat_messages_model_config_id_fkey,
        drop constraint chat_messages_chat_id_fkey;
    drop index idx_chat_messages_chat, idx_chat_messages_chat_created,
               idx_chat_messages_created_at
"""
FILL = """
    insert into chat_messages
        (id, chat_id, model_config_id, role, created_at, total_cost_micros)
    select n, '00000000-0000-0000-0000-000000000001',
           models.ids[1 + n %% cardinality(models.ids)], 'user',
           '2026-01-01'::timestamptz + n * interval '0.1 s', 5
    from generate_series(%s::bigint, %s::bigint) n,
         (select array_agg(id order by id) as ids from chat_model_configs) models
"""


def main() -> None:
    """Print the figures, the smaller table first."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)
        with Server(directory / "db", settings=SETTINGS) as server:
            url = server.url()
            with database(url) as connection:
                upgrade(connection)
                with connection.transaction():
                    populate(connection)
                connection.execute(KEYS)
                rows = 0
                for size in SIZES:
                    grow(connection, rows, size)
                    rows = size
                    print(f"{size:,} messages, {pages(connection)}")
                    figures(url)
                index(connection)
                print("with an index on the messages' models")
                figures(url)
    print(f"no client had more than {max(memory)} MiB")


def grow(connection: Connection, have: int, want: int) -> None:
    """Fill the table up to so many messages."""
    for low in range(have, want, STEP):
        connection.execute(FILL, (low + 1_000_001, low + 1_000_000 + STEP))
    connection.execute("vacuum (freeze, analyze) chat_messages")
    connection.execute("analyze")


def index(connection: Connection) -> None:
    """Make the index that `sexton explain` advises."""
    connection.execute("create index on chat_messages (model_config_id)")
    connection.execute("analyze chat_messages")


def pages(connection: Connection) -> str:
    """How large the table is."""
    query = "select pg_size_pretty(pg_table_size('chat_messages')) as size"
    row = connection.execute(query).fetchone()
    return str(row["size"]) if row else ""


def figures(url: str) -> None:
    """The audit alone, and with two connections."""
    for what, more in (
        ("one connection", ["-j", "1"]),
        ("two connections", ["-j", "2"]),
    ):
        seconds = audit(url, more)
        print(f"  {what}: {seconds:.1f} s")


def audit(url: str, more: Sequence[str]) -> float:
    """The median time of the command."""
    took = []
    command = [SEXTON, "audit", "--url", url, "--format", "json", *more]
    for _ in range(RUNS):
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            json.load(client.stdout)
            _, _, usage = os.wait4(client.pid, 0)
            client.returncode = 0
        took.append(time.perf_counter() - begun)
        memory.append(usage.ru_maxrss // 1024)
    return statistics.median(took)


if __name__ == "__main__":
    main()
