"""`sexton status` and `sexton adopt`."""

import click

from sexton.cli.options import FORMAT, URL, say_location, show
from sexton.errors import DONE, FINDINGS, NO_CONNECTION


@click.command()
@URL
@FORMAT
def status(url: str | None, style: str) -> int:
    """Revision, drift, counts, and the default.

    Exit 1 where the schema has drifted from its revision, or from what the project file
    declares.

    \b
    Examples:
      sexton status
      sexton status --url postgresql:///chat --format json
    """
    from sexton.database import database
    from sexton.project import current
    from sexton.reporters import text
    from sexton.upgrade.standing import standing

    with (
        database(url, name="sexton status", read_only=True) as connection,
    ):
        say_location(connection, style)
        if error := current().unfit(connection):
            raise error
        document = standing(connection)
        document |= current().status(connection)
        objections = current().objections(
            connection, "up", document["revision"], document["head"]
        )
    show(style, document, lambda: text.status(document, refused=bool(objections)))
    return FINDINGS if document["drift"] else DONE


@click.command()
@click.option("--apply", is_flag=True, help="Record the revision in the database.")
@URL
@FORMAT
def adopt(apply: bool, url: str | None, style: str) -> int:
    """Recognise a database that Sexton did not make.

    To look needs no right; --apply makes the schema sexton, with one table, and no other
    change. Exit 0 where it is recognised, 4 where not.

    \b
    Examples:
      sexton adopt
      sexton adopt --apply
    """
    from sexton.database import database
    from sexton.errors import UsageError
    from sexton.project import current
    from sexton.upgrade import adopt
    from sexton.upgrade.route import known

    with (
        database(url, name="sexton adopt", read_only=not apply) as connection,
    ):
        say_location(connection, style)
        if error := current().unfit(connection, schema_change=True):
            raise error
        if not known():
            raise UsageError(
                f"the project {current().name} has no revisions of Sexton's: "
                "there is nothing to adopt",
                hint="for revisions of your own: alembic stamp REVISION",
            )
        document = adopt.adopt(connection)
        if apply and document["recognised"]:
            document = adopt.stamp(connection, document)
    show(style, document, lambda: adopt.text(document))
    return DONE if document["recognised"] else NO_CONNECTION
