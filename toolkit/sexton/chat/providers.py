"""Providers: adding, changing, switching and deleting one while its history stays."""

import abc
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.chat import queries
from sexton.chat.election import (
    FIRST,
    NONE,
    USABLE,
    choose_heir,
    ensure_default,
    make_default,
)
from sexton.chat.locks import lock_models, lock_provider
from sexton.chat.models import brief
from sexton.chat.operations import begin
from sexton.chat.schema import (
    require_models,
    require_no_provider_key,
    require_tombstones,
)
from sexton.chat.usage import References, count_references
from sexton.chat.validation import check_key, check_policy, check_provider_name, refuse
from sexton.database import Connection, redact, rows
from sexton.errors import NotFound, ProviderMissing, UsageError
from sexton.schema import has

__all__ = [
    "FIRST",
    "NONE",
    "USABLE",
    "Deletion",
    "Restoration",
    "Switch",
    "add_provider",
    "delete_provider",
    "find_provider",
    "list_providers",
    "preview_deletion",
    "preview_restoration",
    "preview_switch",
    "restore_provider",
    "switch_provider",
    "update_provider",
]

Row = dict[str, Any]

CHANGEABLE = (
    *("display_name", "api_key", "base_url", "central_api_key_enabled"),
    *("allow_user_api_key", "allow_central_api_key_fallback"),
)


@dataclass(frozen=True)
class Effect(abc.ABC):
    """What an act on a provider does: the same document before and after the deed."""

    provider: str
    models: list[uuid.UUID]  # the configs it touches, in election order
    heir: Row | None
    previous_default: Row | None
    references: References

    @property
    def default_goes(self) -> bool:
        """Whether the default is among the configs it touches."""
        before = self.previous_default
        return before is not None and before["id"] in self.models

    def document(self) -> Row:
        """The document that the commands print with `--format json`."""
        before = self.previous_default
        return {
            "provider": self.provider,
            **self.own(),
            "heir": brief(self.heir),
            "previous_default": before and before["id"],
            **self.references.document(),
        }

    @abc.abstractmethod
    def own(self) -> Row:
        """The part of the document that is this act's own."""


@dataclass(frozen=True)
class Deletion(Effect):
    """What deleting a provider does."""

    def own(self) -> Row:
        """The configs that become tombstones."""
        return {"tombstoned": self.models}


@dataclass(frozen=True)
class Switch(Effect):
    """What enabling or disabling a provider does."""

    enabled: bool

    def own(self) -> Row:
        """The new state, and the live configs under it."""
        return {"enabled": self.enabled, "affected": self.models}


@dataclass(frozen=True)
class Restoration(Effect):
    """What bringing back a provider's tombstones does."""

    def own(self) -> Row:
        """The tombstones that come back to life."""
        return {"restored": self.models}


# -- reading ---------------------------------------------------------------------------


def list_providers(connection: Connection) -> list[Row]:
    """All providers by name, with their counts of models; never their keys."""
    require_models(connection)
    tombstones = has(connection, "chat_model_configs", "deleted")
    query: Any = f"""
        select provider,
               count(*) filter (where {"not deleted" if tombstones else "true"}) as live,
               count(*) as all
        from chat_model_configs group by provider
    """  # noqa: S608 - two literals of ours
    counts = {row["provider"]: row for row in rows(connection, query)}
    found = []
    for row in queries.list_providers(connection):
        counted = counts.get(row["provider"], {"live": 0, "all": 0})
        found.append(
            {
                **row,
                "base_url": redact(row["base_url"]),
                "live": counted["live"],
                "tombstones": counted["all"] - counted["live"],
            }
        )
    return found


def find_provider(connection: Connection, name: str) -> Row:
    """A provider by its name or id; raises NotFound."""
    found = rows(
        connection,
        f"""{queries.PROVIDER}
        where p.provider = %s or p.id::text = lower(%s)
        order by p.provider = %s desc
        limit 1""",
        name,
        name,
        name,
    )
    if not found:
        raise NotFound(hint=f"no provider is called {name!r}: sexton provider list")
    return found[0]


def printable(provider: Row) -> Row:
    """A provider's row as commands print it: without its key."""
    row = {**provider, "base_url": redact(provider["base_url"])}
    key = row.pop("api_key", None)
    row.pop("api_key_key_id", None)
    if key is not None:
        row["has_api_key"] = key != ""
    return row


# -- adding and changing -----------------------------------------------------------------


def add_provider(
    connection: Connection,
    name: str,
    *,
    display_name: str = "",
    api_key: str = "",
    base_url: str = "",
    enabled: bool = True,
    central_api_key_enabled: bool = True,
    allow_user_api_key: bool = False,
    allow_central_api_key_fallback: bool = False,
    heir: str = USABLE,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Add a provider, and return its row without the key.

    Live configs of that name, orphans until now, become usable; one of them becomes the
    default if there is none.
    """
    require_tombstones(connection)
    check_provider_name(name)
    values: Row = {
        "provider": name,
        "display_name": display_name,
        "api_key": api_key,
        "base_url": base_url,
        "enabled": enabled,
        "central_api_key_enabled": central_api_key_enabled,
        "allow_user_api_key": allow_user_api_key,
        "allow_central_api_key_fallback": allow_central_api_key_fallback,
    }
    check_policy(values)
    if api_key:
        check_key(connection, api_key)
    act = begin(connection, "provider add", actor=actor, recorded=recorded)
    if act.user:
        values["created_by"] = act.user
    try:
        made = queries.insert_provider(connection, values)
    except errors.UniqueViolation:
        raise refuse(
            "Chat provider already exists.", f"sexton provider update {name}", 409
        ) from None
    act.record("chat_providers", {"id": made["id"]}, None, made, "added")
    lock_models(connection)
    ensure_default(act, heir, f"there was no default, and {name} was added")
    return printable(made)


def update_provider(
    connection: Connection,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Change a provider's columns, those given and no others; return it without the key.

    An empty `api_key` takes the key away. The policy is checked as it will be, if the
    change touches it.
    """
    require_models(connection)
    if not changes or set(changes) - set(CHANGEABLE):
        raise UsageError(
            "nothing to change was named", hint="sexton provider update --help"
        )
    key = changes.get("api_key")
    if key:
        check_key(connection, key)
    act = begin(connection, "provider update", actor=actor, recorded=recorded)
    provider = _hold(connection, name, "no key update")
    id = provider["id"]
    [before] = rows(connection, "select * from chat_providers where id = %s", id)
    if set(changes) - {"display_name", "base_url"}:
        check_policy({**before, **changes})
    values = dict(changes)
    if key is not None:
        values["api_key_key_id"] = None  # it is stored as it is, not encrypted
    after = queries.update_provider(connection, id, values)
    why = f"asked for: {', '.join(changes)}"
    act.record("chat_providers", {"id": id}, before, after, why)
    return printable(after or before)


# -- enabling and disabling --------------------------------------------------------------


def preview_switch(
    connection: Connection, name: str, *, enabled: bool, heir: str = USABLE
) -> Switch:
    """What `switch_provider` would do now. Reads only, takes no lock."""
    require_tombstones(connection)
    return _plan_switch(connection, find_provider(connection, name), enabled, heir, None)


def switch_provider(
    connection: Connection,
    name: str,
    *,
    enabled: bool,
    heir: str = USABLE,
    counted: Effect | None = None,
    actor: str | None = None,
    recorded: bool = True,
) -> Switch:
    """Enable or disable a provider.

    Disabling the default's provider moves the default to the heir, if there is one; else
    the default stays, unusable. Enabling elects a default if there is none.
    """
    require_tombstones(connection)
    kind = f"provider {'enable' if enabled else 'disable'}"
    act = begin(connection, kind, actor=actor, recorded=recorded)
    provider = _hold(connection, name, "no key update")
    lock_models(connection)
    switch = _plan_switch(connection, provider, enabled, heir, counted)
    id = provider["id"]
    [before] = rows(connection, "select * from chat_providers where id = %s", id)
    after = queries.update_provider(connection, id, {"enabled": enabled})
    act.record("chat_providers", {"id": id}, before, after, "asked for")
    if switch.heir:
        make_default(act, switch.heir["id"], _inherits(switch, "was switched"))
    return switch


def _plan_switch(
    connection: Connection, provider: Row, enabled: bool, heir: str, counted: Effect | None
) -> Switch:
    name = provider["provider"]
    ids = _live(connection, name)
    before = queries.get_default_model(connection)
    if enabled:
        chosen = None if before else choose_heir(connection, heir, [], enabling=name)
    else:
        chosen = choose_heir(connection, heir, ids)
        if before and before["id"] not in ids:
            chosen = None
    return Switch(
        provider=name,
        models=ids,
        heir=chosen,
        previous_default=before,
        references=_references(connection, ids, provider, counted),
        enabled=enabled,
    )


# -- deleting ----------------------------------------------------------------------------


def preview_deletion(connection: Connection, name: str, *, heir: str = USABLE) -> Deletion:
    """What `delete_provider` would do now. Reads only, takes no lock.

    `name` is the provider's name or id; `heir` is `usable`, `first`, `none` or a
    config's id. Raises NotFound, UsageError for a malformed id, Refused for an heir that
    cannot be the default, WrongSchema before revision 0002, Refused before 0004.
    """
    require_tombstones(connection)
    require_no_provider_key(connection)
    return _plan_deletion(connection, find_provider(connection, name), heir, None)


def delete_provider(
    connection: Connection,
    name: str,
    *,
    heir: str = USABLE,
    counted: Effect | None = None,
    actor: str | None = None,
    recorded: bool = True,
) -> Deletion:
    """Tombstone a provider's live configs, find the heir, delete the provider.

    Users' keys for the provider go with it; chats and messages stay, on tombstones.
    `counted` is a preview made just before: its counts are taken over where it is about
    the same configs, so that nothing is counted under the locks. Result and errors are
    those of `preview_deletion`.
    """
    require_tombstones(connection)
    act = begin(connection, "provider delete", actor=actor, recorded=recorded)
    require_no_provider_key(connection)
    provider = _hold(connection, name, "update")
    lock_models(connection)
    deletion = _plan_deletion(connection, provider, heir, counted)
    before = {
        row["id"]: row
        for row in rows(
            connection,
            "select * from chat_model_configs where id = any (%s)",
            deletion.models,
        )
    }
    why = f"its provider {provider['provider']} was deleted"
    for row in queries.tombstone_models_of(connection, provider["provider"], act.user):
        id = row["id"]
        act.record("chat_model_configs", {"id": id}, before[id], row, why)
    if deletion.heir:
        make_default(act, deletion.heir["id"], _inherits(deletion, "was deleted"))
    gone = queries.delete_provider(connection, provider["id"])
    act.record("chat_providers", {"id": provider["id"]}, gone, None, "asked for")
    return deletion


def _plan_deletion(
    connection: Connection, provider: Row, heir: str, counted: Effect | None
) -> Deletion:
    ids = _live(connection, provider["provider"])
    before = queries.get_default_model(connection)
    chosen = choose_heir(connection, heir, ids)
    stays = before is not None and before["id"] not in ids
    return Deletion(
        provider=provider["provider"],
        models=ids,
        heir=None if stays else chosen,
        previous_default=before,
        references=_references(connection, ids, provider, counted),
    )


# -- restoring ---------------------------------------------------------------------------


def preview_restoration(
    connection: Connection, name: str, *, heir: str = USABLE
) -> Restoration:
    """What `restore_provider` would do now. Reads only, takes no lock."""
    require_tombstones(connection)
    return _plan_restoration(connection, _restorable(connection, name), heir, None)


def restore_provider(
    connection: Connection,
    name: str,
    *,
    heir: str = USABLE,
    counted: Effect | None = None,
    actor: str | None = None,
    recorded: bool = True,
) -> Restoration:
    """Bring the tombstones of a re-created provider's latest deletion back to life.

    Those are the ones with the newest deleted_at before the provider was created: older
    lineages stay dead, also when it is asked for twice. They come back without the
    default's flag, which has an heir; one of them gets it only if there is no default.
    Raises ProviderMissing where the provider was not re-created, UsageError where nothing
    is to be restored.
    """
    require_tombstones(connection)
    act = begin(connection, "provider restore", actor=actor, recorded=recorded)
    provider = _restorable(connection, name)
    if not lock_provider(connection, provider["id"], "key share"):
        raise _missing(name)
    lock_models(connection)
    restoration = _plan_restoration(connection, provider, heir, counted)
    for id in restoration.models:
        [before] = rows(connection, "select * from chat_model_configs where id = %s", id)
        [after] = rows(
            connection,
            """
            update chat_model_configs
            set deleted = false, deleted_at = null, is_default = false,
                updated_at = now(), updated_by = %s
            where id = %s and deleted
            returning *
            """,
            act.user,
            id,
        )
        why = f"restored under the re-created provider {name}"
        act.record("chat_model_configs", {"id": id}, before, after, why)
    if restoration.heir:
        make_default(act, restoration.heir["id"], "there was no default")
    return restoration


def _restorable(connection: Connection, name: str) -> Row:
    try:
        return find_provider(connection, name)
    except NotFound:
        raise _missing(name) from None


def _missing(name: str) -> ProviderMissing:
    return ProviderMissing(hint=f"create it again first: sexton provider add {name}")


def _plan_restoration(
    connection: Connection, provider: Row, heir: str, counted: Effect | None
) -> Restoration:
    found = connection.execute(
        """
        with dead as (
            select * from chat_model_configs
            where provider = %(provider)s and deleted and deleted_at < %(created)s
        )
        select id from dead
        where deleted_at = (select max(deleted_at) from dead)
          and not exists (
              -- Older than the provider, written since: restored. The rest is older yet.
              select from chat_model_configs c
              where c.provider = %(provider)s
                and c.created_at < %(created)s and c.updated_at > %(created)s
          )
        order by provider, model, updated_at desc, id desc
        """,
        {"provider": provider["provider"], "created": provider["created_at"]},
    ).fetchall()
    ids = [row["id"] for row in found]
    if not ids:
        raise UsageError(
            f"no deletion left tombstones of {provider['provider']} to restore",
            hint="sexton model list --all",
        )
    before = queries.get_default_model(connection)
    chosen = None if before else choose_heir(connection, heir, [], returning=ids)
    return Restoration(
        provider=provider["provider"],
        models=ids,
        heir=chosen,
        previous_default=before,
        references=_references(connection, ids, provider, counted),
    )


# -- what they share ---------------------------------------------------------------------


def _hold(connection: Connection, name: str, strength: str) -> Row:
    """Find and lock a provider's row; raises NotFound, also where it went meanwhile."""
    provider = find_provider(connection, name)
    if not lock_provider(connection, provider["id"], strength):
        raise NotFound(hint=f"{name} was deleted by somebody else just now")
    return find_provider(connection, str(provider["id"]))


def _live(connection: Connection, provider: str) -> list[uuid.UUID]:
    found = rows(
        connection,
        """
        select id from chat_model_configs where provider = %s and not deleted
        order by provider, model, updated_at desc, id desc
        """,
        provider,
    )
    return [row["id"] for row in found]


def _references(
    connection: Connection, ids: list[uuid.UUID], provider: Row, counted: Effect | None
) -> References:
    if counted and counted.models == ids:
        return counted.references
    return count_references(connection, ids, provider)


def _inherits(effect: Effect, verb: str) -> str:
    if effect.default_goes and effect.previous_default:
        return f"inherits from {effect.previous_default['id']}: {effect.provider} {verb}"
    return f"there was no default: {effect.provider} {verb}"
