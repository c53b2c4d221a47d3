"""Elections: who becomes the default when there is none, or when it goes.

The order is the database's: provider, model, the one updated last, the larger id
(upstream's order, sorted by the database's collation). Upstream elects the first live
config; Sexton the first usable one, unless it is told `first`.
"""

import shlex
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sexton.chat import queries
from sexton.chat.errors import Deleted, Disabled, Missing, ProviderDisabled, ProviderMissing
from sexton.chat.transaction import Row, Transaction, insist
from sexton.errors import Refused, UsageError

USABLE = "usable"  # the first enabled one under an enabled provider
FIRST = "first"  # upstream's way: the first live one, usable or not
NONE = "none"  # leave the database without a default


def model_id(text: str) -> uuid.UUID:
    """Read a config's id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a model config's id: not a UUID",
            upstream="Invalid chat model config ID.",
            status=400,
            hint="sexton model list",
        ) from None


@dataclass(frozen=True)
class Standing:
    """How things stand before an operation: configs in the order of an election."""

    touched: list[Row]  # what the operation touches
    default: Row | None  # the live default
    first: Row | None  # who would win an election after it

    @property
    def ids(self) -> list[uuid.UUID]:
        """The ids of what the operation touches."""
        return [row["id"] for row in self.touched]

    @property
    def default_goes(self) -> bool:
        """Whether the default is among the configs that it touches."""
        return self.default is not None and self.default["id"] in self.ids


def standing(
    tx: Transaction,
    touched: str = "false",
    parameters: Row | None = None,
    *,
    usable: bool = True,
    excluding: bool = True,
    enabling: str | None = None,
) -> Standing:
    """What an operation touches, the default, and who would win an election after it.

    `touched` is SQL over the config `c`. With `excluding`, they cannot win; tombstones
    among them count as alive, written just now. The provider `enabling` counts as enabled.
    Rows have what elections and documents need: they are read under locks.
    """
    found = tx.rows(
        f"""
        with candidates as materialized (
            select
                c.id, c.provider, c.model, c.updated_at, c.is_default, c.enabled, c.deleted,
                c.provider_exists, c.provider_enabled, ({touched}) as touched
            from ({queries.model_query(tx)}) c
            where not c.deleted or ({touched})
        ),
        judged as (
            select c.*, c.id = (
                select w.id from candidates w
                where not (w.touched and %(excluding)s)
                  and (
                      not %(usable)s or w.enabled
                      and (w.provider_enabled or w.provider = %(enabling)s)
                  )
                order by
                    w.provider, w.model,
                    case when w.deleted then 'infinity'::pg_catalog.timestamptz
                         else w.updated_at end desc,
                    w.id desc
                limit 1
            ) as wins
            from candidates c
        )
        select * from judged c
        where c.touched or c.wins or c.is_default and not c.deleted
        {queries.ELECTION_ORDER}
        """,  # noqa: S608 - conditions of ours
        **(parameters or {}),
        excluding=excluding,
        usable=usable,
        enabling=enabling,
    )
    defaults = [row for row in found if row["is_default"] and not row["deleted"]]
    return Standing(
        touched=[row for row in found if row["touched"]],
        default=defaults[0] if defaults else None,
        first=next((row for row in found if row["wins"]), None),
    )


def elect(
    tx: Transaction, heir: str, stands: Standing, excluding: Collection[uuid.UUID] = ()
) -> Row | None:
    """Who inherits: by `usable` or `first` order, nobody for `none`, or the id given.

    Raises UsageError for a malformed id, Missing for an unknown one, Refused for one
    that is not usable, or is to be excluded.
    """
    if heir == NONE:
        return None
    if heir in (USABLE, FIRST):
        return stands.first
    id = model_id(heir)
    model = queries.get_any_model(tx, id)
    if model is None:
        raise _unknown(id)
    require_usable(model)
    if id in excluding:
        raise Refused(
            f"the heir {name(model)} is among those that go",
            hint="choose another: sexton model list",
        )
    return model


def name(model: Row) -> str:
    """A config as sentences mention it."""
    return f"{model['model']} of {model['provider']} ({model['id']})"


def _unknown(id: uuid.UUID) -> Missing:
    return Missing(f"no model config has the id {id}", hint="sexton model list")


def require_live(tx: Transaction, id: uuid.UUID) -> Row:
    """A live config; raises Missing, or Deleted for a tombstone."""
    model = queries.get_any_model(tx, id)
    if model is None:
        raise _unknown(id)
    if model["deleted"]:
        raise _deleted(model)
    return model


def _deleted(model: Row) -> Deleted:
    return Deleted(
        f"{name(model)} was deleted at {model['deleted_at']}",
        hint="sexton model list --all",
    )


def require_usable(model: Row) -> None:
    """Refuse a config that cannot serve as the default; each reason has its error."""
    provider = shlex.quote(model["provider"])
    if model["deleted"]:
        raise _deleted(model)
    if not model["provider_exists"]:
        raise ProviderMissing(
            f"{name(model)} is an orphan: its provider has no row",
            hint=f"sexton provider add {provider}",
        )
    if not model["enabled"]:
        raise Disabled(
            f"{name(model)} is disabled", hint=f"sexton model update {model['id']} --enable"
        )
    if not model["provider_enabled"]:
        raise ProviderDisabled(
            f"{name(model)} cannot be used: its provider is disabled",
            hint=f"sexton provider enable {provider}",
        )


def make_default(tx: Transaction, id: uuid.UUID, why: str, default: Row | None) -> None:
    """Move the flag to a live config, from the live `default` where it stays alive.

    updated_by says who, where the actor is a user of the product; upstream leaves NULL.
    """
    # The unique index is checked row by row and cannot be deferred: demote first.
    if default and default["id"] != id:
        demoted = queries.unset_defaults(tx, f"{id} becomes the default", id)
        insist([default["id"]], set(demoted) & {default["id"]}, "chat_model_configs")
    insist(queries.promote_model(tx, id, tx.user, why), [id], "chat_model_configs")


def ensure_default(tx: Transaction, heir: str, why: str) -> None:
    """Elect a default if there is none."""
    if heir == NONE:
        return
    stands = standing(tx, usable=heir != FIRST)
    chosen = None if stands.default else elect(tx, heir, stands)
    if chosen:
        make_default(tx, chosen["id"], why, None)


def summary(model: Row | None) -> Any:
    """A config as documents mention it: id, provider and model."""
    return model and {key: model[key] for key in ("id", "provider", "model")}
