"""Elections: who becomes the default when there is none, or when it goes.

The order is the database's: provider, model, the one updated last, the larger id
(upstream's order, sorted by the database's collation). Upstream elects the first live
config; Sexton the first usable one, unless it is told `first`.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from sexton.chat import queries
from sexton.chat.operations import Act
from sexton.database import Connection, rows
from sexton.errors import (
    Deleted,
    Disabled,
    NotFound,
    ProviderDisabled,
    ProviderMissing,
    Refused,
    UsageError,
)

Row = dict[str, Any]

USABLE = "usable"  # the first enabled one under an enabled provider
FIRST = "first"  # upstream's way: the first live one, usable or not
NONE = "none"  # leave the database without a default


def model_id(text: str, message: str = "Invalid chat model config ID.") -> uuid.UUID:
    """Read a config's id; raises UsageError with upstream's message."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(
            message, status=400, hint=f"{text!r} is not a UUID: sexton model list"
        ) from None


def first_heir(
    connection: Connection,
    *,
    leaving: Sequence[uuid.UUID] = (),
    usable: bool = True,
    returning: Sequence[uuid.UUID] = (),
    enabling: str | None = None,
) -> Row | None:
    """Who would win an election among the live configs that are not `leaving`.

    A preview asks as if the tombstones `returning` were alive, written just now, and as
    if the provider `enabling` were enabled.
    """
    query: Any = f"""{queries.MODEL}
        where (not c.deleted or c.id = any (%(returning)s))
          and c.id <> all (%(leaving)s)
          and (
              not %(usable)s
              or (c.enabled and (p.enabled or p.provider = %(enabling)s))
          )
        order by
            c.provider, c.model,
            case when c.id = any (%(returning)s) then 'infinity' else c.updated_at end
                desc,
            c.id desc
        limit 1
    """
    asked = {
        "leaving": list(leaving),
        "usable": usable,
        "returning": list(returning),
        "enabling": enabling,
    }
    return connection.execute(query, asked).fetchone()


def choose_heir(
    connection: Connection, heir: str, leaving: Sequence[uuid.UUID], **asif: Any
) -> Row | None:
    """Who inherits: by `usable` or `first` order, nobody for `none`, or the id given.

    Raises UsageError for a malformed id, NotFound for an unknown one, Refused for one
    that is not usable or is `leaving`.
    """
    if heir == NONE:
        return None
    if heir in (USABLE, FIRST):
        return first_heir(connection, leaving=leaving, usable=heir == USABLE, **asif)
    id = model_id(heir)
    model = queries.get_any_model(connection, id)
    if model is None:
        raise NotFound(hint=f"no model config has the id {id}: sexton model list")
    require_usable(model)
    if id in leaving:
        raise Refused(
            f"the heir {id} ({model['model']} of {model['provider']}) is among those "
            "that go",
            hint="choose another: sexton model list",
        )
    return model


def require_usable(model: Row) -> None:
    """Refuse a config that cannot serve as the default; each reason has its error."""
    name = f"{model['id']} ({model['model']} of {model['provider']})"
    if model["deleted"]:
        raise Deleted(
            hint=f"{name} was deleted at {model['deleted_at']}: sexton model list"
        )
    if not model["provider_exists"]:
        raise ProviderMissing(
            hint=f"{name} is an orphan; add its provider: "
            f"sexton provider add {model['provider']}"
        )
    if not model["enabled"]:
        raise Disabled(hint=f"{name}; to enable it: sexton model update ID --enable")
    if not model["provider_enabled"]:
        raise ProviderDisabled(hint=f"{name}; sexton provider enable {model['provider']}")


def make_default(act: Act, id: uuid.UUID, why: str) -> Row:
    """Move the flag to a live config, and return its row.

    updated_by says who, where the actor is a user of the product; upstream leaves NULL.
    """
    # The unique index is checked row by row and cannot be deferred: demote first.
    demote(act, f"{id} becomes the default", but=id)
    before = raw(act.connection, id)
    after = queries.update_model(
        act.connection, id, {"is_default": True, "updated_by": act.user}
    )
    if after is None:
        raise Refused(f"model {id} was deleted while it was being promoted")
    act.record("chat_model_configs", {"id": id}, before, after, why)
    return after


def demote(act: Act, why: str, *, but: uuid.UUID | None = None) -> None:
    """Take the flag from the live default."""
    before = {
        row["id"]: row
        for row in rows(
            act.connection,
            "select * from chat_model_configs where is_default and not deleted",
        )
    }
    for row in queries.unset_defaults(act.connection, but):
        id = row["id"]
        act.record("chat_model_configs", {"id": id}, before[id], row, why)


def ensure_default(
    act: Act, heir: str, why: str, *, leaving: Sequence[uuid.UUID] = ()
) -> Row | None:
    """Elect a default if there is none; return the one elected."""
    if heir == NONE or queries.get_default_model(act.connection):
        return None
    found = choose_heir(act.connection, heir, leaving)
    return make_default(act, found["id"], why) if found else None


def raw(connection: Connection, id: uuid.UUID) -> Row | None:
    """A config's row as it stands in its table, for the journal."""
    found = rows(connection, "select * from chat_model_configs where id = %s", id)
    return found[0] if found else None
