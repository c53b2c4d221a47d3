"""`sexton revision`."""

import click

from sexton.cli.options import FORMAT, URL, say_location, show
from sexton.errors import DONE, FINDINGS


@click.command()
@click.option(
    "-m",
    "--message",
    metavar="TEXT",
    help='What the revision does. [default: "do what sexton.toml declares"]',
)
@click.option("--dry-run", is_flag=True, help="Print the revision; write no file.")
@URL
@FORMAT
def revision(url: str | None, style: str, message: str | None, dry_run: bool) -> int:
    """Write an Alembic revision that makes the database what is declared.

    It drops or restores foreign keys, adds soft deletes' columns, sets or drops guards and
    builds the indexes that these need, by operations that nobody waits for, into the
    environment that the project file names; downgrade() is the reverse. The database is
    looked at and not changed. Exit 1 with --dry-run where something differs.

    \b
    Examples:
      sexton revision -m "let customers die by mark"
      sexton revision --dry-run --url postgresql:///shop
    """
    from sexton.database import database
    from sexton.project import current
    from sexton.reporters import revision as reporter
    from sexton.revision.environment import environment
    from sexton.revision.revise import revise

    config = environment(current())
    with database(url, name="sexton revision", read_only=True) as connection:
        say_location(connection, style)
        document = revise(connection, current(), config, message, dry_run=dry_run)
    show(style, document, lambda: reporter.text(document))
    if style == "text":
        for note in document["notes"]:
            click.echo(note, err=True)
        if edits := reporter.models(document):
            click.echo(edits, err=True)
        if document["written"]:
            click.echo(
                "next: read it, then sexton upgrade (or alembic upgrade head)", err=True
            )
    return FINDINGS if document["changes"] and dry_run else DONE
