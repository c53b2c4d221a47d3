"""`sexton model …`."""

from typing import TYPE_CHECKING, Any

import click

from sexton.chat.cli.providers import DRY_RUN, HEIR
from sexton.cli.options import acting, deed, reading, show, tell_caches

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
    help="How full the context is when a chat is compacted. [default: 70]",
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
    """List the live model configs, in the order of an election."""
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
    """Create a config for MODEL under PROVIDER, which must exist."""
    from sexton.chat import models
    from sexton.database import transact

    given = {column: value for column, value in columns.items() if value is not None}
    options = _options(options_file)
    made = transact(
        connection,
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
    )
    default = ", the default" if made["is_default"] else ""
    said = f"created {made['model']} of {made['provider']} ({made['id']}){default}"
    show(style, made, lambda: said)
    tell_caches()


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
    """Change the config ID: what is given, and nothing else."""
    from sexton.chat import models
    from sexton.database import transact

    wanted = models.model_id(id)
    changes = {column: value for column, value in columns.items() if value is not None}
    options = _options(options_file)
    if options is not None:
        changes["options"] = options
    made = transact(
        connection,
        lambda: models.update_model(
            connection, wanted, changes, heir=heir, actor=actor, recorded=recorded
        ),
    )
    default = ", the default" if made["is_default"] else ""
    said = f"updated {made['model']} of {made['provider']} ({made['id']}){default}"
    show(style, made, lambda: said)
    tell_caches()


@model.command()
@click.argument("id")
@HEIR
@DRY_RUN
@acting
def delete(
    connection: "Connection", id: str, heir: str, dry_run: bool, style: str, **who: Any
) -> None:
    """Make the config ID a tombstone; old chats keep it."""
    from sexton.chat import models
    from sexton.reporters import text

    wanted = models.model_id(id)
    deed(
        connection,
        lambda: models.preview_removal(connection, wanted, heir=heir),
        lambda seen: models.delete_model(
            connection, wanted, heir=heir, counted=seen, **who
        ),
        text.removal,
        dry_run=dry_run,
        style=style,
    )


@model.command()
@click.argument("id")
@acting
def promote(connection: "Connection", id: str, style: str, **who: Any) -> None:
    """Make the model config ID the default."""
    from sexton.chat import models
    from sexton.database import transact

    wanted = models.model_id(id)
    made = transact(connection, lambda: models.promote(connection, wanted, **who))
    said = f"the default is now {made['model']} of {made['provider']} ({made['id']})"
    show(style, made, lambda: said)
    tell_caches()


@model.command()
@click.argument("id")
@click.option("--to", "target", required=True, metavar="ID", help="Who takes over.")
@DRY_RUN
@acting
def reassign(
    connection: "Connection", id: str, target: str, dry_run: bool, style: str, **who: Any
) -> None:
    """Make the overrides and open chats of config ID use another one."""
    from sexton.chat import models, reassign
    from sexton.reporters import text

    source, to = models.model_id(id), models.model_id(target)
    deed(
        connection,
        lambda: reassign.preview_reassignment(connection, source, to),
        lambda _: reassign.reassign(connection, source, to, **who),
        text.reassignment,
        dry_run=dry_run,
        style=style,
    )


def _options(file: Any) -> Any:
    import json

    if file is None:
        return None
    try:
        return json.load(file)
    except ValueError as error:
        raise click.UsageError(f"--options is not JSON: {error}") from None
