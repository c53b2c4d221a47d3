"""What tests share: rows, the command line, and assertions about checks."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from sexton.audit.auditor import run_checks
from sexton.audit.outcome import Options, Outcome
from sexton.audit.selection import select_checks
from sexton.chat import operation, queries
from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import preview
from sexton.chat.transaction import reading
from sexton.cli import run
from sexton.database import Connection, connect, rows, scalar, transact


@dataclass
class Result:
    """What a command did: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The document on stdout, which must be all there is."""
        return json.loads(self.stdout)


@dataclass
class Cli:
    """Runs commands on one database."""

    url: str
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, database: bool = True) -> Result:
        """Run a command with `--url`, and return what it did."""
        self.capture.readouterr()
        where = ["--url", self.url] if database else []
        code = run([*arguments, *where])
        out, err = self.capture.readouterr()
        return Result(code, out, err)


def login(connection: Connection) -> str:
    """Let a new role log in with the password that the tests' own role has, if any."""
    password = connection.info.password
    return f"login password '{password}'" if password else "login"


def add_provider(connection: Connection, name: str, **columns: Any) -> Any:
    """Insert a provider and return its id."""
    return _insert(connection, "chat_providers", {"provider": name, **columns})


def add_model(
    connection: Connection, provider: str, model: str = "m", **columns: Any
) -> Any:
    """Insert a model config, past the tool, and return its id."""
    values = {"provider": provider, "model": model, "context_limit": 1000}
    values |= {"compression_threshold": 70, **columns}
    return _insert(connection, "chat_model_configs", values)


def add_chat(connection: Connection, model: uuid.UUID, **columns: Any) -> Any:
    """Insert a chat that last used a model, and return its id."""
    values = {"owner_id": uuid.uuid4(), "last_model_config_id": model, **columns}
    return _insert(connection, "chats", values)


def add_message(
    connection: Connection, chat: uuid.UUID, model: uuid.UUID | None, **columns: Any
) -> Any:
    """Insert a message of a chat, and return its id."""
    values = {"chat_id": chat, "model_config_id": model, "role": "user", **columns}
    return _insert(connection, "chat_messages", values)


def _insert(connection: Connection, table: str, values: dict[str, Any]) -> Any:
    names = ", ".join(values)
    placeholders = ", ".join(["%s"] * len(values))
    query: Any = f"insert into {table} ({names}) values ({placeholders}) returning id"
    return scalar(connection, query, *values.values())


def table(connection: Connection, name: str) -> list[dict[str, Any]]:
    """All rows of a table, by id."""
    query: Any = f"select * from {name} order by id"
    return rows(connection, query)


def model(connection: Connection, id: uuid.UUID) -> Any:
    """A model config, live or tombstone, with what its provider makes of it."""
    with reading(connection) as tx:
        return queries.get_any_model(tx, id)


def do(connection: Connection, what: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one of the product's operations, or a function of it, in its transaction."""
    if not hasattr(what, "plan"):
        return transact(connection, lambda: what(connection, *args, **kwargs))
    own = ("actor", "recorded", "seen")
    who = {name: kwargs.pop(name) for name in own if name in kwargs}
    return operation.run(connection, what(*args, **kwargs), **who)


def second_connection(url: str) -> Connection:
    """Another connection to the same database, for tests of races."""
    return connect(url, name="tests, the other one")


def look(connection: Connection, name: str, **options: Any) -> Outcome:
    """Run one check, looking once, and return its outcome."""
    options = {"confirm_after": 0, "recheck": True, **options}
    selected = select_checks([name])
    _, [outcome] = run_checks(connection, selected, Options(**options))
    return outcome


def keys(outcome: Outcome) -> list[Any]:
    """The keys of an outcome's findings: the id alone, or all columns."""
    return [
        key["id"] if list(key) == ["id"] else key
        for key in (finding.key for finding in outcome.findings)
    ]


def assert_clean(connection: Connection, name: str) -> None:
    """The check looked and found nothing."""
    outcome = look(connection, name)
    assert (outcome.status, outcome.count) == ("pass", 0), outcome


def assert_finds(connection: Connection, name: str, *ids: Any, says: str = "") -> list[str]:
    """The check finds these rows, and each message has the words; return the messages."""
    outcome = look(connection, name, sample=100)
    assert outcome.status == "fail", outcome
    assert sorted(map(str, keys(outcome))) == sorted(str(id) for id in ids)
    assert outcome.count == len(ids)
    for finding in outcome.findings:
        assert says in finding.message
        assert "{" not in finding.message
    return [finding.message for finding in outcome.findings]


def found(connection: Connection, name: str) -> Outcome:
    """Run one check as it is, and return its outcome."""
    return look(connection, name, sample=1000, recheck=False)


def configure(connection: Connection, key: str, value: str) -> None:
    """Set a site setting of the real product."""
    connection.execute(
        "insert into site_configs values (%s, %s) "
        "on conflict (key) do update set value = excluded.value",
        (key, value),
    )


def add_user(connection: Connection, **columns: Any) -> Any:
    """Insert a user of the real product, and return the id."""
    return _insert(connection, "users", {"id": uuid.uuid4(), **columns})


def add_queued(connection: Connection, chat: uuid.UUID, model: uuid.UUID | None) -> Any:
    """Insert a queued message of a chat, and return its id."""
    values = {"chat_id": chat, "content": "{}", "model_config_id": model}
    return _insert(connection, "chat_queued_messages", values)


def refusal(result: Result) -> tuple[int, int | None, str]:
    """What a refusal says: exit code, HTTP status and message."""
    error = result.json["error"]
    assert set(error) == {"code", "status", "message", "hint"}
    assert error["code"] == result.code
    return result.code, error["status"], error["message"]


def plan(connection: Connection, name: str, **kwargs: Any) -> Any:
    """What deleting a provider would do."""
    return preview(connection, DeleteProvider(name, **kwargs))
