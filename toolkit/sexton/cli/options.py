"""What commands share: the database, the format, and how to print."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sexton.text import durations

Command = Callable[..., Any]

URL = click.option(
    "--url",
    metavar="URL",
    help="The database; embedded:DIR runs a server in DIR. [default: DATABASE_URL, PG*]",
)
FORMAT = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or one JSON document on stdout.",
)
CHECKS = click.option(
    "--checks",
    "directories",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    multiple=True,
    help="Load your own checks from DIR as well; repeatable.",
)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time, as every option takes it: 500ms, 30s, 10min; in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number of seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return durations.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def reading(command: Command) -> Command:
    """Give a command `--url`, `--format` and a read-only `connection`."""
    return _with_connection(command, read_only=True)


def writing(command: Command) -> Command:
    """Give a command `--url`, `--format` and a `connection`."""
    return _with_connection(command, read_only=False)


def _configure(
    context: click.Context, parameter: click.Parameter, file: Path | None
) -> None:
    """Take the project of a file, and what it says of the command's options."""
    del parameter
    from sexton import project

    if file:
        project.use(project.load(file))
    if context.info_name == "audit" and not context.resilient_parsing:
        options = project.current().options
        context.default_map = {
            str(known.name): options[name]
            for known in context.command.params
            for option in known.opts
            if (name := option.lstrip("-").replace("-", "_")) in options
        }


def _trust(
    context: click.Context, parameter: click.Parameter, owners: tuple[str, ...]
) -> None:
    """Trust roles beside those of the project file."""
    del context, parameter
    from sexton import project

    if owners:
        used = project.current()
        project.use(replace(used, trust_owner=used.trust_owner | set(owners)))


def configured(command: click.Command, *, hidden: bool = False) -> click.Command:
    """Give a command, and those below it, `--config` and `--trust-owner`."""
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The project file. [default: sexton.toml, or [tool.sexton] in "
        "pyproject.toml, here or above]",
        callback=_configure,
        expose_value=False,
        is_eager=True,
        hidden=hidden,
    )
    trust = click.Option(
        ["--trust-owner", "trusted"],
        metavar="ROLE",
        multiple=True,
        help="Let views, triggers and other code of ROLE run with your rights; repeatable. "
        "[default: trust_owner in the project file]",
        callback=_trust,
        expose_value=False,
        hidden=hidden,
    )
    if not any(known.name == "config" for known in command.params):
        command.params += [config, trust]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            configured(below, hidden=True)
    return command


def _with_connection(command: Command, *, read_only: bool) -> Command:
    @URL
    @FORMAT
    @functools.wraps(command)
    def wrapped(url: str | None, **arguments: Any) -> Any:
        from sexton.database import database
        from sexton.project import current

        current()  # says whose code may run
        name = f"sexton {click.get_current_context().info_name}"
        with database(url, name=name, read_only=read_only) as connection:
            say_location(connection, arguments["style"])
            return command(connection, **arguments)

    return wrapped


def say_location(connection: Any, style: str) -> None:
    """Tell a person which database this is, and as whom; documents say it themselves."""
    from sexton.database import location

    if style == "text":
        click.echo(f"sexton: connected to {location(connection)}", err=True)


def show(style: str, document: Any, text: Callable[[], str]) -> None:
    """Print a document as JSON, or the text that `text` makes."""
    if style == "json":
        from sexton.reporters import json

        click.echo(json.render(document))
    elif said := text():
        click.echo(said)
