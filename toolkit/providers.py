"""Providers: listing them, and deleting one while its history stays."""

import uuid
from dataclasses import dataclass
from typing import Any

from toolkit import models
from toolkit.database import Connection, rows, scalar
from toolkit.errors import NotFound, Refused
from toolkit.locks import lock_election
from toolkit.schema import (
    has,
    require_models,
    require_no_provider_key,
    require_tombstones,
)

Row = dict[str, Any]

# How to choose the config that becomes the default when the default goes.
USABLE = "usable"  # the first enabled one under an enabled provider
FIRST = "first"  # upstream's way: the first live one, usable or not
NONE = "none"  # leave the database without a default


@dataclass(frozen=True)
class Deletion:
    """What deleting a provider does: the same document before and after the deed."""

    provider: str
    tombstoned: list[uuid.UUID]
    heir: Row | None
    previous_default: Row | None
    chats: int
    messages: int
    user_keys: int
    overrides: int

    @property
    def default_goes(self) -> bool:
        """Whether the default is among the configs that go."""
        before = self.previous_default
        return before is not None and before["id"] in self.tombstoned

    def document(self) -> Row:
        """The document that `provider delete --format json` prints."""
        before = self.previous_default
        return {
            "provider": self.provider,
            "tombstoned": self.tombstoned,
            "heir": self.heir
            and {key: self.heir[key] for key in ("id", "provider", "model")},
            "previous_default": before and before["id"],
            "chats": self.chats,
            "messages": self.messages,
            "user_keys": self.user_keys,
            "overrides": self.overrides,
        }


def list_providers(connection: Connection) -> list[Row]:
    """All providers by name, with their counts of models; never their keys."""
    require_models(connection)
    tombstones = has(connection, "chat_model_configs", "deleted")
    live = "not c.deleted" if tombstones else "true"
    return rows(
        connection,
        f"""
        select
            p.id, p.provider, p.display_name, p.enabled, p.base_url,
            p.api_key <> '' as has_api_key,
            p.central_api_key_enabled, p.allow_user_api_key,
            p.allow_central_api_key_fallback, p.created_at, p.updated_at,
            (
                select count(*) from chat_model_configs c
                where c.provider = p.provider and {live}
            ) as live,
            (
                select count(*) from chat_model_configs c
                where c.provider = p.provider and not ({live})
            ) as tombstones
        from chat_providers p
        order by p.provider
        """,  # noqa: S608 - two literals of ours
    )


def preview_deletion(connection: Connection, name: str, *, heir: str = USABLE) -> Deletion:
    """What `delete_provider` would do now. Reads only, takes no lock.

    `name` is the provider's name or id; `heir` is `usable`, `first`, `none` or a
    config's id. Raises NotFound, UsageError for a malformed id, Refused for an heir that
    cannot be the default, WrongSchema before revision 0004.
    """
    require_tombstones(connection)
    require_no_provider_key(connection)
    return _plan(connection, _provider(connection, name), heir)


def delete_provider(connection: Connection, name: str, *, heir: str = USABLE) -> Deletion:
    """Tombstone a provider's live configs, find the heir, delete the provider.

    Users' keys for the provider go with it; chats and messages stay, on tombstones.
    Arguments, result and errors are those of `preview_deletion`.
    """
    require_tombstones(connection)
    lock_election(connection)
    require_no_provider_key(connection)
    provider = _provider(connection, name)
    # Upstream's server takes the same row lock: it waits for us, and we for it.
    connection.execute(
        "select from chat_providers where id = %s for update", (provider["id"],)
    )
    provider = _provider(connection, str(provider["id"]))
    connection.execute(
        """
        select from chat_model_configs
        where provider = %s and not deleted order by id for update
        """,
        (provider["provider"],),
    )
    deletion = _plan(connection, provider, heir)
    connection.execute(
        """
        update chat_model_configs
        set deleted = true, deleted_at = now(), updated_at = now()
        where id = any (%s) and not deleted
        """,
        (deletion.tombstoned,),
    )
    if deletion.heir:
        models.make_default(connection, deletion.heir["id"])
    connection.execute("delete from chat_providers where id = %s", (provider["id"],))
    return deletion


def _provider(connection: Connection, name: str) -> Row:
    found = rows(
        connection,
        """
        select id, provider from chat_providers
        where provider = %s or id::text = lower(%s)
        order by provider = %s desc
        limit 1
        """,
        name,
        name,
        name,
    )
    if not found:
        raise NotFound(hint=f"no provider is called {name!r}: sexton provider list")
    return found[0]


def _plan(connection: Connection, provider: Row, heir: str) -> Deletion:
    going = rows(
        connection,
        """
        select id from chat_model_configs where provider = %s and not deleted
        order by provider, model, updated_at desc, id desc
        """,
        provider["provider"],
    )
    ids = [row["id"] for row in going]
    before = models.get_default(connection)
    chosen = _heir(connection, heir, provider["provider"], ids)
    stays = before is not None and before["id"] not in ids
    return Deletion(
        provider=provider["provider"],
        tombstoned=ids,
        heir=None if stays else chosen,
        previous_default=before,
        chats=_count(connection, "chats", "last_model_config_id", ids),
        messages=_count(connection, "chat_messages", "model_config_id", ids),
        user_keys=_count(
            connection, "user_chat_provider_keys", "chat_provider_id", [provider["id"]]
        ),
        overrides=_overrides(connection, ids),
    )


def _heir(
    connection: Connection, heir: str, provider: str, leaving: list[uuid.UUID]
) -> Row | None:
    if heir == NONE:
        return None
    if heir in (USABLE, FIRST):
        return models.first_heir(connection, leaving=leaving, usable=heir == USABLE)
    id = models.model_id(heir, "--heir takes usable, first, none or a model config's id.")
    model = models.get_model(connection, id)
    if model is None:
        raise Refused(f"the heir {id} does not exist", hint="sexton model list")
    models.require_usable(model, "the heir")
    if id in leaving:
        raise Refused(
            f"the heir {id} ({model['model']}) belongs to {provider}, which is going",
            hint="choose a model of another provider: sexton model list",
        )
    return model


def _count(connection: Connection, table: str, column: str, ids: list[uuid.UUID]) -> int:
    if not ids or not has(connection, table, column):
        return 0
    return int(
        scalar(
            connection,
            f"select count(*) from {table} where {column} = any (%s)",  # noqa: S608
            ids,
        )
    )


def _overrides(connection: Connection, ids: list[uuid.UUID]) -> int:
    """How many settings, of the site and of users, name one of these configs."""
    names = [str(id) for id in ids]
    return sum(
        int(
            scalar(
                connection,
                f"""
                select count(*) from {table}
                where (key like 'agents\\_%%' or key like 'chat\\_%%')
                  and substring(
                      lower(concat_ws(' ', key, value)) from '{UUID}'
                  ) = any (%s)
                """,  # noqa: S608 - names of ours
                names,
            )
        )
        for table in ("site_configs", "user_configs")
        if names and has(connection, table, "key", "value")
    )


UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
