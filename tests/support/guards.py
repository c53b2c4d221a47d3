"""What tests of guards share; the functions are about the chat product's one."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import errors

from sexton.chat.project import LIVE_MODELS
from sexton.database import Connection, rows, scalar
from sexton.ddl.options import Options
from sexton.embedded.programs import wheel
from sexton.guard import change
from sexton.guard import status as guards
from sexton.guard.binding import offline
from sexton.guard.steps import add_steps
from tests.support.tools import add_model

TABLES = ("chat_providers", "chat_model_configs")
ADD = add_steps(offline(LIVE_MODELS))


def add(connection: Connection, options: Options | None = None) -> list[str]:
    """Set the guard."""
    return change.add(connection, LIVE_MODELS, options=options)


def remove(connection: Connection, options: Options | None = None) -> list[str]:
    """Take the guard away."""
    return change.remove(connection, LIVE_MODELS, options=options)


def status(connection: Connection) -> Any:
    """What is said of the guard."""
    [found] = guards.status(connection, LIVE_MODELS)["guards"]
    return found


def drift(connection: Connection) -> list[str]:
    """What the guard lacks."""
    return guards.drift(connection, LIVE_MODELS)


def tombstone(
    connection: Connection, provider: str, model: str = "t", **columns: Any
) -> Any:
    return add_model(
        connection, provider, model, deleted=True, deleted_at="2026-01-01", **columns
    )


def bury(connection: Connection, id: Any) -> None:
    connection.execute(
        "update chat_model_configs set deleted = true, deleted_at = now() where id = %s",
        (id,),
    )


def revive(connection: Connection, id: Any) -> None:
    connection.execute(
        "update chat_model_configs set deleted = false, deleted_at = null where id = %s",
        (id,),
    )


def drop_provider(connection: Connection, name: str) -> None:
    connection.execute("delete from chat_providers where provider = %s", (name,))


def orphans(connection: Connection) -> int:
    return scalar(  # type: ignore[no-any-return]
        connection,
        """
        select count(*) from chat_model_configs c
        where not c.deleted
          and not exists (select from chat_providers p where p.provider = c.provider)
        """,
    )


@contextlib.contextmanager
def guard_refuses() -> Iterator[None]:
    with pytest.raises(errors.ForeignKeyViolation) as refusal:
        yield
    assert refusal.value.diag.constraint_name == "sexton_guard"


def storage(connection: Connection) -> Any:
    return rows(
        connection,
        "select relname, relfilenode from pg_class where relname = any (%s) order by 1",
        list(TABLES),
    )


def wait_until_blocked(connection: Connection, pid: int) -> None:
    give_up = threading.Event()
    for _ in range(1000):
        if scalar(connection, "select cardinality(pg_blocking_pids(%s)) > 0", pid):
            return
        give_up.wait(0.01)
    raise AssertionError("nobody waits")


def wait_for(connection: Connection, query: Any, *parameters: Any) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if scalar(connection, query, *parameters):
            return
        tick.wait(0.005)
    raise AssertionError(f"never true: {query}")


def program(name: str, *arguments: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(
        [wheel() / "bin" / name, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
    )
    # A newer pg_dump sets parameters that an older server does not know.
    said = [line for line in done.stderr.decode().splitlines() if "ERROR" in line]
    assert [line for line in said if "unrecognized configuration" not in line] == []
    return done.stdout


def everything_of_ours(connection: Connection) -> Any:
    return rows(
        connection,
        """
        select 'class' as what, relname::text as name from pg_class
        where relname like 'sexton%'
        union all select 'function', proname::text from pg_proc where proname like 'sexton%'
        union all select 'trigger', tgname::text from pg_trigger where tgname ~ '^~?sexton'
        union all select 'constraint', conname::text from pg_constraint
        where conname like 'sexton%'
        union all select 'column', attname::text from pg_attribute
        where attname like 'sexton%' and not attisdropped
        order by 1, 2
        """,
    )


DAMAGE = {
    "trigger off": 'alter table chat_model_configs disable trigger "~sexton_live"',
    "trigger dropped": 'drop trigger "~sexton_live" on chat_model_configs',
    "function changed": """
        create or replace function sexton_live() returns trigger language plpgsql as
        $$begin return new; end$$
    """,
    "check dropped": "alter table chat_model_configs drop constraint sexton_live",
    "check weakened": """
        alter table chat_model_configs drop constraint sexton_live,
            add constraint sexton_live check (sexton_live is not null or deleted)
    """,
    "parent's check dropped": ("alter table chat_providers drop constraint sexton_live"),
    "key dropped": "alter table chat_model_configs drop constraint sexton_guard",
    "key not valid": """
        alter table chat_model_configs drop constraint sexton_guard;
        alter table chat_model_configs add constraint sexton_guard
            foreign key (provider, sexton_live)
            references chat_providers (provider, sexton_live) not valid
    """,
    "key cascades": """
        alter table chat_model_configs drop constraint sexton_guard;
        alter table chat_model_configs add constraint sexton_guard
            foreign key (provider, sexton_live)
            references chat_providers (provider, sexton_live) on delete cascade
    """,
    "key's triggers off": "alter table chat_providers disable trigger all",
    "default flipped": "alter table chat_model_configs alter sexton_live set default false",
    "parent's mark nullable": "alter table chat_providers alter sexton_live drop not null",
}
