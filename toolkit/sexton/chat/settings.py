"""Settings, of the site and of users, that name a model config or a provider.

Nothing in the database ties them to what they name (domain facts, section 1).
"""

import uuid
from collections.abc import Sequence
from typing import Any

from sexton.database import Connection, rows, scalar
from sexton.schema import has

Row = dict[str, Any]

UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

SITE = f"""
    select 'site_configs' as table_name, key, null::uuid as user_id, value
    from site_configs
    where lower(
        case
            when key like 'agents\\_%%\\_model\\_override'
                then substring(value from '^\\s*({UUID})(?::.*)?$')
            when key = 'agents_advisor_config'
                then substring(value from '"model_config_id"\\s*:\\s*"({UUID})"')
        end
    ) = any (%(models)s)
    or (key = 'agents_computer_use_provider' and value = %(provider)s)
"""  # noqa: S608 - a pattern of ours

USER = f"""
    select 'user_configs' as table_name, key, user_id, value
    from user_configs
    where lower(
        case
            when key like 'chat\\_personal\\_model\\_override:%%'
                then substring(value from '^model:({UUID})(?::.*)?$')
            when key like 'chat\\_compaction\\_threshold\\_pct:%%'
                then substring(key from ':({UUID})$')
        end
    ) = any (%(models)s)
"""  # noqa: S608 - a pattern of ours


def count_overrides(
    connection: Connection, models: Sequence[uuid.UUID], provider: str | None = None
) -> int:
    """How many settings name one of these configs, or this provider."""
    total = 0
    for query, parameters in _queries(connection, models, provider):
        counted: Any = f"select count(*) as n from ({query}) found"  # noqa: S608
        row = connection.execute(counted, parameters).fetchone()
        total += row["n"] if row else 0
    return total


def find_overrides(connection: Connection, model: uuid.UUID) -> list[Row]:
    """The settings that name a config: table_name, key, user_id, value; in order."""
    found = []
    for query, parameters in _queries(connection, [model], None):
        ordered: Any = f"{query} order by key, user_id"
        found += connection.execute(ordered, parameters).fetchall()
    return found


def move_override(
    connection: Connection, setting: Row, old: uuid.UUID, new: uuid.UUID
) -> Row | None:
    """Make a setting name another config, and return its row.

    What stands beside the id stays: the effort, the advisor's other fields. None where
    the user already has a threshold of their own for the other config.
    """
    row = {name: setting[name] for name in ("key", "user_id", "value")}
    if setting["table_name"] == "site_configs":
        row["value"] = _swap(row["value"], old, new)
        query: Any = "update site_configs set value = %(value)s where key = %(key)s"
        connection.execute(query, row)
        return row
    row["value"] = _swap(row["value"], old, new)
    row["key"] = _swap(row["key"], old, new)
    if row["key"] != setting["key"] and scalar(
        connection,
        "select exists (select from user_configs where user_id = %s and key = %s)",
        row["user_id"],
        row["key"],
    ):
        return None
    connection.execute(
        """
        update user_configs set key = %(key)s, value = %(value)s
        where user_id = %(user_id)s and key = %(old)s
        """,
        {**row, "old": setting["key"]},
    )
    return row


def _queries(
    connection: Connection, models: Sequence[uuid.UUID], provider: str | None
) -> list[tuple[str, Row]]:
    parameters = {"models": [str(id) for id in models], "provider": provider}
    return [
        (query, parameters)
        for table, query in (("site_configs", SITE), ("user_configs", USER))
        if (models or provider) and has(connection, table, "key", "value")
    ]


def _swap(text: str, old: uuid.UUID, new: uuid.UUID) -> str:
    import re

    return re.sub(str(old), str(new), text, flags=re.IGNORECASE)


def lock_overrides(connection: Connection, settings: Sequence[Row]) -> None:
    """Lock the settings' rows, in their order, until the end of the transaction."""
    for setting in settings:
        if setting["table_name"] == "site_configs":
            rows(
                connection,
                "select from site_configs where key = %s for update",
                setting["key"],
            )
        else:
            rows(
                connection,
                "select from user_configs where user_id = %s and key = %s for update",
                setting["user_id"],
                setting["key"],
            )
