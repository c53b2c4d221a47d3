"""What tests share: rows, the command line, and assertions about checks."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from toolkit.audit import run_checks, select_checks
from toolkit.cli import run
from toolkit.database import Connection, connect, rows, scalar, transact
from toolkit.repair import make_repairs, plan_repair


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
    places = ", ".join(["%s"] * len(values))
    query: Any = f"insert into {table} ({names}) values ({places}) returning id"
    return scalar(connection, query, *values.values())


def table(connection: Connection, name: str) -> list[dict[str, Any]]:
    """All rows of a table, by id."""
    query: Any = f"select * from {name} order by id"
    return rows(connection, query)


def second_connection(url: str) -> Connection:
    """Another connection to the same database, for tests of races."""
    return connect(url, name="tests, the other one")


def found(connection: Connection, name: str) -> Any:
    """Run one check and return its outcome."""
    [outcome] = run_checks(connection, select_checks([name]), sample=1000)[1]
    return outcome


def assert_clean(connection: Connection, name: str) -> None:
    """Insist that a check looked and found nothing."""
    outcome = found(connection, name)
    assert (outcome.status, outcome.count) == ("pass", 0), outcome


def assert_finds(connection: Connection, name: str, *ids: Any) -> list[str]:
    """Insist that a check finds the rows with these ids; return its messages."""
    outcome = found(connection, name)
    assert outcome.status == "fail", outcome
    assert {finding.key["id"] for finding in outcome.findings} == set(ids)
    assert outcome.count == len(ids)
    return [finding.message for finding in outcome.findings]


def repaired(connection: Connection, *names: str) -> Any:
    """Plan and make the repairs of some checks (all by default); return the plan."""

    def work() -> Any:
        plan = plan_repair(connection, select_checks(names))
        make_repairs(connection, plan)
        return plan

    return transact(connection, work)
