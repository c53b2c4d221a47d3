"""`sexton demo`: the whole story, told with the commands a user would type."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from sexton.errors import DONE, FINDINGS, INCOMPLETE, SextonError


@click.command()
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the server's directory in DIR, to play with it afterwards.",
)
def demo(keep: Path | None) -> None:
    """Tell the whole story on an embedded PostgreSQL, in seconds.

    \b
    Examples:
      sexton demo
      sexton demo --keep ./playground
    """
    with contextlib.ExitStack() as stack:
        directory = (keep or Path(stack.enter_context(_scratch())) / "db").absolute()
        if keep and directory.exists() and any(directory.iterdir()):
            raise SextonError(
                f"{directory} is not empty", hint="name a new directory for --keep"
            )
        stack.enter_context(_environment("DATABASE_URL", f"embedded:{directory}"))
        _tell()
    if keep:
        click.echo(f"\nKept. Play on:  export DATABASE_URL=embedded:{keep}")


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """A directory that others may pass through: root's server runs as somebody else."""
    with tempfile.TemporaryDirectory(prefix="sexton-demo-") as directory:
        Path(directory).chmod(0o711)
        yield directory


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _tell() -> None:
    from sexton.chat.sample import INCIDENT, populate
    from sexton.database import database

    # One connection throughout, which also keeps the embedded server up.
    with database(name="sexton demo") as connection:
        _say(
            "An empty PostgreSQL. First the tables as they were: every model config hangs"
            " on its provider by a foreign key."
        )
        _type("upgrade 0001")
        with connection.transaction():
            populate(connection)
        _say("Filled: 8 providers, 19 models, 5,000 chats, 20,000 messages.")
        _type("status")

        _say("The change: tombstones, the default among the living, and no more key.")
        _type("upgrade")
        before = _fingerprint(connection)

        _say(
            "Now a provider can go while old chats still mention its models. openai owns"
            " the default, so somebody must inherit. Look before you leap:"
        )
        _type("provider delete openai --dry-run")
        _say("Do it. The run prints what the preview promised:")
        _type("provider delete openai")
        chat = _chat_on_tombstone(connection)
        _say("A chat that used the old default goes on with the heir:")
        _type(f"chat resolve {chat}")

        _say(
            "An incident: somebody restores rows by hand, past the tool. Two of them name"
            " the provider that is gone, one takes the default with it, and a tombstone"
            " loses its date."
        )
        with connection.transaction():
            connection.execute(INCIDENT)
        _type("audit --sample 2", expect=FINDINGS)
        _say("What would repair it, row by row, and why:")
        _type("repair", expect=FINDINGS)
        _say("Do it, in one transaction that keeps nothing unless it repaired everything:")
        _type("repair --apply")
        _say("Clean again; chats on tombstones are history, not a fault:")
        _type("audit --sample 1")

        _say("And back: stubs keep the old key happy. Then up again.")
        middle = _fingerprint(connection)
        _type("downgrade 0002")
        _type("upgrade")
        after = _fingerprint(connection)
        if middle != after:
            raise AssertionError("the way down and up again lost something")
        _say(
            f"Nothing is lost: {after[1]:,} chats, {after[2]:,} messages and every model"
            f" config, tombstones and their times included (checksum {after[0][:12]})."
        )
        if before[1:] != after[1:]:
            raise AssertionError("history went missing on the way")


def _fingerprint(connection) -> tuple[str, int, int]:  # type: ignore[no-untyped-def]
    from sexton.database import rows

    [found] = rows(
        connection,
        """
        select
            (select md5(string_agg(md5(c::text), '' order by c.id))
             from chat_model_configs c) as models,
            (select count(*) from chats) as chats,
            (select count(*) from chat_messages) as messages
        """,
    )
    return found["models"], found["chats"], found["messages"]


def _chat_on_tombstone(connection) -> str:  # type: ignore[no-untyped-def]
    from sexton.database import scalar

    return str(
        scalar(
            connection,
            """
            select h.id from chats h
            join chat_model_configs c on c.id = h.last_model_config_id
            where c.deleted and c.is_default order by h.id limit 1
            """,
        )
    )


def _say(text: str) -> None:
    import textwrap

    click.echo()
    click.echo("\n".join(f"# {line}" for line in textwrap.wrap(text, 86)))


def _type(command: str, expect: int = DONE) -> None:
    """Show a command, run it as `sexton` would, and insist on its exit code."""
    from sexton.cli import run

    click.echo(f"$ sexton {command}")
    code = run(shlex.split(command))
    if code:
        click.echo(f"(exit {code})")
    if code == INCOMPLETE:
        raise click.Abort  # it was interrupted, and has said so
    if code != expect:
        raise AssertionError(f"sexton {command} exited with {code}, not {expect}")
