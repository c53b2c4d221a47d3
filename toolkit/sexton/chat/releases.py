"""Releases of the product: which schema each has, and what its own migrations do.

The product records its migrations in `schema_migrations`. v2.30 and v2.31 have no chat
tables; v2.32 is revision 0003; v2.33 drops the provider key itself, and is 0004. From
v2.34 on there is no `chat_providers`: model configs name `ai_providers` by id.
"""

from collections.abc import Sequence

from sexton.catalog.relations import resolve
from sexton.catalog.schema import columns
from sexton.chat.schema import MODELS
from sexton.database import Connection

KEY_GOES = "0004"
AI_PROVIDERS, BY_ID = "ai_providers", "ai_provider_id"
LATER = {
    BY_ID: "v2.34 or later",
    "organization_id": "later than v2.36",
}


def newer(connection: Connection) -> str | None:
    """A sentence, where the tables are those of a release that has other providers."""
    found = columns(connection, MODELS)
    later = [name for name in LATER if name in found]
    if not later and AI_PROVIDERS not in resolve(connection, [AI_PROVIDERS]):
        return None
    release = LATER[later[-1]] if later else "v2.34 or later"
    return (
        f"these are the tables of the product's release {release}, where model configs "
        f"belong to {AI_PROVIDERS}: newer than the revisions here, which end at v2.33"
    )


def objections(
    connection: Connection, way: str, start: str | None, goal: str | None
) -> Sequence[str]:
    """What speaks against the change while the product has migrations of its own."""
    if way != "up" or start is None or goal is None or not start < KEY_GOES <= goal:
        return ()
    if not resolve(connection, ["schema_migrations"]):
        return ()
    return (
        "the product's own migrations are recorded here (schema_migrations): its release "
        "v2.33 drops the provider key itself, and fails if the key is gone; upgrade the "
        "product instead. If the key is dropped here all the same, sexton downgrade 0003 "
        "restores it before the product's next migration",
    )
