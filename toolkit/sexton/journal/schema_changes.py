"""Changes of the schema in the journal: what was done, and the command that reverts it.

Such a run is written after its steps, each of which committed by itself. Where this role
may not write the journal, that is said before the first step; a change of the schema does
not depend on it. The rows that a step changed have a run of their own, in the step's
transaction.
"""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from sexton import journal
from sexton.catalog.relations import SAFE_PATH
from sexton.database import Connection, settings
from sexton.errors import SextonError
from sexton.journal.tables import unwritten

Options = dict[str, Any]
REVISION = "revision"  # the rows of a step whose direction nobody knows
BACK = {
    "upgrade": ("downgrade", "from"),
    "downgrade": ("upgrade", "from"),
    "guard add": ("guard remove", "references"),
    "guard remove": ("guard add", "references"),
}


@contextlib.contextmanager
def recorded(
    connection: Connection,
    kind: str | Callable[[], str],
    changed: Callable[[], Options],
    say: Callable[[str], None] = lambda _: None,
    *,
    idle: bool = False,
) -> Iterator[None]:
    """Write a run of `kind` after the block, also where it was interrupted.

    `changed` says, after the
    block, the run's options; none where nothing was changed. `say` is given the sentence
    of why the journal will not have it, before the block where that is known by then;
    where the block is `idle`, for all that is known, only once it did something after all.
    Raises nothing itself.
    """
    whole = False
    objection = journal.find_objection(connection)
    why = ""
    if objection:
        said = objection.message.removesuffix("; nothing was changed")
        why = f"{said}; {objection.hint}"
    if why and not idle:
        say(f"this will not be in the journal: {why}")
    try:
        yield
        whole = True
    finally:
        try:
            open_ = (idle or not why) and not connection.closed
            if open_ and (options := changed()):
                name = kind if isinstance(kind, str) else kind()
                if why:
                    say(f"done, but not in the journal: {why}")
                else:
                    _write(connection, name, options, whole)
        except (SextonError, psycopg.Error) as error:
            if whole:
                say(f"done, but not in the journal: {unwritten(error)}")


def moved(
    before: str | None, after: str | None, moves: Sequence[str], steps: Sequence[str]
) -> dict[str, Any]:
    """What a run did: {from, to, moves, steps}; empty where that is nothing.

    `steps` are the titles of those that are committed of a revision that is not.
    """
    if not (moves or steps or after != before):
        return {}
    done = {"from": before, "to": after, "moves": moves}
    return done | ({"steps": steps} if steps else {})


def _write(connection: Connection, kind: str, options: Options, whole: bool) -> None:
    with connection.transaction():
        connection.execute("set transaction isolation level read committed")
        with settings(connection, {"search_path": SAFE_PATH}):
            journal.begin_run(connection, kind, options=options, finished=whole)


def way_back(run: Mapping[str, Any]) -> str | None:
    """The command that takes such a run back; None for one that `undo` takes back.

    The journal's words go into it only as names that a shell leaves alone.
    """
    if run["kind"] in ("adopt", "stamp", REVISION):
        return f"sexton history {run['run']}"
    if run["kind"] not in BACK:
        return None
    command, option = BACK[run["kind"]]
    said = run["options"].get(option, [])
    words = said if isinstance(said, list) else [said]
    if run["kind"] == "upgrade" and said is None:
        words = ["base"]
    if not all(re.fullmatch(r"\w[\w.(), ]*", str(word)) for word in words):
        return f"sexton history {run['run']}"
    return shlex.join(["sexton", *command.split(), *map(str, words)])
