"""`sexton status`, `upgrade`, `downgrade` and `adopt`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import FORMAT, URL, reading, show
from toolkit.errors import DONE, FINDINGS, NO_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolkit.database import Connection

    Move = Callable[[Connection, str, str], list[str]]


@click.command()
@reading
def status(connection: "Connection", style: str) -> int:
    """Revision, drift, counts, and the default.

    Exit 1 where the schema has drifted from its revision.
    """
    from toolkit.reporters import text
    from toolkit.status import status
    from toolkit.upgrade import head

    document = status(connection, head())
    show(style, document, lambda: text.status(document))
    return FINDINGS if document["drift"] else DONE


@click.command()
@click.argument("revision", default="head")
@URL
@FORMAT
def upgrade(revision: str, url: str | None, style: str) -> int:
    """Change the schema up to REVISION (default: head).

    Afterwards the catalogs are read back; exit 1 where they contradict the revision.
    """
    from toolkit import upgrade

    return _move(url, style, upgrade.upgrade, revision, "made")


@click.command()
@click.argument("revision")
@URL
@FORMAT
def downgrade(revision: str, url: str | None, style: str) -> int:
    """Change the schema back to REVISION, or to base."""
    from toolkit import upgrade

    return _move(url, style, upgrade.downgrade, revision, "undone")


@click.command()
@click.option("--apply", is_flag=True, help="Record the revision.")
@URL
@FORMAT
def adopt(apply: bool, url: str | None, style: str) -> int:
    """Recognise an existing database by its catalogs; with --apply, record its revision.

    Exit 4 where no revision explains what is there.
    """
    from toolkit import adopt
    from toolkit.database import address_of, database
    from toolkit.reporters import text

    with address_of(url) as address, database(address) as connection:
        found = adopt.recognise(connection)
        stamped = apply and found.revision is not None
        if stamped:
            adopt.adopt(connection, address)
    document = found.document(applied=stamped)
    show(style, document, lambda: text.recognition(found, applied=stamped))
    return DONE if found.revision else NO_CONNECTION


def _move(url: str | None, style: str, move: "Move", revision: str, verb: str) -> int:
    from toolkit import schema
    from toolkit.database import address_of, database
    from toolkit.drift import drift

    with address_of(url) as address, database(address) as connection:
        before = schema.revision(connection)
        steps = move(connection, address, revision)
        after = schema.revision(connection)
        drifted = drift(connection)  # the proof: read back from the catalogs
    document = {"from": before, "to": after, verb: steps, "drift": drifted}

    def told() -> str:
        lines = [f"{verb} {step}" for step in steps]
        lines.append(
            f"now at {after or 'base'}" if steps else f"at {after or 'base'} already"
        )
        return "\n".join([*lines, *(f"drift: {sentence}" for sentence in drifted)])

    show(style, document, told)
    return FINDINGS if drifted else DONE
