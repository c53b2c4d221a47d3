"""What the chat product declares."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sexton.project import Project

if TYPE_CHECKING:
    from sexton.database import Connection


def _folder(name: str) -> Path:
    """`checks` or `migrations`: beside this file in a wheel, at the top of a checkout."""
    here = Path(__file__).parent
    return here / name if (here / name).is_dir() else here.parents[2] / name


def _require(connection: "Connection") -> None:
    from sexton.chat.schema import require_models

    require_models(connection)


def _before_write(connection: "Connection") -> None:
    from sexton.chat.locks import lock_election

    lock_election(connection)


def _commands() -> Sequence[Any]:
    from sexton.chat.cli.chats import chat
    from sexton.chat.cli.demo import demo
    from sexton.chat.cli.models import model
    from sexton.chat.cli.providers import provider

    return demo, provider, model, chat


PROJECT = Project(
    name="chat",
    checks_folder=_folder("checks"),
    migrations=_folder("migrations"),
    secrets=frozenset({"api_key"}),
    # Credentials before the host, or in the query.
    sensitive={"base_url": r"^[^/?#]*//[^/?#]*@|[?]"},
    require=_require,
    before_write=_before_write,
    commands=_commands,
)
