"""Model configs: creating, changing, deleting and promoting one.

Every change merges under lock, so it writes what was asked and nothing else, and ends
with a default whenever a usable config lives. Raises what `rules` and `election` refuse
with, in upstream's words.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.chat import queries
from sexton.chat.election import (
    FIRST,
    USABLE,
    choose_heir,
    ensure_default,
    first_heir,
    make_default,
    model_id,
    raw,
    require_usable,
)
from sexton.chat.locks import lock_models, lock_provider
from sexton.chat.operations import Act, begin
from sexton.chat.schema import require_tombstones
from sexton.chat.usage import References, count_references
from sexton.chat.validation import DEFAULT_THRESHOLD, check_model, refuse
from sexton.database import Connection, rows
from sexton.errors import Deleted, NotFound, ProviderMissing, UsageError

__all__ = [
    "Removal",
    "create_model",
    "delete_model",
    "first_heir",
    "get_default",
    "get_model",
    "list_models",
    "model_id",
    "preview_removal",
    "promote",
    "require_live",
    "update_model",
]

Row = dict[str, Any]

CHANGEABLE = (
    *("provider", "model", "display_name", "enabled", "is_default"),
    *("context_limit", "compression_threshold", "options"),
)

get_default = queries.get_default_model
get_model = queries.get_any_model


@dataclass(frozen=True)
class Removal:
    """What deleting one config does: the same document before and after the deed."""

    model: Row
    heir: Row | None
    previous_default: Row | None
    references: References

    def document(self) -> Row:
        """The document that `model delete --format json` prints."""
        counts = self.references.document()
        del counts["user_keys"]  # they hang on the provider, which stays
        return {
            "model": brief(self.model),
            "heir": brief(self.heir),
            "previous_default": self.previous_default and self.previous_default["id"],
            **counts,
        }


def brief(model: Row | None) -> Row | None:
    """A config as documents mention it: id, provider and model."""
    return model and {key: model[key] for key in ("id", "provider", "model")}


def list_models(connection: Connection, *, deleted: bool = False) -> list[Row]:
    """All live configs in election order; with `deleted`, the tombstones too."""
    require_tombstones(connection)
    if not deleted:
        return queries.list_models(connection)
    return rows(connection, f"{queries.MODEL} {queries.ELECTION_ORDER}")


def require_live(connection: Connection, id: uuid.UUID) -> Row:
    """A live config; raises NotFound, or Deleted for a tombstone."""
    model = queries.get_any_model(connection, id)
    if model is None:
        raise NotFound(hint=f"no model config has the id {id}: sexton model list")
    if model["deleted"]:
        raise Deleted(
            hint=f"{id} ({model['model']} of {model['provider']}) was deleted at "
            f"{model['deleted_at']}: sexton model list --all"
        )
    return model


def create_model(
    connection: Connection,
    *,
    provider: str,
    model: str,
    context_limit: int,
    compression_threshold: int = DEFAULT_THRESHOLD,
    display_name: str = "",
    enabled: bool = True,
    is_default: bool = False,
    options: Mapping[str, Any] | None = None,
    heir: str = USABLE,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Add a config under an existing provider, and return it.

    It becomes the default if asked, or if there is none; with `heir` `usable` only as
    far as it is usable. `context_limit` is in tokens, `compression_threshold` in percent.
    """
    require_tombstones(connection)
    values: Row = {
        "provider": provider,
        "model": model,
        "display_name": display_name,
        "enabled": enabled,
        "context_limit": context_limit,
        "compression_threshold": compression_threshold,
        "options": dict(options or {}),
    }
    check_model(values)
    act = begin(connection, "model create", actor=actor, recorded=recorded)
    _hold(connection, provider)
    if act.user:
        values |= {"created_by": act.user, "updated_by": act.user}
    try:
        made = queries.insert_model(connection, values)
    except errors.UniqueViolation:
        raise _exists() from None
    id = made["id"]
    found = require_live(connection, id)
    act.record("chat_model_configs", {"id": id}, None, raw(connection, id), "created")
    if is_default:
        if heir != FIRST:
            require_usable(found)
        make_default(act, id, "asked for at its creation")
    elif queries.get_default_model(connection) is None and (
        found["usable"] or heir == FIRST
    ):
        make_default(act, id, "created while there was no default")
    ensure_default(act, heir, "there was no default")
    return require_live(connection, id)


def update_model(
    connection: Connection,
    id: uuid.UUID,
    changes: Mapping[str, Any],
    *,
    heir: str = USABLE,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Change a live config's columns, those given and no others, and return it.

    `is_default` false makes another one the default, if there is another; a lone config
    stays the default. Disabling the default does not move the default.
    """
    require_tombstones(connection)
    if not changes or set(changes) - set(CHANGEABLE):
        raise UsageError("nothing to change was named", hint="sexton model update --help")
    check_model(changes)
    act = begin(connection, "model update", actor=actor, recorded=recorded)
    model = _hold_model(connection, id, changes.get("provider"))
    provider = changes.get("provider", model["provider"])
    if queries.get_provider_named(connection, provider) is None:
        raise ProviderMissing(hint=f"sexton provider add {provider}")
    wanted = {name: value for name, value in changes.items() if name != "is_default"}
    why = f"asked for: {', '.join(changes)}"
    _write(act, id, wanted, why)
    found = require_live(connection, id)
    if changes.get("is_default") and not found["is_default"]:
        if heir != FIRST:
            require_usable(found)
        make_default(act, id, "asked for")
    elif changes.get("is_default") is False and found["is_default"]:
        other = choose_heir(connection, heir, [id])
        if other:
            make_default(act, other["id"], f"{id} was asked not to be the default")
    ensure_default(act, heir, "there was no default")
    return require_live(connection, id)


def _write(act: Act, id: uuid.UUID, values: Row, why: str) -> None:
    before = raw(act.connection, id)
    try:
        after = queries.update_model(act.connection, id, {**values, "updated_by": act.user})
    except errors.UniqueViolation:
        raise _exists() from None
    act.record("chat_model_configs", {"id": id}, before, after, why)


def preview_removal(
    connection: Connection, id: uuid.UUID, *, heir: str = USABLE
) -> Removal:
    """What `delete_model` would do now. Reads only, takes no lock."""
    require_tombstones(connection)
    return _plan(connection, require_live(connection, id), heir, None)


def delete_model(
    connection: Connection,
    id: uuid.UUID,
    *,
    heir: str = USABLE,
    counted: Removal | None = None,
    actor: str | None = None,
    recorded: bool = True,
) -> Removal:
    """Make a live config a tombstone; if it was the default, find the heir.

    `counted` is a preview made just before, whose counts are taken over, so that no
    counting is done under the locks.
    """
    require_tombstones(connection)
    act = begin(connection, "model delete", actor=actor, recorded=recorded)
    model = _hold_model(connection, id, None)
    removal = _plan(connection, model, heir, counted)
    before = raw(connection, id)
    after = queries.tombstone_model(connection, id, act.user)
    act.record("chat_model_configs", {"id": id}, before, after, "asked for")
    if removal.heir:
        why = f"inherits from {id}, which was deleted"
        make_default(act, removal.heir["id"], why)
    return removal


def _plan(
    connection: Connection, model: Row, heir: str, counted: Removal | None
) -> Removal:
    before = queries.get_default_model(connection)
    chosen = choose_heir(connection, heir, [model["id"]])
    stays = before is not None and before["id"] != model["id"]
    return Removal(
        model=model,
        heir=None if stays else chosen,
        previous_default=before,
        references=counted.references
        if counted
        else count_references(connection, [model["id"]]),
    )


def promote(
    connection: Connection,
    id: uuid.UUID,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Make a usable config the default, and return it.

    Raises NotFound, Deleted, Disabled, ProviderDisabled or ProviderMissing.
    """
    require_tombstones(connection)
    act = begin(connection, "model promote", actor=actor, recorded=recorded)
    model = _hold_model(connection, id, None)
    require_usable(model)
    if not model["is_default"]:
        make_default(act, id, "asked for")
    return require_live(connection, id)


def _hold(connection: Connection, provider: str) -> None:
    """Lock an existing provider, then the configs; raises ProviderMissing."""
    found = queries.get_provider_named(connection, provider)
    if found is None or not lock_provider(connection, found["id"], "key share"):
        raise ProviderMissing(hint=f"sexton provider add {provider}")
    lock_models(connection)


def _hold_model(connection: Connection, id: uuid.UUID, provider: str | None) -> Row:
    """Lock a live config's provider (or the one it moves to), then all configs.

    An orphan can be deleted, not changed: `provider` is None for what needs none.
    """
    before = require_live(connection, id)
    name = provider or before["provider"]
    found = queries.get_provider_named(connection, name)
    if found:
        lock_provider(connection, found["id"], "key share")
    lock_models(connection)
    model = require_live(connection, id)
    if provider is None and model["provider"] != name:
        # The server moved it to a provider whose lock must come before the configs'.
        raise errors.SerializationFailure("the model config moved to another provider")
    return model


def _exists() -> Exception:
    return refuse(
        "Chat model config already exists.", "the database refuses a second one", 409
    )
