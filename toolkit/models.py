"""Model configs: listing them, electing a default, promoting one.

The order of an election is the database's: provider, model, the one updated last, the
larger id (upstream's order, sorted by the database's collation).
"""

import uuid
from collections.abc import Sequence
from typing import Any

from toolkit.database import Connection, rows
from toolkit.errors import NotFound, Refused, UsageError
from toolkit.locks import lock_election
from toolkit.schema import require_tombstones

Row = dict[str, Any]

# A config as commands print it, with what its provider makes of it.
MODEL = """
    select
        c.id, c.provider, c.model, c.display_name, c.enabled, c.is_default,
        c.deleted, c.deleted_at, c.context_limit, c.compression_threshold,
        c.created_at, c.updated_at,
        p.provider is not null as provider_exists,
        coalesce(p.enabled, false) as provider_enabled,
        not c.deleted and c.enabled and coalesce(p.enabled, false) as usable
    from chat_model_configs c
    left join chat_providers p on p.provider = c.provider
"""
ELECTION_ORDER = "order by c.provider, c.model, c.updated_at desc, c.id desc"


def model_id(text: str, message: str = "Invalid chat model config ID.") -> uuid.UUID:
    """Read a config's id; raises UsageError with upstream's message."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(
            f"{message} {text!r} is not a UUID",
            status=400,
            hint="sexton model list shows the ids",
        ) from None


def list_models(connection: Connection, *, deleted: bool = False) -> list[Row]:
    """All live configs in election order; with `deleted`, the tombstones too."""
    require_tombstones(connection)
    return rows(connection, f"{MODEL} where not c.deleted or %s {ELECTION_ORDER}", deleted)


def get_model(connection: Connection, id: uuid.UUID) -> Row | None:
    """One config, live or tombstone, or None."""
    found = rows(connection, f"{MODEL} where c.id = %s", id)
    return found[0] if found else None


def get_default(connection: Connection) -> Row | None:
    """The default: the live config with is_default, or None."""
    found = rows(
        connection, f"{MODEL} where c.is_default and not c.deleted {ELECTION_ORDER}"
    )
    return found[0] if found else None


def first_heir(
    connection: Connection, *, leaving: Sequence[uuid.UUID], usable: bool
) -> Row | None:
    """Who would win an election among the live configs that are not `leaving`."""
    found = rows(
        connection,
        f"""{MODEL}
        where not c.deleted and c.id <> all (%s)
          and (not %s or (c.enabled and p.enabled))
        {ELECTION_ORDER} limit 1""",
        list(leaving),
        usable,
    )
    return found[0] if found else None


def require_usable(model: Row, role: str) -> None:
    """Refuse a config that cannot serve as the default, with the reason.

    `role` begins the sentence, for example "the heir". Raises Refused.
    """
    name = f"{role} {model['id']} ({model['model']} of {model['provider']})"
    if model["deleted"]:
        raise Refused(f"{name} is a tombstone", hint="sexton model list")
    if not model["provider_exists"]:
        raise Refused(f"{name} is an orphan: its provider has no row")
    if not model["enabled"]:
        raise Refused(f"{name} is disabled", hint="enable it first, or choose another")
    if not model["provider_enabled"]:
        raise Refused(f"{name} stands under a disabled provider")


def promote(connection: Connection, id: uuid.UUID) -> Row:
    """Make a usable config the default, and return it.

    Raises NotFound, or Refused where the config is not usable.
    """
    require_tombstones(connection)
    lock_election(connection)
    connection.execute(
        "select from chat_model_configs where id = %s for no key update", (id,)
    )
    model = get_model(connection, id)
    if model is None:
        raise NotFound(hint=f"no model config has the id {id}: sexton model list")
    require_usable(model, "model")
    if not model["is_default"]:
        make_default(connection, id)
    return get_model(connection, id) or model


def make_default(connection: Connection, id: uuid.UUID) -> None:
    """Move the flag. Upstream leaves updated_by NULL, which marks the promotion."""
    # The unique index is checked row by row and cannot be deferred: demote first.
    connection.execute(
        """
        update chat_model_configs
        set is_default = false, updated_at = now()
        where is_default and not deleted and id <> %s
        """,
        (id,),
    )
    promoted = connection.execute(
        """
        update chat_model_configs
        set is_default = true, updated_by = null, updated_at = now()
        where id = %s and not deleted
        """,
        (id,),
    )
    if promoted.rowcount != 1:
        raise Refused(f"model {id} was deleted while it was being promoted")
