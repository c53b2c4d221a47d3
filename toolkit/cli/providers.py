"""`sexton provider …`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import reading, show, writing

if TYPE_CHECKING:
    from toolkit.database import Connection


@click.group()
def provider() -> None:
    """List and delete providers."""


@provider.command("list")
@reading
def list_(connection: "Connection", style: str) -> None:
    """List the providers, with their counts of models; never their keys."""
    from toolkit import providers
    from toolkit.reporters import text

    found = providers.list_providers(connection)
    columns = ("provider", "enabled", "live", "tombstones", "has_api_key", "id")
    show(style, {"providers": found}, lambda: text.table(found, columns))


@provider.command()
@click.argument("name")
@click.option(
    "--heir",
    default="usable",
    metavar="usable|first|none|ID",
    show_default=True,
    help="Who becomes the default, if the default goes: the first usable model, "
    "upstream's first (usable or not), nobody, or the model with this id.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@writing
def delete(
    connection: "Connection", name: str, heir: str, dry_run: bool, style: str
) -> None:
    """Delete provider NAME; its models become tombstones, old chats keep them."""
    from toolkit import providers
    from toolkit.database import snapshot, transact
    from toolkit.reporters import text

    if dry_run:
        with snapshot(connection):
            deletion = providers.preview_deletion(connection, name, heir=heir)
    else:
        deletion = transact(
            connection, lambda: providers.delete_provider(connection, name, heir=heir)
        )
    show(style, deletion.document(), lambda: text.deletion(deletion, done=not dry_run))
