"""Users' own keys for a provider. A key enters here and never leaves its column."""

import uuid
from typing import Any

from sexton.chat import queries
from sexton.chat.locks import lock_provider
from sexton.chat.operations import begin
from sexton.chat.providers import find_provider
from sexton.chat.schema import require_models
from sexton.chat.validation import check_key, refuse
from sexton.database import Connection, rows
from sexton.errors import NotFound, ProviderDisabled

Row = dict[str, Any]


def set_user_key(
    connection: Connection,
    provider: str,
    user: uuid.UUID,
    api_key: str,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Store or replace a user's key for a provider; return the row without the key.

    Raises NotFound, ProviderDisabled, or Refused in upstream's words.
    """
    require_models(connection)
    if not api_key:
        raise refuse("API key is required.", "give one with --key-file or --key-env")
    check_key(connection, api_key)
    act = begin(connection, "provider user-key", actor=actor, recorded=recorded)
    found = _hold(connection, provider)
    if not found["enabled"]:
        raise ProviderDisabled(hint=f"sexton provider enable {found['provider']}")
    if not found["allow_user_api_key"]:
        raise refuse(
            "Provider does not allow user API keys.",
            f"sexton provider update {found['provider']} --user-keys",
        )
    before = _key(connection, user, found["id"])
    connection.execute(
        """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        values (%s, %s, %s)
        on conflict (user_id, chat_provider_id) do update
        set api_key = excluded.api_key, api_key_key_id = null, updated_at = now()
        """,
        (user, found["id"], api_key),
    )
    after = _key(connection, user, found["id"])
    assert after is not None
    act.record("user_chat_provider_keys", {"id": after["id"]}, before, after, "asked for")
    return _printable(found, after)


def remove_user_key(
    connection: Connection,
    provider: str,
    user: uuid.UUID,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Delete a user's key for a provider; raises NotFound where there is none."""
    require_models(connection)
    act = begin(connection, "provider user-key", actor=actor, recorded=recorded)
    found = _hold(connection, provider)
    gone = queries.delete_user_key(connection, user, found["id"])
    if gone is None:
        raise NotFound(hint=f"user {user} has no key for {found['provider']}")
    act.record("user_chat_provider_keys", {"id": gone["id"]}, gone, None, "asked for")
    return _printable(found, gone)


def _hold(connection: Connection, provider: str) -> Row:
    found = find_provider(connection, provider)
    if not lock_provider(connection, found["id"], "key share"):
        raise NotFound(hint=f"{provider} was deleted by somebody else just now")
    return find_provider(connection, str(found["id"]))


def _key(connection: Connection, user: uuid.UUID, provider: uuid.UUID) -> Row | None:
    found = rows(
        connection,
        """
        select * from user_chat_provider_keys
        where user_id = %s and chat_provider_id = %s
        """,
        user,
        provider,
    )
    return found[0] if found else None


def _printable(provider: Row, key: Row) -> Row:
    names = ("id", "user_id", "chat_provider_id", "created_at", "updated_at")
    return {"provider": provider["provider"], **{name: key[name] for name in names}}
