"""The real product's tables, built from the facts in the JSON files beside this one.

A column there is [name, type, not null, default, generated]; constraints are
[name, type, definition], indexes [name, definition].
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sexton.database import Connection

HERE = Path(__file__).parent


def build_upstream(connection: Connection, *, provider_key: bool = False) -> None:
    """Make the tables, as they are after the change unless `provider_key` is kept.

    Queued messages have the column that a later version of the product adds.
    """
    dropped = () if provider_key else ("chat_model_configs_provider_fkey",)
    _build(connection, "upstream_schema.json", dropped)
    connection.execute("alter table chat_queued_messages add column model_config_id uuid")


def build_later(connection: Connection, release: str) -> None:
    """Make the tables of a later release, `v236` or `main`.

    Keys to tables that the facts do not have are left out.
    """
    _build(connection, f"product_{release}_schema.json", ())


def _build(connection: Connection, file: str, dropped: Sequence[str]) -> None:
    facts = json.loads((HERE / file).read_text())
    execute: Any = connection.execute
    for name, labels in facts["enums"].items():
        execute(f"create type {name} as enum ({', '.join(repr(v) for v in labels)})")
    for name, table in facts["tables"].items():
        for column in table["columns"]:
            if (column[3] or "").startswith("nextval"):
                execute(f"create sequence {column[3].split(chr(39))[1]}")
        columns = ", ".join(_column(column) for column in table["columns"])
        execute(f"create table {name} ({columns})")
    later = []
    for name, table in facts["tables"].items():
        for constraint, kind, definition in table["constraints"]:
            statement = f"alter table {name} add constraint {constraint} {definition}"
            if kind == "f":
                referenced = definition.split(" REFERENCES ")[1].partition("(")[0]
                later.append((constraint, referenced, statement))
            else:
                execute(statement)
        for _, definition in table["indexes"]:
            execute(definition)
    for name, referenced, statement in later:
        if name not in dropped and referenced in facts["tables"]:
            execute(statement)


def _column(column: list[Any]) -> str:
    name, type, not_null, default, _ = column
    return " ".join(
        [
            f"{name} {type}",
            "not null" if not_null else "",
            f"default {default}" if default else "",
        ]
    )
