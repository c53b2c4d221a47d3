"""The command line: it parses, opens the transaction, prints and exits.

What is slow to import (SQLAlchemy, alembic, psycopg) is imported inside the commands, so
that `--help` stays quick.
"""

import contextlib
import gc
import itertools
import json
import os
import re
import sys
from typing import Any

import click

from sexton import __version__
from sexton.cli import (
    audit,
    checks,
    fleet,
    grants,
    guard,
    init,
    rehearse,
    repair,
    report,
    revision,
    rows,
    schema,
    status,
    undo,
)
from sexton.cli.options import configured
from sexton.cli.streams import Stream, announcing, guarded, open_missing, terminable
from sexton.errors import (
    INCOMPLETE,
    USAGE,
    Incomplete,
    SextonError,
    Unexpected,
    UsageError,
    was_interrupted,
)
from sexton.project import afresh, built_in, current
from sexton.text.printable import printable, shown
from sexton.text.redaction import redact

EPILOG = """
\b
Exit codes:
  0   clean, or done
  1   findings, or a plan that has something to do
  2   wrong usage, or a selector that matched nothing
  3   incomplete: something errored, timed out or lacked permission
  4   no connection, or the wrong server or schema
  5   refused: a safety limit, a stale plan, a precondition or a rule
  6   busy: a lock could not be had in time; try again
  70  a bug in Sexton
"""


# When garbage is looked for. Importing makes many objects and no garbage, and a process
# that ends needs no search for any: together an eighth of what a small audit takes.
COLLECTED = (100_000, 20, 20)


class Sections(click.Group):
    """A group that lists its commands in the order in which they were added.

    Those of the project in use come last.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names; of a project that cannot be read, the general ones."""
        del ctx
        more: list[str] = []
        with contextlib.suppress(SextonError):
            more = [str(command.name) for command in current().commands()]
        return [*self.commands, *more]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if found := super().get_command(ctx, cmd_name):
            return found
        for command in current().commands():
            if command.name == cmd_name:
                return configured(command, hidden=True)
        if not ctx.resilient_parsing:
            _refuse_product(cmd_name)
        return None


def _refuse_product(name: str) -> None:
    """Say that a command is the built-in product's, where another project is in use."""
    file = current().file
    if file and name in {command.name for command in built_in("chat").commands()}:
        raise UsageError(
            f"no such command {name!r} here: it is the built-in product's, and "
            f"{shown(file)} declares another project",
            hint="run it where no project file is in sight, or write "
            'extends = "chat" into that one',
        )


@click.group(
    cls=Sections,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sexton", message="%(prog)s %(version)s")
@click.option(
    "--log-format",
    type=click.Choice(["text", "time", "json"]),
    envvar="SEXTON_LOG_FORMAT",
    default="text",
    help="What stderr carries: text, text with the time, or a JSON document a line.",
)
def sexton(log_format: str) -> None:
    """Take a live PostgreSQL database from a foreign key to soft deletes.

    And keep the references honest afterwards. The database is --url, else DATABASE_URL,
    else libpq's own PG* variables, service file and .pgpass.
    """
    if isinstance(sys.stderr, Stream):
        sys.stderr.log_format = log_format


for command in (
    status.status,
    schema.upgrade,
    schema.downgrade,
    status.adopt,
    guard.guard,
    checks.checks,
    checks.explain,
    audit.audit,
    repair.repair,
    repair.apply,
    repair.show_plan,
    undo.undo,
    undo.history,
    rows.delete,
    rows.restore,
    init.init,
    revision.revision,
    rehearse.rehearse,
    fleet.fleet,
    grants.grants,
    report.report,
):
    sexton.add_command(command)
configured(sexton)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; no traceback leaves here."""
    gc.set_threshold(*COLLECTED)
    open_missing()
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # once more, while the first was being reported
        code = INCOMPLETE
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    with guarded() as (out, _), announcing(), terminable(), afresh():
        code = _run(arguments, out)
        out.flush()
        if out.error:
            said = f"cannot write to standard output: {out.error.strerror}"
            _say([], INCOMPLETE, said, "what was done is done; read it in another way", out)
            code = max(code, INCOMPLETE)
    return code


def _run(arguments: list[str], out: Stream) -> int:
    """Run a command; whatever goes wrong is said, and becomes an exit code."""
    try:
        for argument in arguments:
            if re.search("[\ud800-\udfff]", argument):
                raise UsageError(f"the argument {argument!a} is not UTF-8")
        code = sexton.main(arguments, prog_name="sexton", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return USAGE
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where else "sexton"
        message = error.format_message().replace("\n\t", " ")  # of a choice's values
        return _say(arguments, USAGE, message, f"{path} --help", out)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, SystemExit) and "_SEXTON_COMPLETE" in os.environ:
            return int(error.code or 0)  # click has completed the line
        found = _understood(error)
        message, hint = message_and_hint(found, arguments)
        return _say(arguments, found.code, message, hint, out, found.status)


def _understood(error: BaseException) -> SextonError:
    """An error in our words; what nobody foresaw is a bug."""
    if isinstance(error, SextonError):
        return error
    if isinstance(error, click.Abort) or was_interrupted(error):
        lines = ["interrupted; what was not committed is undone"]
        return Incomplete("\n  ".join([*lines, *getattr(error, "__notes__", ())]))
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return Incomplete(
            "no temporary directory can be written",
            hint="set TMPDIR to a directory that can be written",
        )
    psycopg = sys.modules.get("psycopg")
    if psycopg and isinstance(error, psycopg.Error):
        from sexton.server_errors import to_sexton_error

        return to_sexton_error(error)
    return Unexpected(f"{type(error).__name__}: {redact(str(error))}")


def message_and_hint(error: SextonError, arguments: list[str]) -> tuple[str, str | None]:
    """Message and hint: a document has upstream's sentence, where it has one, first."""
    if error.upstream is None or not _wants_json(arguments):
        return error.message, error.hint
    return error.upstream, f"{error.message}; {error.hint}" if error.hint else error.message


def _say(
    arguments: list[str],
    code: int,
    message: str,
    hint: str | None,
    out: Stream,
    status: int | None = None,
) -> int:
    """Say an error: on stdout as the one document there, or on stderr as text."""
    if _wants_json(arguments) and not out.used:
        error: dict[str, Any] = {"code": code, "status": status}
        error |= {"message": message, "hint": hint}
        click.echo(json.dumps({"error": error}, indent=2, ensure_ascii=False))
        return code
    for line in (f"sexton: {message}", *([f"  next: {hint}"] if hint else [])):
        # A line that goes on is set in; any other break came with somebody's text.
        click.echo("\n".join(map(printable, re.split(r"\n(?=  )", line))), err=True)
    return code


def _wants_json(arguments: list[str]) -> bool:
    pairs = itertools.pairwise(arguments)
    return "--format=json" in arguments or ("--format", "json") in pairs
