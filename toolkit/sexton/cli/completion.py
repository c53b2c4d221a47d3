"""What the shell completes: checks, and what a look into the database tells.

Whatever goes wrong completes nothing: a TAB must not print an error, nor start a server.
"""

import os
from collections.abc import Callable
from typing import Any

import click

SECONDS = "2"  # a person waits


def checks(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The names of the project's checks."""
    from sexton.project import all_checks

    try:
        return [name for name in all_checks() if name.startswith(incomplete)]
    except Exception:
        return []


def looked_up(look: Callable[[Any], list[str]]) -> Callable[..., list[str]]:
    """A completion by what `look` returns of a read-only connection."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from sexton.database import EMBEDDED, database, snapshot

        url = ctx.params.get("url") or os.environ.get("DATABASE_URL") or ""
        if url.startswith(EMBEDDED):
            return []
        os.environ.setdefault("PGCONNECT_TIMEOUT", SECONDS)
        try:
            with (
                database(url, name="sexton completion", read_only=True) as connection,
                snapshot(connection),
            ):
                return [name for name in look(connection) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


def _runs(connection: Any) -> list[str]:
    from sexton import journal

    return [str(run["run"]) for run in journal.list_runs(connection)]


runs = looked_up(_runs)
