"""`sexton model …`."""

from typing import TYPE_CHECKING, Any

import click

from sexton.chat.cli.providers import DRY_RUN, HEIR
from sexton.chat.cli.run import acting, change, preview_or_run
from sexton.cli.options import reading, show

if TYPE_CHECKING:
    from sexton.database import Connection

ELECTION = click.option(
    "--heir",
    default="usable",
    type=click.Choice(["usable", "first"]),
    show_default=True,
    help="Who may be elected where there is no default: usable models alone, or "
    "upstream's first, usable or not.",
)
THRESHOLD = click.option(
    "--compression-threshold",
    type=int,
    metavar="PERCENT",
    help="How full the context is when a chat is compacted. [default of a new model: 70]",
)
OPTIONS = click.option(
    "--options",
    "options_file",
    type=click.File("r"),
    metavar="FILE",
    help="A JSON object with the model's options; - is stdin.",
)


@click.group()
def model() -> None:
    """Create, change, promote and delete model configs."""


@model.command("list")
@click.option("--all", "deleted", is_flag=True, help="The tombstones too.")
@reading
def list_(connection: "Connection", deleted: bool, style: str) -> None:
    """List the live model configs, in the order of an election.

    \b
    Examples:
      sexton model list
      sexton model list --all --format json
    """
    from sexton.chat import models
    from sexton.reporters import text

    found = models.list_models(connection, deleted=deleted)
    columns = ["provider", "model", "enabled", "is_default", "usable", "id"]
    if deleted:
        columns.insert(5, "deleted_at")
    show(style, {"models": found}, lambda: text.table(found, columns))


@model.command()
@click.argument("provider")
@click.argument("name", metavar="MODEL")
@click.option("--context-limit", type=int, metavar="TOKENS", help="Required.")
@THRESHOLD
@click.option("--display-name")
@click.option("--disabled", is_flag=True, help="Create it disabled.")
@click.option("--default", "is_default", is_flag=True, help="Make it the default.")
@OPTIONS
@ELECTION
@acting
def create(
    connection: "Connection",
    provider: str,
    name: str,
    context_limit: int | None,
    disabled: bool,
    is_default: bool,
    options_file: Any,
    heir: str,
    actor: str | None,
    recorded: bool,
    style: str,
    **columns: Any,
) -> None:
    """Create a config for MODEL under PROVIDER, which must exist.

    \b
    Examples:
      sexton model create openai gpt-5 --context-limit 400000 --default
    """
    from sexton.chat import models

    given = {column: value for column, value in columns.items() if value is not None}
    options = _options(options_file)
    change(
        connection,
        style,
        lambda: models.create_model(
            connection,
            provider=provider,
            model=name,
            context_limit=context_limit or 0,
            enabled=not disabled,
            is_default=is_default,
            options=options,
            heir=heir,
            actor=actor,
            recorded=recorded,
            **given,
        ),
        lambda made: f"created {_said(made)}",
    )


@model.command()
@click.argument("id")
@click.option("--provider", help="Move it to another provider, which must exist.")
@click.option("--model", help="The name its provider knows it by.")
@click.option("--display-name")
@click.option("--enable/--disable", "enabled", default=None)
@click.option("--default/--no-default", "is_default", default=None)
@click.option("--context-limit", type=int, metavar="TOKENS")
@THRESHOLD
@OPTIONS
@ELECTION
@acting
def update(
    connection: "Connection",
    id: str,
    options_file: Any,
    heir: str,
    actor: str | None,
    recorded: bool,
    style: str,
    **columns: Any,
) -> None:
    """Change the config ID: what is given, and nothing else.

    \b
    Examples:
      sexton model update 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11 --disable
      sexton model update 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11 --compression-threshold 80
    """
    from sexton.chat import election, models

    wanted = election.model_id(id)
    changes = {column: value for column, value in columns.items() if value is not None}
    options = _options(options_file)
    if options is not None:
        changes["options"] = options
    change(
        connection,
        style,
        lambda: models.update_model(
            connection, wanted, changes, heir=heir, actor=actor, recorded=recorded
        ),
        lambda made: f"updated {_said(made)}",
    )


@model.command()
@click.argument("id")
@HEIR
@DRY_RUN
@acting
def delete(connection: "Connection", id: str, heir: str, **options: Any) -> None:
    """Make the config ID a tombstone; old chats keep it.

    \b
    Examples:
      sexton model delete 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11 --dry-run
      sexton model delete 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11 --heir first
    """
    from sexton.chat import election, text
    from sexton.chat.models import DeleteModel

    operation = DeleteModel(election.model_id(id), heir=heir)
    preview_or_run(connection, operation, text.removal, **options)


@model.command()
@click.argument("id")
@acting
def promote(connection: "Connection", id: str, style: str, **who: Any) -> None:
    """Make the model config ID the default.

    \b
    Examples:
      sexton model promote 8f5f2f6e-3f0a-4d43-9a53-0c2d6f1d7a11
    """
    from sexton.chat import election, models

    wanted = election.model_id(id)
    change(
        connection,
        style,
        lambda: models.promote(connection, wanted, **who),
        lambda made: f"promoted {_said(made)}",
    )


@model.command()
@click.argument("id")
@click.option("--to", "target", required=True, metavar="ID", help="Who takes over.")
@DRY_RUN
@acting
def reassign(connection: "Connection", id: str, target: str, **options: Any) -> None:
    """Make the overrides and open chats of config ID use another one.

    \b
    Examples:
      sexton model reassign $OLD --to $NEW --dry-run
    """
    from sexton.chat import election, text
    from sexton.chat.reassign import Reassign

    operation = Reassign(election.model_id(id), election.model_id(target))
    preview_or_run(connection, operation, text.reassignment, **options)


def _said(model: Any) -> str:
    default = ", the default" if model["is_default"] else ""
    return f"{model['model']} of {model['provider']} ({model['id']}){default}"


def _options(file: Any) -> Any:
    import json

    if file is None:
        return None
    try:
        return json.load(file)
    except (ValueError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else error
        raise click.UsageError(f"--options is not JSON: {said}") from None
