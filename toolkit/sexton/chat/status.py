"""Status: where the database stands, in one look."""

from typing import Any

from sexton import schema
from sexton.chat import schema as chat
from sexton.database import Connection, rows, scalar
from sexton.upgrade.drift import drift


def status(connection: Connection, head: str) -> dict[str, Any]:
    """The document that `status --format json` prints. Reads only.

    `head` is the newest revision this code knows. Raises WrongSchema where the tables
    are not there.
    """
    chat.require_models(connection)
    tombstones = schema.has(connection, chat.MODELS, "deleted", "deleted_at")
    live = "not c.deleted" if tombstones else "true"
    return {
        "revision": schema.visible_revision(connection),
        "head": head,
        "drift": drift(connection),
        "providers": scalar(connection, "select count(*) from chat_providers"),
        "live": _models(connection, live),
        "tombstones": _models(connection, f"not ({live})"),
        "chats_on_tombstones": _chats(connection) if tombstones else 0,
        "default": _default(connection, live),
    }


def _default(connection: Connection, live: str) -> dict[str, Any] | None:
    query: Any = f"""
        select
            c.id, c.provider, c.model,
            c.enabled and coalesce(p.enabled, false) as usable
        from chat_model_configs c
        left join chat_providers p on p.provider = c.provider
        where c.is_default and {live}
        order by c.provider, c.model, c.updated_at desc, c.id desc
    """  # noqa: S608 - a literal of ours
    found = rows(connection, query)
    return found[0] if found else None


def _models(connection: Connection, condition: str) -> int:
    query: Any = f"select count(*) from chat_model_configs c where {condition}"  # noqa: S608
    return int(scalar(connection, query))


def _chats(connection: Connection) -> int:
    if not schema.has(connection, "chats", "last_model_config_id"):
        return 0
    return int(
        scalar(
            connection,
            """
            select count(*) from chats h
            join chat_model_configs c on c.id = h.last_model_config_id
            where c.deleted
            """,
        )
    )
