"""The product as it is since v2.34: providers are `ai_providers` and are soft-deleted.

The product's own deletion of a provider marks the row and leaves its model configs live:
`model_without_provider` finds them, its repair turns them into tombstones and elects a
default, and the guard keeps it from happening. Releases later than v2.36 have one default
for each organization.

What can be declared is; the other checks are those of the project "chat", whose queries
see `ai_providers` as the table of providers that they know, and a few of their own.

To use it, write `project = "chat-v2.34"` into sexton.toml.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sexton.catalog.relations import SAFE_PATH, expose, quoted, resolve
from sexton.chat.project import PROJECT as EARLIER
from sexton.chat.project import folder
from sexton.check import Check, Severity
from sexton.database import rows, settings
from sexton.errors import WrongSchema, WrongServer
from sexton.guard.spec import GuardSpec
from sexton.project import Project, load_checks
from sexton.reference import (
    ComputedDefault,
    Declarations,
    Reference,
    SoftDelete,
    UncheckedSoftDelete,
)

if TYPE_CHECKING:
    from sexton.database import Connection

MODELS, PROVIDERS = "chat_model_configs", "ai_providers"
READS = {
    MODELS: ("id", "ai_provider_id", "model", "enabled", "deleted", "updated_at"),
    PROVIDERS: ("id", "name", "enabled", "deleted"),
}
# Over a row `this` of the model configs. Upstream elects by the provider's type as text.
NAMES = {
    "usable": """coalesce((
        select this.enabled and p.enabled and not p.deleted
        from ai_providers p where p.id = this.ai_provider_id
    ), false)""",
    "provider_type": """(
        select to_jsonb(p) ->> 'type' from ai_providers p where p.id = this.ai_provider_id
    )""",
    # Up to v2.36 there is no such column, and one default for all.
    "organization": "coalesce(to_jsonb(this) ->> 'organization_id', '(all)')",
}
ORDER = ("provider_type", "model", "updated_at desc", "id desc")

DECLARED = Declarations(
    soft_delete=(
        SoftDelete(table=PROVIDERS, deleted="deleted"),
        UncheckedSoftDelete(table=MODELS, deleted="deleted", deleted_at="deleted_at"),
    ),
    reference=(
        Reference(
            name="model_without_provider",
            child=f"{MODELS}.ai_provider_id",
            parent=f"{PROVIDERS}.id",
            on_orphan="tombstone",
        ),
        # Chats and messages keep their tombstones: that is what these are for.
        Reference(
            name="chat_without_model",
            child="chats.last_model_config_id",
            parent=f"{MODELS}.id",
            on_delete="keep",
        ),
        Reference(
            name="message_without_model",
            child="chat_messages.model_config_id",
            parent=f"{MODELS}.id",
            on_delete="keep",
        ),
        Reference(
            name="queued_message_without_model",
            child="chat_queued_messages.model_config_id",
            parent=f"{MODELS}.id",
            on_delete="keep",
            on_orphan="null",
            severity=Severity.WARNING,
        ),
    ),
    default=(
        ComputedDefault(
            table=MODELS,
            flag="is_default",
            per=("organization",),
            among="not deleted",
            elect=("usable desc", *ORDER),
            keep=("usable desc", "updated_at desc", "id desc"),
            # Deleting the default leaves the flag on the tombstone, by design.
            flag_on_deleted=True,
            required=True,
            name="default",
            names=NAMES,
            reads=READS,
        ),
    ),
)

LIVE_MODELS = GuardSpec(
    child=MODELS,
    columns=("ai_provider_id",),
    parent=PROVIDERS,
    parent_columns=("id",),
    parent_live="not deleted",
    check="model_without_provider",
)

# The tables of the project "chat", made of those of today.
VIEWS = """
    with chat_providers as not materialized (
        select p.id, p.name as provider, p.enabled
        from ai_providers p where not p.deleted
    ),
    chat_model_configs as not materialized (
        select c.*,
            coalesce(p.name || case when p.deleted then ' (deleted)' else '' end, 'none')
                as provider
        from chat_model_configs c
        left join ai_providers p on p.id = c.ai_provider_id
    )
"""
ABSENT = {
    "provider_key_policy": "since v2.34 providers have no policy for keys",
    "provider_name_unknown": "since v2.34 model configs have no provider name",
    "provider_stub": "since v2.34 no downgrade of Sexton's makes stubs",
    "schema_drift": "since v2.34 the schema has no revisions of Sexton's",
    "tombstone_adopted": "since v2.34 model configs refer to their provider by id",
}
# What to do instead of a command that does not know these tables.
IN_THE_PRODUCT = (
    (r": sexton (model|provider) [\w -]+", " in the product"),
    (r" or\s+with\s+`sexton model create`", ""),
    (r"with\s+`sexton model promote ID`", "in the product"),
    (r" `sexton chat resolve ID` says[^.]*\.", ""),
)


@cache
def _checks() -> Mapping[str, Check]:
    """The checks that are not declared: of the project "chat", and since v2.34."""
    own = load_checks(folder("checks") / "since_v2_34", "chat_v2_34_checks")
    found = dict(own)
    for name, check in EARLIER.checks.items():
        if name not in own and name not in PROJECT.derived:
            found[name] = _adapted(check)
    return found


def _adapted(check: Check) -> Check:
    """A check of the project "chat" over the tables of today."""
    if why := ABSENT.get(check.name):
        return check.changed(absent=why, reads={}, repair=())
    text, action = check.explanation, check.manual_action
    for command, instead in IN_THE_PRODUCT:
        text = re.sub(command, instead, text)
        action = action and re.sub(command, instead, action)
    changes: dict[str, Any] = {"text": text, "manual_action": action}
    if not (check.where or check.reference):
        reads = dict(check.reads)
        named = "chat_providers" in reads or "provider" in reads.get(MODELS, ())
        if named:
            reads.pop("chat_providers", None)
            mine = [c for c in reads.get(MODELS, ()) if c != "provider"]
            reads[MODELS] = tuple(dict.fromkeys([*mine, "id", "ai_provider_id"]))
            reads[PROVIDERS] = READS[PROVIDERS]
        changes["reads"] = reads
        changes["find"] = f"{VIEWS}\n{check.find}" if named else check.find
    return check.changed(**changes)


def _unfit(connection: "Connection", *, schema_change: bool = False) -> WrongSchema | None:
    from sexton.chat.releases import LATER, unfit

    return unfit(connection, LATER, schema_change=schema_change)


def _require(connection: "Connection") -> None:
    if error := _unfit(connection):
        raise error
    relation = resolve(connection, [MODELS])[MODELS]
    hidden = rows(connection, HIDDEN, relation.oid, relation.oid)
    if hidden:
        # Its rows would look like those of one organization.
        raise WrongServer(
            f"this role may not read {MODELS}.organization_id",
            hint=f"grant select on table {relation.sql} to {quoted(hidden[0]['role'])}",
        )


HIDDEN = """
    select current_user::text as role
    from pg_catalog.pg_attribute a
    where a.attrelid = %s::oid and a.attname = 'organization_id' and not a.attisdropped
      and pg_catalog.has_any_column_privilege(a.attrelid, 'select')
      and not pg_catalog.has_column_privilege(%s::oid, a.attnum, 'select')
"""


COUNTS = """
    select
        (select count(*) from ai_providers where not deleted) as providers,
        (select count(*) from chat_model_configs where not deleted) as live,
        (select count(*) from chat_model_configs where deleted) as tombstones,
        (
            select count(*) from chats h
            join chat_model_configs c on c.id = h.last_model_config_id and c.deleted
        ) as chats_on_tombstones,
        (
            select count(*) from chat_model_configs c
            where not c.deleted and not exists (
                select from ai_providers p where p.id = c.ai_provider_id and not p.deleted
            )
        ) as orphans
"""
DEFAULTS = f"""
    select this.id, coalesce(p.name, 'none') as provider, this.model,
        {NAMES["usable"]} as usable, to_jsonb(this) ->> 'organization_id' as organization
    from chat_model_configs this
    left join ai_providers p on p.id = this.ai_provider_id
    where this.is_default and not this.deleted
    order by organization, this.id
"""  # noqa: S608 - expressions of ours


def _status(connection: "Connection") -> dict[str, Any]:
    """Counts, and the defaults with whether they are usable. Reads only."""
    tables = resolve(connection, [MODELS, PROVIDERS, "chats"])
    if "chats" not in tables:
        raise WrongSchema("this database has no table chats on its search_path")
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        [counts] = rows(connection, expose(COUNTS, tables))
        defaults = rows(connection, expose(DEFAULTS, tables))
    first = (
        {k: v for k, v in defaults[0].items() if k != "organization"} if defaults else None
    )
    return {**counts, "default": first, "defaults": defaults}


PROJECT = Project(
    name="chat-v2.34",
    declared=DECLARED,
    more_checks=_checks,
    secrets=frozenset({"api_key", "settings"}),
    sensitive=EARLIER.sensitive,
    require=_require,
    unfit=_unfit,
    status=_status,
    # They say that they do not fit, in one sentence.
    commands=EARLIER.commands,
    # Opt-in, as before: `guard add` sets it, and that it is not there is no finding.
    guards=(LIVE_MODELS,),
)
