"""Users' own keys for a provider. A key enters here and never leaves its column."""

import uuid

from sexton.chat import queries
from sexton.chat.errors import Missing, ProviderDisabled
from sexton.chat.providers import find_provider
from sexton.chat.schema import USER_KEYS
from sexton.chat.transaction import Row, Transaction, insist, writing
from sexton.chat.validation import check_unencrypted, provider_values, refuse
from sexton.database import Connection
from sexton.errors import Refused


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

    Raises Missing, ProviderDisabled, or Refused.
    """
    key = provider_values({"api_key": api_key})["api_key"]
    if not key:
        raise refuse(
            "no key was given",
            "give one with --key-file or --key-env",
            "API key is required.",
        )
    with writing(connection, "provider user-key", actor=actor, recorded=recorded) as tx:
        check_unencrypted(tx)
        found = find_provider(tx, provider, "key share")
        name = found["provider"]
        if not found["enabled"]:
            raise ProviderDisabled(
                f"the provider {name} is disabled", hint=f"sexton provider enable {name}"
            )
        if not found["allow_user_api_key"]:
            raise refuse(
                f"the provider {name} does not take users' own keys",
                f"sexton provider update {name} --user-keys",
                "Provider does not allow user API keys.",
            )
        values = {"user_id": user, "chat_provider_id": found["id"], "api_key": key}
        if row := _key(tx, user, found["id"]):
            changes = {"api_key": "%(api_key)s", "api_key_key_id": "null"}
            changes["updated_at"] = queries.NOW
            where = "this.id = %(id)s"
            values["id"] = row["id"]
            written = tx.update(USER_KEYS, changes, where, "asked for", values)
            insist(written, [row["id"]], USER_KEYS)
        else:
            tx.insert(USER_KEYS, values, "asked for")
        return _shown(name, _key(tx, user, found["id"]))


def remove_user_key(
    connection: Connection,
    provider: str,
    user: uuid.UUID,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Delete a user's key for a provider; raises Missing where there is none.

    Raises Refused where another table's rows would go with it.
    """
    with writing(connection, "provider user-key", actor=actor, recorded=recorded) as tx:
        found = find_provider(tx, provider, "key share")
        table = tx.product.tables[USER_KEYS].relation.oid
        for key in tx.product.keys:
            if key.parent_oid == table:
                raise Refused(
                    f"the foreign key {key.name} would follow the deletion into "
                    f"{key.child}",
                    hint="delete the key in the product",
                )
        row = _key(tx, user, found["id"])
        if row is None:
            raise Missing(
                f"user {user} has no key for {found['provider']}",
                hint="sexton provider list",
            )
        gone = queries.delete_user_key(tx, user, found["id"], "asked for")
        insist(gone, [row["id"]], USER_KEYS)
        return _shown(found["provider"], row)


def _key(tx: Transaction, user: uuid.UUID, provider: uuid.UUID) -> Row | None:
    return tx.hold(
        f"""
        select k.id, k.user_id, k.chat_provider_id, k.created_at, k.updated_at
        from {tx.sql(USER_KEYS)} k
        where k.user_id = %(user)s and k.chat_provider_id = %(provider)s
        """,  # noqa: S608 - of ours
        "no key update",
        user=user,
        provider=provider,
    )


def _shown(provider: str, key: Row | None) -> Row:
    assert key
    return {"provider": provider, **key}
