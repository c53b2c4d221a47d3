"""`sexton init`."""

from pathlib import Path

import click

from sexton.cli.options import URL
from sexton.errors import UsageError
from sexton.text.printable import shown

DECLARE = "declare in it what is true of the tables; the database has no foreign key"


@click.command()
@click.option(
    "--models",
    metavar="MODULE:NAME",
    help="SQLAlchemy's metadata, or a base that has it: keys that it declares and the "
    "database lacks are reported and declared too.",
)
@click.option("--project", "name", metavar="NAME", help="[default: the database's name]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="sexton.toml",
    show_default=True,
    metavar="FILE",
    help="The file to write; - is stdout. What is there is never overwritten.",
)
@URL
def init(url: str | None, models: str | None, name: str | None, out: Path) -> None:
    """Write a project file from the foreign keys of a database.

    \b
    Examples:
      sexton init
      sexton init --models shop.models:Base --url postgresql:///shop
    """
    from sexton.database import database, snapshot
    from sexton.drafts.draft import draft
    from sexton.files import replace_file

    refusal = UsageError(
        f"{shown(out)} is there already", hint="edit it, or write another: --out FILE"
    )
    if str(out) != "-" and out.exists():
        raise refusal
    with (
        database(url, name="sexton init", read_only=True) as connection,
        snapshot(connection),
    ):
        made = draft(connection, name, models)
    if str(out) == "-":
        click.echo(made.text, nl=False)
    else:
        if out.exists():
            raise refusal
        replace_file(out, made.text)
        many = "1 reference" if made.references == 1 else f"{made.references} references"
        if made.soft_deletes:
            tables = "1 table" if made.soft_deletes == 1 else f"{made.soft_deletes} tables"
            many += f"; {tables} may be soft-deleted: see the comments"
        then = "sexton checks, then sexton audit" if made.references else DECLARE
        click.echo(f"wrote {shown(out)}: {many}; next: {then}", err=True)
    for note in made.notes:
        click.echo(note, err=True)
