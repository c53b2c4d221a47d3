"""What others feel of a foreign key that is made or dropped: Alembic's operation, ours.

Readers and writers of both tables at a fixed rate, parent first, and a session that has
written a row and sits idle in its transaction. `python -m benchmarks.online [ROUNDS]`.
"""

import contextlib
import functools
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

import sexton.alembic  # noqa: F401 - registers the operations
from benchmarks.upgrade import Traffic, measure
from sexton.ddl.engine import engine
from sexton.embedded import Server

IDLE = 6.0
ROWS = 1_000_000
TABLES = f"""
    create table customers (id bigint primary key, name text);
    create table invoices (id bigint primary key, customer bigint, paid boolean);
    insert into customers select n, 'c' || n from generate_series(1, 2000) n;
    insert into invoices
        select n, 1 + n % 2000, n % 3 = 0 from generate_series(1, {ROWS}) n;
    create index on invoices (customer);
    vacuum (analyze) customers, invoices;
"""
KEY = ("key", "invoices", "customers", ["customer"], ["id"])
ADD = "alter table invoices add constraint key foreign key (customer) references customers"
TRAFFIC = Traffic(
    read="select from invoices i join customers c on c.id = i.customer where i.id < 9",
    writes=(
        "update customers set name = 'x' where id = (select ceil(random() * 1000)::int8)",
        "update invoices set paid = true where id = (select ceil(random() * 99999)::int8)",
    ),
    idle="update invoices set paid = true where id = 999999",
)
CHANGES: list[tuple[str, str, Callable[[Any], object]]] = [
    ("no change of the schema", "", lambda _: None),
    ("`op.create_foreign_key`", "", lambda op: op.create_foreign_key(*KEY)),
    ("`op.create_foreign_key_online`", "", lambda op: op.create_foreign_key_online(*KEY)),
    ("`op.drop_constraint`", ADD, lambda op: op.drop_constraint("key", "invoices")),
    (
        "`op.drop_constraint_online`",
        ADD,
        lambda op: op.drop_constraint_online("key", "invoices"),
    ),
]


def change(url: str, work: Callable[[Any], object]) -> None:
    """Do it as a revision does, in a transaction of Alembic's."""
    try:
        with engine(url, "change").connect() as connection:
            context = MigrationContext.configure(connection)
            with context.begin_transaction(), Operations.context(context) as op:
                work(op)
    except DBAPIError as error:
        raise error.orig or error from None


def main(rounds: int = 3) -> None:
    """Run all, round after round, each on a database of its own; print medians."""
    found: dict[str, list[Any]] = {name: [] for name, *_ in CHANGES}
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as directory:
        Path(directory).chmod(0o711)
        with (
            Server(Path(directory) / "db", settings={"autovacuum": "off"}) as server,
            contextlib.closing(psycopg.connect(server.url(), autocommit=True)) as admin,
        ):
            for name, prepared in (("plain", ""), ("keyed", ADD)):
                admin.execute(f"create database {name}")
                with psycopg.connect(server.url(name), autocommit=True) as connection:
                    for statement in (*TABLES.split(";"), prepared):
                        connection.execute(statement.encode())
            for _ in range(rounds):
                for name, prepared, work in CHANGES:
                    template = "keyed" if prepared else "plain"
                    admin.execute(f"create database bench template {template}")
                    made = functools.partial(change, work=work)
                    measured = measure(server.url("bench"), made, IDLE, TRAFFIC)
                    found[name].append(measured)
                    admin.execute("drop database bench with (force)")
    print("| | longest wait, ms | p99, ms | p50, ms | done after the idle one, s |")
    print("|---|---|---|---|---|")
    for name, figures in found.items():
        longest, p99, p50, after = zip(*figures, strict=True)
        print(
            f"| {name} | {statistics.median(longest) * 1000:.0f} "
            f"({', '.join(f'{one * 1000:.0f}' for one in longest)}) | "
            f"{statistics.median(p99) * 1000:.1f} | {statistics.median(p50) * 1000:.2f} | "
            f"{', '.join(after)} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
