"""The real product's tables, built from the facts in upstream_schema.json.

A column there is [name, type, not null, default, generated]; constraints are
[name, type, definition], indexes [name, definition].
"""

import json
from pathlib import Path
from typing import Any

from sexton.database import Connection

FACTS = Path(__file__).with_name("upstream_schema.json")


def build_upstream(connection: Connection, *, provider_key: bool = False) -> None:
    """Make the tables, as they are after the change unless `provider_key` is kept.

    Queued messages have the column that a later version of the product adds.
    """
    facts = json.loads(FACTS.read_text())
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
                later.append(statement)
            else:
                execute(statement)
        for _, definition in table["indexes"]:
            execute(definition)
    for statement in later:
        if provider_key or "chat_model_configs_provider_fkey" not in statement:
            execute(statement)
    execute("alter table chat_queued_messages add column model_config_id uuid")


def _column(column: list[Any]) -> str:
    name, type, not_null, default, _ = column
    return " ".join(
        [
            f"{name} {type}",
            "not null" if not_null else "",
            f"default {default}" if default else "",
        ]
    )
