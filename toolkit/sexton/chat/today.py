"""The product as it is since v2.34: providers are `ai_providers`, and die by mark.

Declared as any team declares its tables. The product's own deletion of a provider marks
the row and leaves its model configs live: `model_without_provider` finds them, its repair
turns them into tombstones and elects a default, and the guard keeps it from happening.

To use it, write `project = "chat-v2.34"` into sexton.toml.
"""

from typing import TYPE_CHECKING

from sexton.chat.project import PROJECT as EARLIER
from sexton.check import Severity
from sexton.errors import WrongSchema
from sexton.guard.spec import GuardSpec
from sexton.project import Project
from sexton.reference import Declarations, Default, Reference, SoftDelete

if TYPE_CHECKING:
    from sexton.database import Connection

MODEL = "chat_model_configs.id"
DECLARED = Declarations(
    soft_delete=(
        SoftDelete(table="ai_providers", deleted="deleted"),
        SoftDelete(table="chat_model_configs", deleted="deleted", deleted_at="deleted_at"),
    ),
    reference=(
        Reference(
            name="model_without_provider",
            child="chat_model_configs.ai_provider_id",
            parent="ai_providers.id",
            on_orphan="tombstone",
        ),
        # Chats and messages keep their tombstones: that is what these are for.
        Reference(
            name="chat_without_model",
            child="chats.last_model_config_id",
            parent=MODEL,
            parent_live="true",
        ),
        Reference(
            name="message_without_model",
            child="chat_messages.model_config_id",
            parent=MODEL,
            parent_live="true",
        ),
        Reference(
            name="queued_message_without_model",
            child="chat_queued_messages.model_config_id",
            parent=MODEL,
            on_orphan="null",
            severity=Severity.WARNING,
        ),
    ),
    default=(
        Default(
            table="chat_model_configs",
            flag="is_default",
            among="not deleted",
            elect=("model", "updated_at desc", "id desc"),
            required=True,
            name="default",
        ),
    ),
)


LIVE_MODELS = GuardSpec(
    child="chat_model_configs",
    columns=("ai_provider_id",),
    parent="ai_providers",
    parent_columns=("id",),
    parent_live="not deleted",
    check="model_without_provider",
)


def _require(connection: "Connection") -> None:
    from sexton.catalog.relations import resolve

    for table in ("ai_providers", "chat_model_configs"):
        if table not in resolve(connection, [table]):
            raise WrongSchema(
                f"this database has no table {table} on its search_path",
                hint='of releases before v2.34, the project is "chat"',
            )


PROJECT = Project(
    name="chat-v2.34",
    declared=DECLARED,
    secrets=frozenset({"api_key", "settings"}),
    sensitive=EARLIER.sensitive,
    require=_require,
    # They say that they do not fit, in one sentence.
    commands=EARLIER.commands,
    # Opt-in, as before: `guard add` sets it, and that it is not there is no finding.
    guards=(LIVE_MODELS,),
)
