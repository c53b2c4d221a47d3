"""`sexton rehearse`."""

from pathlib import Path

import click

from sexton.cli.options import FORMAT, show

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("revisions", nargs=-1, metavar="[REVISION]...")
@click.option(
    "--base",
    metavar="REF|REV",
    help="What the revisions are new against: a ref of git, rev:ID, or base for all. "
    "[default: origin/HEAD, main or master]",
)
@click.option(
    "--schema",
    type=FILE,
    metavar="FILE.sql",
    help="The schema at the base, as pg_dump --schema-only writes it. [default: what the "
    "base's revisions make]",
)
@click.option(
    "--alembic",
    type=FILE,
    metavar="FILE",
    help="The Alembic environment: alembic.ini or pyproject.toml. [default: what the "
    "project file names]",
)
@click.option(
    "--rows",
    type=FILE,
    metavar="FILE.toml",
    help="Numbers of rows by table, for the estimates: invoices = 5_000_000.",
)
@FORMAT
def rehearse(
    revisions: tuple[str, ...],
    base: str | None,
    schema: Path | None,
    alembic: Path | None,
    rows: Path | None,
    style: str,
) -> int:
    """Run new revisions on a throw-away PostgreSQL and report what they would do.

    Each new revision runs on an embedded server: up, down and up again, killed and
    resumed, and on rows that violate the constraints it adds. Reported are the locks that
    each statement takes, the tables that it rewrites or scans, and what is dangerous for
    production, with file and line. No other database is reached.

    A finding is accepted by a comment in the revision, on the line or above it:
    "# sexton: accept CODE because REASON until DATE".

    \b
    Examples:
      sexton rehearse --base origin/main
      sexton rehearse --base base --alembic alembic.ini
      sexton rehearse 4f1c2a --format json
    """
    from sexton import documents
    from sexton.rehearse.rehearsal import environment
    from sexton.rehearse.rehearsal import rehearse as run
    from sexton.reporters import rehearsal as reporter

    config = environment(alembic)

    def say(line: str) -> None:
        click.echo(f"sexton: {line}", err=True)

    sizes = None
    if rows:
        noun, hint = "file of numbers of rows", "a line for each table: invoices = 5000000"
        sizes = documents.load_toml(rows, dict[str, int], noun=noun, hint=hint)
    document = run(config, revisions, base=base, schema=schema, rows=sizes, say=say)
    show(style, document, lambda: reporter.text(document))
    return document.summary.exit_code
