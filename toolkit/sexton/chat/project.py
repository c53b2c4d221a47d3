"""What the chat product declares."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sexton.errors import WrongSchema
from sexton.guard.spec import GuardSpec, Names
from sexton.project import Project
from sexton.text.redaction import PLAIN_URL

if TYPE_CHECKING:
    from sexton.database import Connection


def folder(name: str) -> Path:
    """`checks` or `migrations`: beside this file in a wheel, at the top of a checkout."""
    here = Path(__file__).parent
    return here / name if (here / name).is_dir() else here.parents[2] / name


def _require(connection: "Connection") -> None:
    if error := _unfit(connection):
        raise error


def _before_write(connection: "Connection") -> None:
    from sexton.chat.locks import lock_election

    lock_election(connection)


def _commands() -> Sequence[Any]:
    from sexton.chat.cli.chats import chat
    from sexton.chat.cli.demo import demo
    from sexton.chat.cli.models import model
    from sexton.chat.cli.providers import provider

    return demo, provider, model, chat


# What the commands write, beside what the checks repair.
WRITABLE = {
    "chat_providers": frozenset(
        {
            *("id", "provider", "display_name", "api_key", "api_key_key_id", "base_url"),
            *("enabled", "central_api_key_enabled", "allow_user_api_key"),
            *("allow_central_api_key_fallback", "created_by", "created_at", "updated_at"),
        }
    ),
    "chat_model_configs": frozenset(
        {
            *("id", "provider", "model", "display_name", "enabled", "is_default"),
            *("context_limit", "compression_threshold", "options", "deleted"),
            *("deleted_at", "created_by", "updated_by", "created_at", "updated_at"),
        }
    ),
    "user_chat_provider_keys": frozenset(
        {
            *("id", "user_id", "chat_provider_id", "api_key", "api_key_key_id"),
            *("created_at", "updated_at"),
        }
    ),
    "chats": frozenset({"last_model_config_id"}),
    "chat_queued_messages": frozenset({"model_config_id"}),
    "site_configs": frozenset({"value"}),
    "user_configs": frozenset({"user_id", "key", "value"}),
}


def _status(connection: "Connection") -> dict[str, Any]:
    from sexton.chat.status import status

    return status(connection)


def _unfit(connection: "Connection", *, schema_change: bool = False) -> WrongSchema | None:
    from sexton.chat.releases import EARLIER, unfit

    return unfit(connection, EARLIER, schema_change=schema_change)


def _objections(
    connection: "Connection", way: str, start: str | None, goal: str | None
) -> Sequence[str]:
    from sexton.chat.releases import objections

    return objections(connection, way, start, goal)


# The names are those of the first guards, before there were any others.
LIVE_MODELS = GuardSpec(
    child="chat_model_configs",
    columns=("provider",),
    parent="chat_providers",
    parent_columns=("provider",),
    check="model_without_provider",
    names=Names(
        key="sexton_guard",
        live="sexton_live",
        target="sexton_live",
        target_index="sexton_guard_target",
    ),
)

PROJECT = Project(
    name="chat",
    checks_folders=(folder("checks"),),
    migrations=folder("migrations"),
    secrets=frozenset({"api_key"}),
    guards=(LIVE_MODELS,),
    sensitive={"base_url": rf"^(?!{PLAIN_URL}$)"},
    writable=WRITABLE,
    require=_require,
    before_write=_before_write,
    commands=_commands,
    status=_status,
    unfit=_unfit,
    objections=_objections,
)
