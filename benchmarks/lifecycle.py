"""The life cycle: what a deletion costs, how fast a preview is, and eight at once.

Each figure beside its rival in one run: the product's own transaction, restated as SQL;
and the same work done by one client after the other. An embedded server with durable
settings; medians.
"""

import contextlib
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from sexton.chat import models
from sexton.chat.deletion import DeleteProvider
from sexton.chat.effect import Effect
from sexton.chat.operation import preview, run
from sexton.database import Connection, connect, transact
from sexton.embedded import Server
from sexton.upgrade.run import upgrade
from tests.support import product_server

CHATS = (100, 10_000, 1_000_000)
DELETIONS = 100
MESSAGES = 1_000_000
PAUSE = 0.02  # seconds
CLIENTS = 8
ROUNDS = 25
DELETE = DeleteProvider("openai")

WORLD = """
    truncate chat_messages, chats, user_chat_provider_keys, chat_model_configs,
        chat_providers;
    insert into chat_providers (provider, api_key)
    values ('anthropic', 'k'), ('openai', 'k');
    insert into chat_model_configs
        (provider, model, is_default, context_limit, compression_threshold)
    values ('openai', 'a', true, 1, 70), ('openai', 'b', false, 1, 70),
           ('openai', 'c', false, 1, 70), ('anthropic', 'heir', false, 1, 70)
"""
BACK = """
    insert into chat_providers (provider, api_key) values ('openai', 'k');
    update chat_model_configs set is_default = false where not deleted;
    update chat_model_configs set deleted = false, deleted_at = null,
        is_default = model = 'a'
    where provider = 'openai'
"""


@contextlib.contextmanager
def served() -> Iterator[str]:
    """A fresh server with a database at head: its address."""
    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as directory:
        Path(directory).chmod(0o711)
        with Server(Path(directory) / "db", settings={"max_wal_size": "4GB"}) as server:
            with contextlib.closing(connect(server.url(), name="bench")) as connection:
                upgrade(connection, "head")
            yield server.url()


def fill(connection: Connection, chats: int, messages: int) -> None:
    """Start over, with that many chats and messages on the models of openai."""
    connection.execute(WORLD)
    connection.execute(
        """
        insert into chats (owner_id, last_model_config_id)
        select gen_random_uuid(), m.ids[1 + n %% 3]
        from generate_series(1, %s) as n,
             (select array_agg(id) as ids from chat_model_configs
              where provider = 'openai') as m
        """,
        (chats,),
    )
    connection.execute(
        """
        with numbered as (
            select id, last_model_config_id, row_number() over () - 1 as ordinal
            from chats
        )
        insert into chat_messages (chat_id, model_config_id, role, content)
        select c.id, c.last_model_config_id, 'user',
               jsonb_build_array(jsonb_build_object('text', repeat('word ', 40)))
        from generate_series(1, %s) as n
        join numbered c on c.ordinal = n %% %s
        """,
        (messages, chats),
    )
    connection.execute("vacuum analyze")


def deletions(connection: Connection, delete: Callable[[], object]) -> float:
    """Seconds for one deletion: the median of many, each in its own transaction."""
    taken = []
    for _ in range(DELETIONS):
        start = time.perf_counter()
        delete()
        taken.append(time.perf_counter() - start)
        with connection.transaction():
            connection.execute(BACK)
    return statistics.median(taken)


def bench_deletions(connection: Connection) -> None:
    """What grows with the chats, and what does not."""
    theirs = product_server.delete_provider("openai")
    print("deleting a provider with 3 models, the default among them (median)")
    print(
        f"{'chats':>10} {'the product':>14} {'Sexton':>14} {'per second':>11}"
        f" {'+ counting':>11}"
    )
    for chats in CHATS:
        fill(connection, chats, 0)
        seen = preview(connection, DELETE)

        def delete(seen: Effect = seen) -> object:
            return run(connection, DELETE, seen=seen)

        ours, rival = (
            deletions(connection, delete),
            deletions(connection, lambda: theirs(connection)),
        )
        start = time.perf_counter()
        preview(connection, DELETE)
        counting = time.perf_counter() - start
        print(
            f"{chats:>10,} {rival * 1000:>11.2f} ms {ours * 1000:>11.2f} ms"
            f" {1 / ours:>11.0f} {counting * 1000:>8.1f} ms"
        )


class Timed(psycopg.Cursor[Any]):
    """Notes when the provider's row was locked, and counts statements."""

    locked = 0.0
    sent = 0

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute, and look at the clock after the lock."""
        done = super().execute(query, *args, **kwargs)
        Timed.sent += 1
        if "for update" in str(query):
            Timed.locked = time.perf_counter()
        return done


def bench_lock(connection: Connection) -> None:
    """How long the provider's row is locked, to the end of COMMIT, and by how much.

    A pause before each: a disk that has just flushed another commit flushes the next one
    sooner, and the one with fewer statements before its lock would have that for nothing.
    """
    theirs = product_server.delete_provider("openai")
    fill(connection, 100, 0)
    connection.cursor_factory = Timed
    seen = preview(connection, DELETE)
    works: dict[str, Callable[[], object]] = {
        "the product": lambda: theirs(connection),
        "Sexton": lambda: run(connection, DELETE, seen=seen),
        "Sexton, --no-journal": lambda: run(connection, DELETE, seen=seen, recorded=False),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    statements = {}
    for _ in range(DELETIONS * 3):
        for name, work in works.items():
            Timed.sent = 0
            time.sleep(PAUSE)
            work()
            taken[name].append(time.perf_counter() - Timed.locked)
            statements[name] = Timed.sent
            with connection.transaction():
                connection.execute(BACK)
    connection.cursor_factory = psycopg.Cursor
    rival = statistics.median(taken["the product"])
    print("\nthe provider's row is locked (median), in one transaction of some statements")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(
            f"{name:>22}: {median * 1000:.2f} ms, {median / rival:.2f} times,"
            f" {statements[name]} statements"
        )


def bench_preview(connection: Connection) -> None:
    """A preview over many messages, without an index from message to model."""
    fill(connection, 10_000, MESSAGES)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        seen = preview(connection, DELETE)
        taken.append(time.perf_counter() - start)
    print(
        f"\npreview over {seen.references.messages:,} messages, no index: "
        f"{statistics.median(taken) * 1000:.0f} ms (median of 5)"
    )


def client(url: str, name: str, failures: list[BaseException]) -> None:
    """Create, rename, promote and delete a model, again and again."""
    with contextlib.closing(connect(url, name=name)) as connection:
        try:
            for number in range(ROUNDS):
                round_trip(connection, f"{name} {number}")
        except BaseException as error:
            failures.append(error)


def round_trip(connection: Connection, name: str) -> None:
    """Four operations on one model."""
    made = transact(
        connection,
        lambda: models.create_model(
            connection, provider="anthropic", model=name, context_limit=1
        ),
    )
    id: uuid.UUID = made["id"]
    transact(connection, lambda: models.update_model(connection, id, {"display_name": "x"}))
    transact(connection, lambda: models.promote(connection, id))
    removal = models.DeleteModel(id)
    run(connection, removal, seen=preview(connection, removal))


def bench_clients(url: str, connection: Connection) -> None:
    """Eight clients at once beside the same work by one after the other."""
    operations = CLIENTS * ROUNDS * 4
    failures: list[BaseException] = []
    print(
        f"\n{operations} operations (create, rename, promote, delete), a transaction each"
    )
    for title, together in (("one after the other", False), ("8 clients at once", True)):
        connection.execute(WORLD)
        threads = [
            threading.Thread(target=client, args=(url, f"client {n}", failures))
            for n in range(CLIENTS)
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
            if not together:
                thread.join()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - start
        print(
            f"{title:>22}: {operations / taken:>6.0f} operations/s, {len(failures)} failed"
        )


def main() -> None:
    """Run all of it."""
    with (
        served() as url,
        contextlib.closing(connect(url, name="bench")) as connection,
    ):
        bench_lock(connection)
        bench_deletions(connection)
        bench_preview(connection)
        bench_clients(url, connection)


if __name__ == "__main__":
    main()
