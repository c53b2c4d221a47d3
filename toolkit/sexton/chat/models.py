"""Model configs: creating, changing, deleting and promoting one.

Every change merges under lock, so it writes what was asked and nothing else, and ends
with a default whenever a usable config lives. Raises what `validation` and `election`
refuse with.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.chat import queries
from sexton.chat.effect import Effect
from sexton.chat.election import (
    FIRST,
    USABLE,
    elect,
    ensure_default,
    make_default,
    require_live,
    require_usable,
    standing,
    summary,
)
from sexton.chat.errors import ProviderMissing
from sexton.chat.schema import MODELS, PROVIDERS
from sexton.chat.transaction import Row, Transaction, insist, reading, writing
from sexton.chat.validation import DEFAULT_THRESHOLD, add_command, model_values, refuse
from sexton.database import Connection
from sexton.errors import UsageError

CHANGEABLE = (
    *("provider", "model", "display_name", "enabled", "is_default"),
    *("context_limit", "compression_threshold", "options"),
)


def list_models(connection: Connection, *, deleted: bool = False) -> list[Row]:
    """All live configs in election order; with `deleted`, the tombstones too."""
    with reading(connection) as tx:
        tx.product.require_tombstones()
        return queries.list_models(tx, deleted=deleted)


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
    given = {
        "provider": provider,
        "model": model,
        "display_name": display_name,
        "enabled": enabled,
        "context_limit": context_limit,
        "compression_threshold": compression_threshold,
        "options": {} if options is None else options,
    }
    values = model_values(given, new=True)
    with writing(connection, "model create", actor=actor, recorded=recorded) as tx:
        tx.product.require_tombstones()
        _hold_provider(tx, values["provider"])
        tx.lock_models()
        if tx.user:
            values |= {"created_by": tx.user, "updated_by": tx.user}
        try:
            id = queries.insert_model(tx, values, "created")
        except errors.UniqueViolation:
            raise _exists() from None
        found = require_live(tx, id)
        default = queries.get_default_model(tx)
        if is_default and heir != FIRST:
            require_usable(found)
        if is_default:
            make_default(tx, id, "asked for at its creation", default)
        elif default is None and (found["usable"] or heir == FIRST):
            make_default(tx, id, "created while there was no default", None)
        ensure_default(tx, heir, "there was no default")
        return require_live(tx, id)


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
    if not changes or set(changes) - set(CHANGEABLE):
        raise UsageError("nothing to change was named", hint="sexton model update --help")
    values = model_values(changes, new=False)
    wanted = values.pop("is_default", None)
    with writing(connection, "model update", actor=actor, recorded=recorded) as tx:
        tx.product.require_tombstones()
        model = _hold_model(tx, id, values.get("provider"))
        _hold_provider(tx, str(values.get("provider", model["provider"])))
        why = f"asked for: {', '.join(changes)}"
        try:
            written = queries.update_model(tx, id, {**values, "updated_by": tx.user}, why)
        except errors.UniqueViolation:
            raise _exists() from None
        insist(written, [id], MODELS)
        stands = standing(tx, "c.id = %(id)s", {"id": id}, usable=heir != FIRST)
        [found] = stands.touched
        if wanted and not found["is_default"]:
            if heir != FIRST:
                require_usable(found)
            make_default(tx, id, "asked for", stands.default)
        elif wanted is False and found["is_default"]:
            other = elect(tx, heir, stands, [id])
            if other:
                why = f"{id} was asked not to be the default"
                make_default(tx, other["id"], why, stands.default)
        ensure_default(tx, heir, "there was no default")
        return require_live(tx, id)


def promote(
    connection: Connection,
    id: uuid.UUID,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Make a usable config the default, and return it.

    Raises Missing, Deleted, Disabled, ProviderDisabled or ProviderMissing.
    """
    with writing(connection, "model promote", actor=actor, recorded=recorded) as tx:
        tx.product.require_tombstones()
        model = _hold_model(tx, id, None)
        require_usable(model)
        if not model["is_default"]:
            make_default(tx, id, "asked for", queries.get_default_model(tx))
        return require_live(tx, id)


@dataclass(frozen=True)
class DeleteModel:
    """Make a live config a tombstone; if it was the default, find the heir."""

    id: uuid.UUID
    heir: str = USABLE

    kind = "model delete"

    def plan(self, tx: Transaction) -> Effect:
        """Raises Missing, Deleted for a tombstone, and what an election raises."""
        tx.product.require_tombstones()
        model = _hold_model(tx, self.id, None)
        stands = standing(tx, "c.id = %(id)s", {"id": self.id}, usable=self.heir != FIRST)
        heir = elect(tx, self.heir, stands, [self.id])
        stays = stands.default is not None and not stands.default_goes
        return Effect({"model": summary(model)}, stands, None if stays else heir)

    def execute(self, tx: Transaction, effect: Effect) -> None:
        """Write the tombstone, and move the default."""
        insist(queries.tombstone_model(tx, self.id, "asked for"), [self.id], MODELS)
        if effect.heir:
            why = f"inherits from {self.id}, which was deleted"
            make_default(tx, effect.heir["id"], why, None)


def _hold_provider(tx: Transaction, name: str) -> None:
    """Keep an existing provider from going; raises ProviderMissing."""
    query = f"{queries.provider_query(tx)} where p.provider = %(name)s"
    if tx.hold(query, "key share of p", name=name) is None:
        raise ProviderMissing(
            f"there is no provider {name!r} for the model to be under",
            hint=add_command(name),
        )


def _hold_model(tx: Transaction, id: uuid.UUID, provider: str | None) -> Row:
    """Lock a live config's provider (or the one it moves to), then all configs.

    An orphan can be deleted, not changed: `provider` is None for what needs none.
    """
    before = require_live(tx, id)
    if not tx.recorder:
        return before
    name = provider or before["provider"]
    tx.hold(
        f"select p.id from {tx.sql(PROVIDERS)} p where p.provider = %(name)s",  # noqa: S608
        "key share",
        name=name,
    )
    tx.lock_models()
    model = require_live(tx, id)
    if provider is None and model["provider"] != name:
        # The server moved it to a provider whose lock must come before the configs'.
        raise errors.SerializationFailure("the model config moved to another provider")
    return model


def _exists() -> Exception:
    return refuse(
        "the database refuses a second model config like this one",
        "sexton model list",
        "Chat model config already exists.",
        409,
    )
