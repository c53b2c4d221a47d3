"""`sexton grants`: what an auditor, a deployer or a repairer needs here."""

from typing import TYPE_CHECKING

import click

from sexton.cli.options import reading, show

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.grants import Grants


@click.command()
@click.argument("kind", type=click.Choice(["auditor", "deployer", "repairer"]))
@click.option(
    "--to", "role", required=True, metavar="ROLE", help="The role that is to work here."
)
@reading
def grants(connection: "Connection", kind: str, role: str, style: str) -> None:
    """Print the GRANTs that a role needs here, no more and no less.

    An auditor runs audit, explain and repair without --apply; a repairer also repair,
    undo and the commands that change rows; a deployer upgrade, downgrade, guard and
    adopt. Pipe the text into psql as the tables' owner or a superuser.

    \b
    Examples:
      sexton grants auditor --to watch
      sexton grants deployer --to release | psql chat
    """
    from sexton.errors import UsageError
    from sexton.grants import needed
    from sexton.project import current

    if not role or "\0" in role:
        raise UsageError("--to names no role", hint="write --to ROLE")
    found = needed(connection, current(), kind, role)
    show(style, found.document(), lambda: script(found))


def script(found: "Grants") -> str:
    """The statements for psql; everything else is a comment."""
    from sexton.text.printable import printable

    head = f"{found.kind} {found.role} on the database {found.database}"
    lines = [f"-- {printable(head)}"]
    for grant in found.grants:
        lines += [f"-- {grant.why}", f"{grant.sql};"]
    return "\n".join([*lines, *(f"-- note: {printable(note)}" for note in found.notes)])
