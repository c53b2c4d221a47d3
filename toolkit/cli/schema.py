"""`sexton status`, `upgrade` and `downgrade`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import FORMAT, URL, reading, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.database import Connection

    Move = Callable[[Connection, str, str], list[str]]


@click.command()
@reading
def status(connection: "Connection", style: str) -> None:
    """Revision, drift, counts, and the default.

    Exit 1 where the schema has drifted from its revision.
    """
    from toolkit.reporters import text
    from toolkit.status import status
    from toolkit.upgrade import head

    document = status(connection, head())
    show(style, document, lambda: text.status(document))


@click.command()
@click.argument("revision", default="head")
@URL
@FORMAT
def upgrade(revision: str, url: str | None, style: str) -> None:
    """Change the schema up to REVISION (default: head)."""
    from toolkit import upgrade

    _move(url, style, upgrade.upgrade, revision, "made")


@click.command()
@click.argument("revision")
@URL
@FORMAT
def downgrade(revision: str, url: str | None, style: str) -> None:
    """Change the schema back to REVISION, or to base."""
    from toolkit import upgrade

    _move(url, style, upgrade.downgrade, revision, "undone")


def _move(url: str | None, style: str, move: "Move", revision: str, verb: str) -> None:
    from toolkit import schema
    from toolkit.database import address_of, database

    with address_of(url) as address, database(address) as connection:
        before = schema.revision(connection)
        steps = move(connection, address, revision)
        after = schema.revision(connection)
    document = {"from": before, "to": after, verb: steps}

    def told() -> str:
        if not steps:
            return f"at {after or 'base'} already: nothing to do"
        return "\n".join(
            [*(f"{verb} {step}" for step in steps), f"now at {after or 'base'}"]
        )

    show(style, document, told)
