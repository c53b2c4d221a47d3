"""`sexton model …`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import reading, show, writing

if TYPE_CHECKING:
    from toolkit.database import Connection


@click.group()
def model() -> None:
    """List model configs, and promote one to be the default."""


@model.command("list")
@click.option("--all", "deleted", is_flag=True, help="The tombstones too.")
@reading
def list_(connection: "Connection", deleted: bool, style: str) -> None:
    """List the live model configs, in the order of an election."""
    from toolkit import models
    from toolkit.reporters import text

    found = models.list_models(connection, deleted=deleted)
    columns = ["provider", "model", "enabled", "is_default", "usable", "id"]
    if deleted:
        columns.insert(5, "deleted_at")
    show(style, {"models": found}, lambda: text.table(found, columns))


@model.command()
@click.argument("id")
@writing
def promote(connection: "Connection", id: str, style: str) -> None:
    """Make the model config ID the default."""
    from toolkit import models
    from toolkit.database import transact

    wanted = models.model_id(id)
    made = transact(connection, lambda: models.promote(connection, wanted))
    said = f"the default is now {made['model']} of {made['provider']} ({made['id']})"
    show(style, made, lambda: said)
