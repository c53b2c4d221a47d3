"""Releases of the product: whose tables a database has, and what its migrations do.

The product records its migrations in `schema_migrations`. v2.30 and v2.31 have no chat
tables; v2.32 is revision 0003; v2.33 drops the provider key itself, and is 0004. From
v2.34 on there is no `chat_providers`: model configs refer to `ai_providers` by id. Later
than v2.36 each organization has its own default.
"""

from collections.abc import Sequence

from sexton.catalog.relations import SAFE_PATH, column_names, resolve
from sexton.catalog.schema import columns
from sexton.chat.schema import MODELS, PROVIDERS, provider_keys
from sexton.database import Connection, rows, settings
from sexton.errors import WrongSchema
from sexton.project import current

KEY_GOES = "0004"
AI_PROVIDERS, BY_ID, ORGANIZATION = "ai_providers", "ai_provider_id", "organization_id"
EARLIER, LATER = "chat", "chat-v2.34"

# What the declaration of `ai_providers` reads.
NEEDED = {
    AI_PROVIDERS: {"id", "name", "enabled", "deleted"},
    MODELS: {
        *("id", "model", "enabled", "is_default", "deleted", "deleted_at", "updated_at"),
        BY_ID,
    },
}

# The columns of each index that allows one default for each of something. The condition
# is read as it is stored: to spell it out, the server would wait for the table's lock.
GROUPS = f"""
    select
        c.relname::text as name,
        array_remove({column_names("i.indrelid", "i.indkey::int2[]")}, null) as columns
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_attribute a on a.attrelid = i.indrelid and a.attname = 'is_default'
    where i.indrelid = %s::oid and i.indisunique and i.indisvalid
      and i.indpred::text ~ concat(':varattno ', a.attnum, '\\M')
    order by 1
"""  # noqa: S608 - names of the catalogs


def unfit(
    connection: Connection, project: str, *, schema_change: bool = False
) -> WrongSchema | None:
    """Why a built-in project cannot be used with this database, and what to type instead.

    All commands ask here. With `schema_change`, the command would change the schema or
    the product's providers and models, which from v2.34 on only the product does.
    """
    there = resolve(connection, [MODELS, PROVIDERS, AI_PROVIDERS], judged=False)
    found = columns(connection, MODELS)
    later = BY_ID in found or (PROVIDERS not in there and AI_PROVIDERS in there)
    if not later and (project == EARLIER or PROVIDERS not in there or not found):
        # An upgrade makes the tables that are not there.
        lacking = [table for table in (PROVIDERS, MODELS) if table not in there]
        return absent(lacking[0]) if lacking and not schema_change else None
    if not later:
        return WrongSchema(
            f"these are the tables of the product up to v2.33, with {PROVIDERS}: the "
            f'project "{LATER}" is for v2.34 and later',
            hint=f"{_configure(project, EARLIER)}",
        )
    if MODELS not in there:
        return absent(MODELS)
    if unknown := _unknown(connection, found):
        return WrongSchema(
            f"these are the tables of a release of the product that this Sexton does not "
            f"know: {unknown}",
            hint="use a newer Sexton; nothing is audited or changed with this one",
        )
    release = "later than v2.36" if ORGANIZATION in found else "v2.34 or later"
    said = f"these are the tables of the product's release {release}, with {AI_PROVIDERS}"
    if project == EARLIER:
        return WrongSchema(
            f'{said}; the project "{EARLIER}" ends at v2.33',
            hint=f"{_configure(project, LATER)}; {WORKING}",
        )
    if schema_change:
        return WrongSchema(
            f"{said}; its schema, providers and models are changed in the product itself",
            hint=WORKING,
        )
    return None


def _configure(project: str, other: str) -> str:
    """What to write into the project file, which may extend the built-in project."""
    own = current().file is not None and current().name != project
    return f'write {"extends" if own else "project"} = "{other}" into sexton.toml'


WORKING = "status, audit, repair, undo and guard know these tables"


def absent(table: str) -> WrongSchema:
    """The error of a table that does not exist."""
    return WrongSchema(
        f"this database has no table {table} on its search_path",
        hint="check the database's name, and the search_path of this role",
    )


def _unknown(connection: Connection, models: set[str]) -> str:
    """What contradicts the declaration of v2.34 and later; empty if nothing does."""
    for table, needed in NEEDED.items():
        found = models if table == MODELS else columns(connection, table)
        if not found:
            return f"there is no table {table}"
        if missing := sorted(needed - found):
            return f"{table} has no column {', '.join(missing)}"
    oid = resolve(connection, [MODELS], judged=False)[MODELS].oid
    known = [ORGANIZATION] if ORGANIZATION in models else []
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        for index in rows(connection, GROUPS, oid):
            if index["columns"] != known:
                groups = ", ".join(index["columns"]) or "all rows together"
                return f"the index {index['name']} allows one default for {groups}"
    return ""


def drops_the_key(*, own_migrations: bool) -> str:
    """What to do so that the provider key is dropped."""
    if own_migrations:
        return (
            "upgrade the product to v2.33, which drops the key; sexton upgrade refuses to"
        )
    return "sexton upgrade"


def objections(
    connection: Connection, way: str, start: str | None, goal: str | None
) -> Sequence[str]:
    """What speaks against the change while the product has migrations of its own."""
    if way != "up" or start is None or goal is None or not goal >= KEY_GOES:
        return ()
    if not (
        resolve(connection, ["schema_migrations"], judged=False)
        and provider_keys(connection)
    ):
        return ()  # nothing to drop: the revision is recorded, and no more
    return (
        "the product's own migrations are recorded here (schema_migrations): its release "
        "v2.33 drops the provider key itself, and fails if the key is gone; upgrade the "
        "product instead. If the key is dropped here all the same, sexton downgrade 0003 "
        "restores it before the product's next migration",
    )
