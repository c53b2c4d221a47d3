"""`sexton provider …`."""

from typing import TYPE_CHECKING, Any

import click

from sexton.chat.cli.keys import key_options, read_key
from sexton.chat.cli.run import acting, change, preview_or_run
from sexton.cli.completion import looked_up
from sexton.cli.options import reading, show

if TYPE_CHECKING:
    from sexton.database import Connection


def _names(connection: Any) -> list[str]:
    from sexton.chat.providers import list_providers

    return [provider["provider"] for provider in list_providers(connection)]


NAMES = looked_up(_names)
HEIR = click.option(
    "--heir",
    default="usable",
    metavar="usable|first|none|ID",
    show_default=True,
    help="Who becomes the default, if the default goes: the first usable model, "
    "upstream's first (usable or not), nobody, or the model with this id.",
)
DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Say what would change; change nothing."
)
CENTRAL = click.option(
    "--central-key/--no-central-key",
    "central_api_key_enabled",
    default=None,
    help="Whether the provider's own key may be used.",
)
USER_KEYS = click.option(
    "--user-keys/--no-user-keys",
    "allow_user_api_key",
    default=None,
    help="Whether users may bring their own keys.",
)
FALLBACK = click.option(
    "--fallback/--no-fallback",
    "allow_central_api_key_fallback",
    default=None,
    help="Whether the central key serves users who brought none.",
)


@click.group()
def provider() -> None:
    """Add, change, switch and delete providers."""


@provider.command("list")
@reading
def list_(connection: "Connection", style: str) -> None:
    """List the providers and their models' numbers; never their keys.

    \b
    Examples:
      sexton provider list
    """
    from sexton.chat import providers
    from sexton.reporters import text

    found = providers.list_providers(connection)
    columns = ("provider", "enabled", "live", "tombstones", "has_api_key", "id")
    show(style, {"providers": found}, lambda: text.table(found, columns))


@provider.command()
@click.argument("name")
@click.option("--display-name", default="")
@click.option("--base-url", default="")
@click.option("--disabled", is_flag=True, help="Add it switched off.")
@CENTRAL
@USER_KEYS
@FALLBACK
@key_options
@acting
def add(
    connection: "Connection",
    name: str,
    disabled: bool,
    key_file: str | None,
    key_env: str | None,
    style: str,
    actor: str | None,
    recorded: bool,
    **columns: Any,
) -> None:
    """Add provider NAME. Its key comes from a file, standard input or a variable.

    \b
    Examples:
      sexton provider add openai --key-env OPENAI_API_KEY
    """
    from sexton.chat import providers

    given = {column: value for column, value in columns.items() if value is not None}
    key = read_key(key_file, key_env) or ""
    change(
        connection,
        style,
        lambda: providers.add_provider(
            connection,
            name,
            api_key=key,
            enabled=not disabled,
            actor=actor,
            recorded=recorded,
            **given,
        ),
        lambda made: f"added provider {made['provider']} ({made['id']})",
    )


@provider.command()
@click.argument("name", shell_complete=NAMES)
@click.option("--display-name")
@click.option("--base-url")
@CENTRAL
@USER_KEYS
@FALLBACK
@key_options
@click.option("--clear-key", is_flag=True, help="Take the stored key away.")
@acting
def update(
    connection: "Connection",
    name: str,
    key_file: str | None,
    key_env: str | None,
    clear_key: bool,
    actor: str | None,
    recorded: bool,
    style: str,
    **columns: Any,
) -> None:
    """Change provider NAME (or id): what is given, and nothing else.

    \b
    Examples:
      sexton provider update openai --key-file openai.key
    """
    from sexton.chat import providers

    changes = {column: value for column, value in columns.items() if value is not None}
    key = read_key(key_file, key_env)
    if clear_key and key is not None:
        raise click.UsageError("--clear-key and a key exclude each other")
    if key is not None or clear_key:
        changes["api_key"] = key or ""
    change(
        connection,
        style,
        lambda: providers.update_provider(
            connection, name, changes, actor=actor, recorded=recorded
        ),
        lambda made: f"updated provider {made['provider']} ({made['id']})",
    )


def _switch(
    connection: "Connection", name: str, heir: str, *, enabled: bool, **options: Any
) -> None:
    from sexton.chat import text
    from sexton.chat.providers import SwitchProvider

    operation = SwitchProvider(name, enabled=enabled, heir=heir)
    preview_or_run(connection, operation, text.switch, **options)


@provider.command()
@click.argument("name", shell_complete=NAMES)
@HEIR
@DRY_RUN
@acting
def disable(connection: "Connection", name: str, heir: str, **options: Any) -> None:
    """Switch provider NAME off; a default under it moves to the heir.

    \b
    Examples:
      sexton provider disable openai --dry-run
    """
    _switch(connection, name, heir, enabled=False, **options)


@provider.command()
@click.argument("name", shell_complete=NAMES)
@HEIR
@DRY_RUN
@acting
def enable(connection: "Connection", name: str, heir: str, **options: Any) -> None:
    """Switch provider NAME on; if there is no default, one is elected.

    \b
    Examples:
      sexton provider enable openai
    """
    _switch(connection, name, heir, enabled=True, **options)


@provider.command()
@click.argument("name", shell_complete=NAMES)
@HEIR
@DRY_RUN
@click.option(
    "--allow-cascades",
    is_flag=True,
    help="Also where rows of other tables go for good, by their foreign keys.",
)
@click.option("--yes", is_flag=True, help="Do not ask, on a terminal.")
@acting
def delete(
    connection: "Connection",
    name: str,
    heir: str,
    allow_cascades: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Delete provider NAME; its models become tombstones.

    Old chats keep them. --dry-run prints the same document and changes nothing. What goes
    for good is said, and asked for on a terminal.

    \b
    Examples:
      sexton provider delete openai --dry-run
      sexton provider delete openai --heir usable
    """
    from sexton.chat import text
    from sexton.chat.deletion import DeleteProvider

    operation = DeleteProvider(name, heir=heir, allow_cascades=allow_cascades)
    preview_or_run(connection, operation, text.deletion, ask=not yes, **options)


@provider.command()
@click.argument("name", shell_complete=NAMES)
@HEIR
@DRY_RUN
@acting
def restore(connection: "Connection", name: str, heir: str, **options: Any) -> None:
    """Bring back the models of NAME's latest deletion; add it again first.

    \b
    Examples:
      sexton provider restore openai --dry-run
    """
    from sexton.chat import text
    from sexton.chat.deletion import RestoreProvider

    operation = RestoreProvider(name, heir=heir)
    preview_or_run(connection, operation, text.restoration, **options)


@provider.command("user-key")
@click.argument("name", shell_complete=NAMES)
@click.argument("user", type=click.UUID)
@key_options
@click.option("--remove", is_flag=True, help="Delete the user's key.")
@acting
def user_key(
    connection: "Connection",
    name: str,
    user: Any,
    key_file: str | None,
    key_env: str | None,
    remove: bool,
    style: str,
    **who: Any,
) -> None:
    """Store USER's own key for provider NAME, or remove it.

    \b
    Examples:
      sexton provider user-key openai 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed --key-env KEY
    """
    from sexton.chat import keys

    key = read_key(key_file, key_env)
    if remove and key is not None:
        raise click.UsageError("--remove and a key exclude each other")
    verb = "removed" if remove else "stored"
    change(
        connection,
        style,
        lambda: (
            keys.remove_user_key(connection, name, user, **who)
            if remove
            else keys.set_user_key(connection, name, user, key or "", **who)
        ),
        lambda done: f"{verb} the key of user {user} for {done['provider']}",
    )
