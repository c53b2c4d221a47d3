"""Opening and closing runs of the journal, in the transaction of what they change."""

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sexton.database import Connection, require_transaction, scalar
from sexton.journal.tables import require_journal
from sexton.text.exact import dumps


def begin_run(
    connection: Connection,
    kind: str,
    *,
    actor: str | None = None,
    plan: str | None = None,
    options: Mapping[str, Any] | None = None,
    finished: bool = True,
    batched: bool = False,
    lost: Sequence[str] = (),
) -> int:
    """Open a run in the journal, in the caller's transaction; return its number.

    `kind` is the command, for example `repair` or `provider delete`; `actor` says who,
    by default the operating system's user. A run in several transactions is `batched`;
    one that can be gone on with opens with `finished=False`, and `finish_run` closes it.
    `lost` says, a sentence for each kind,
    what the run takes away that no undo brings back. Raises what `require_journal` raises.
    """
    require_transaction(connection)
    require_journal(connection)
    os_user = _os_user()
    return int(
        scalar(
            connection,
            """
            insert into sexton.runs
                (kind, actor, os_user, plan, options, finished, batched, lost)
            values (%s, %s, %s, %s, %s, %s, %s, %s) returning run
            """,
            kind,
            actor or os_user,
            os_user,
            plan,
            dumps(options or {}),
            finished,
            batched or not finished,
            json.dumps(list(lost)),
        )
    )


def add_loss(connection: Connection, run: int, sentence: str) -> None:
    """Note of a run what no undo brings back."""
    connection.execute(
        "update sexton.runs set lost = lost operator(pg_catalog.||) "
        "pg_catalog.to_jsonb(%s::pg_catalog.text) "
        "where run operator(pg_catalog.=) %s::pg_catalog.int8",
        (sentence, run),
    )


def finish_run(connection: Connection, run: int) -> None:
    """Close a run that was opened unfinished, in the caller's transaction."""
    connection.execute("update sexton.runs set finished = true where run = %s", (run,))


def mark_undone(connection: Connection, run: int, by: int) -> None:
    """Note that a run was undone by another, in the caller's transaction."""
    connection.execute("update sexton.runs set undone_by = %s where run = %s", (by, run))


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return str(os.getuid())
