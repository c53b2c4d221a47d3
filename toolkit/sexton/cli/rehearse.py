"""`sexton rehearse`."""

from pathlib import Path

import click

from sexton.errors import UsageError

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
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown", "github", "sarif"]),
    default="text",
    help="What stdout carries: text, one JSON document, Markdown for a pull request, "
    "GitHub's annotations, or SARIF 2.1.0.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT:FILE",
    help="Write the same in another format to FILE as well; repeatable.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Rewrite operations that have an online one, in the revisions themselves.",
)
@click.option(
    "--also",
    type=click.Choice(["squawk"]),
    help="Add the findings of another tool, if it is installed.",
)
def rehearse(
    revisions: tuple[str, ...],
    base: str | None,
    schema: Path | None,
    alembic: Path | None,
    rows: Path | None,
    style: str,
    outputs: tuple[str, ...],
    fix: bool,
    also: str | None,
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
      sexton rehearse 4f1c2a --fix
      sexton rehearse --format github -o markdown:summary.md -o sarif:rehearsal.sarif
    """
    from sexton import documents
    from sexton.files import replace_file
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
    wanted = [_output(one) for one in outputs]
    document = run(
        config,
        revisions,
        base=base,
        schema=schema,
        rows=sizes,
        fix=fix,
        also_squawk=also is not None,
        say=say,
    )
    for name, file in wanted:
        replace_file(file, f"{reporter.FORMATS[name](document)}\n")
    if said := reporter.FORMATS[style](document):
        click.echo(said)
    return document.summary.exit_code


def _output(output: str) -> tuple[str, Path]:
    from sexton.reporters.rehearsal import FORMATS

    form, _, file = output.partition(":")
    if form not in FORMATS or not file:
        raise UsageError(
            f"{output!r} is no output",
            hint=f"FORMAT:FILE, where FORMAT is one of {', '.join(FORMATS)}",
        )
    return form, Path(file)
