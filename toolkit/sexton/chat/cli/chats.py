"""`sexton chat …`."""

from typing import TYPE_CHECKING

import click

from sexton.cli.options import reading, show

if TYPE_CHECKING:
    from sexton.database import Connection


@click.group()
def chat() -> None:
    """Look at chats."""


@chat.command()
@click.argument("id")
@reading
def resolve(connection: "Connection", id: str, style: str) -> None:
    """Say which model config the next turn of chat ID uses, and why.

    \b
    Examples:
      sexton chat resolve 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11
    """
    from sexton.chat import chats
    from sexton.text.printable import printable

    found = chats.resolve(connection, chats.chat_id(id))
    model = found["model"]
    said = f"{model['model']} of {model['provider']} ({model['id']}): {found['reason']}"
    show(style, found, lambda: printable(said))
