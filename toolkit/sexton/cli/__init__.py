"""The command line: it parses, opens the transaction, prints and exits.

What is slow to import (SQLAlchemy, alembic, psycopg) is imported inside the commands, so
that `--help` stays quick.
"""

import gc
import json
import os
import sys
from typing import Any

import click

from sexton import __version__
from sexton.cli import audit, fleet, grants, guard, repair, report, schema
from sexton.errors import BUG, INCOMPLETE, USAGE, SextonError
from sexton.project import current

EPILOG = """
\b
Exit codes:
  0   clean, or done
  1   findings, or a plan that has something to do
  2   wrong usage, or a selector that matched nothing
  3   incomplete: something errored, timed out or lacked permission
  4   no connection, or the wrong server or schema
  5   refused by a guard, a precondition or a rule; nothing changed
  6   busy: a lock could not be had in time; try again
  70  a bug in Sexton
"""


class Sections(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        del ctx
        return list(self.commands)


@click.group(
    cls=Sections,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sexton", message="%(prog)s %(version)s")
def sexton() -> None:
    """Take a live PostgreSQL database from a foreign key to soft deletes.

    And keep the references honest afterwards. The database is --url, else DATABASE_URL,
    else libpq's own PG* variables, service file and .pgpass.
    """


for command in (
    schema.status,
    schema.upgrade,
    schema.downgrade,
    schema.adopt,
    guard.guard,
    audit.checks,
    audit.explain,
    audit.audit,
    repair.repair,
    repair.apply,
    repair.show_plan,
    repair.undo,
    repair.history,
    fleet.fleet,
    grants.grants,
    report.report,
    *current().commands(),
):
    sexton.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; no traceback leaves here."""
    # Importing makes many objects and no garbage, and a process that ends needs no search
    # for any: together an eighth of what an audit of a small database takes.
    gc.set_threshold(100_000, 20, 20)
    code = run(sys.argv[1:] if arguments is None else arguments)
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        code = sexton.main(arguments, prog_name="sexton", standalone_mode=False)
        sys.stdout.flush()
    except SextonError as error:
        return _say(arguments, error.code, *told(error, arguments), error.status)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return USAGE
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where else "sexton"
        return _say(arguments, USAGE, error.format_message(), f"{path} --help", None)
    except (KeyboardInterrupt, click.Abort):
        return _say(
            arguments, INCOMPLETE, "interrupted; what was not committed is undone", None
        )
    except BrokenPipeError:
        # The reader has gone, as in `sexton audit | head`: that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INCOMPLETE
    except Exception as error:
        from sexton.database import redact

        said = redact(f"{type(error).__name__}: {error}")
        return _say(
            arguments,
            BUG,
            f"a bug in Sexton: {said}",
            "please report it, with the command and this line",
        )
    return code if isinstance(code, int) else 0


def told(error: SextonError, arguments: list[str]) -> tuple[str, str | None]:
    """Message and hint: a document has upstream's sentence, where it has one, first."""
    if error.upstream is None or not _wants_json(arguments):
        return error.message, error.hint
    return error.upstream, f"{error.message}; {error.hint}" if error.hint else error.message


def _say(
    arguments: list[str],
    code: int,
    message: str,
    hint: str | None,
    status: int | None = None,
) -> int:
    if _wants_json(arguments):
        error: dict[str, Any] = {"code": code, "status": status}
        error |= {"message": message, "hint": hint}
        click.echo(json.dumps({"error": error}, indent=2, ensure_ascii=False))
    else:
        click.echo(f"sexton: {message}", err=True)
        if hint:
            click.echo(f"  next: {hint}", err=True)
    return code


def _wants_json(arguments: list[str]) -> bool:
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(
        argument == "--format=json" or (argument == "--format" and value == "json")
        for argument, value in pairs
    )
