"""Preflight: everything that any step of a route would refuse, asked before the first.

A question about rows is asked of what the earlier steps of the route will leave (`leaves`
of a step), so it is meaningful before they are made. What cannot be asked yet, for an
earlier step makes what it reads, is said, and asked again at its time.
"""

import contextlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import TransactionStatus

from sexton.catalog.relations import expose, resolve
from sexton.database import Connection
from sexton.ddl.options import Options
from sexton.ddl.questions import (
    Tables,
    is_done,
    look_up,
    missing,
    objections,
    require_owner,
)
from sexton.ddl.session import is_direct, own_session
from sexton.ddl.steps import Step
from sexton.errors import Refused, SchemaDrift
from sexton.postgres.session import set_parameters
from sexton.upgrade.drift import drift
from sexton.upgrade.plain import Plain
from sexton.upgrade.route import HEAL, Move, Route

STATEMENT_TIMEOUT = "60s"
NOT_YET = "the data cannot be asked yet: an earlier step makes what it reads"
# What an earlier step of the route may repair, or another upgrade has just repaired.
ABSENT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.AmbiguousColumn,
)


@dataclass
class Answer:
    """What one step of a route meets.

    `done` is None where it depends on the steps before. `refused` and `warnings` are
    sentences.
    """

    move: Move
    step: Step
    done: bool | None = None
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def preflight(connection: Connection, route: Route, options: Options) -> list[Answer]:
    """Ask every step of a route, in order. Reads only."""
    answers: list[Answer] = []
    overlay: dict[str, str] = {}
    changed: set[str] = set()
    built: set[str | None] = set()
    with own_session(connection):
        found = look_up(connection, *(step for move in route.moves for step in move.steps))
        # Behind a pooler it would be the next one's session that keeps it.
        limit = {"statement_timeout": STATEMENT_TIMEOUT}
        set_parameters(connection, limit, local=not is_direct(connection))
        for move in route.moves:
            for step in move.steps:
                answer = Answer(move, step)
                _ask(connection, answer, options, found, overlay, changed)
                if answer.done and not all(before.done for before in answers):
                    # What comes before may bring what this step takes away.
                    answer.done = None
                elif answer.done:
                    answer.refused += missing(connection, step, move.start or "", found)
                answers.append(answer)
                if step.cured_by in built:
                    answer.warnings.clear()
                if not answer.done:
                    built.update(step.builds)
                    overlay |= _left(step, found, overlay)
                    if step.lock == "access exclusive":
                        changed.update(step.tables)
    return answers


def _ask(
    connection: Connection,
    answer: Answer,
    options: Options,
    found: Tables,
    overlay: dict[str, str],
    changed: set[str],
) -> None:
    step = answer.step
    with contextlib.suppress(*ABSENT), savepoint(connection):
        answer.done = is_done(connection, step, found, overlay)
    for kind, sentences in (("warn", answer.warnings), ("refuse", answer.refused)):
        if answer.done and kind == "refuse":
            continue
        try:
            with savepoint(connection):
                sentences += objections(
                    connection, step, options, found, kind, overlay, changed
                )
        except ABSENT:
            if NOT_YET not in answer.warnings:
                answer.warnings.append(NOT_YET)


def _left(step: Step, found: Tables, overlay: dict[str, str]) -> dict[str, str]:
    """What the step leaves of the tables, as queries in their place."""
    return {
        name: expose(query, {name: overlay.get(name, found[name])})
        for name, query in step.leaves.items()
        if name in found
    }


@contextlib.contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Keep a question that fails from ending the transaction, if there is one."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    with nullcontext() if connection.autocommit and idle else connection.transaction():
        yield


def require_clear(connection: Connection, route: Route, options: Options) -> None:
    """Raise Refused where any step of the route would be, before anything is changed.

    Where only a heal is refused, what is wrong is the schema: raises SchemaDrift. Raises
    WrongServer where the role does not own the tables.
    """
    with own_session(connection):
        steps = [step for move in route.moves for step in move.steps]
        # Of what a plain operation needs, the server knows more than we do.
        locked = {t for s in steps if not isinstance(s, Plain) for t in s.tables}
        require_owner(connection, resolve(connection, locked).values())
        refused = [a for a in preflight(connection, route, options) if a.refused]
    if not refused:
        return
    lines = [sentence for answer in refused for sentence in answer.refused]
    hints = list(dict.fromkeys(a.step.hint for a in refused if a.step.hint))
    hint = "; ".join(hints) or None
    if route.promised and all(answer.move.kind == HEAL for answer in refused):
        raise SchemaDrift(
            "\n  ".join(
                [
                    "the schema contradicts its revision:",
                    *drift(connection),
                    *(f"what would put it right is refused: {line}" for line in lines),
                ]
            ),
            hint=hint,
        )
    named = ", ".join(dict.fromkeys(answer.move.name for answer in refused))
    raise Refused(
        "\n  ".join([*dict.fromkeys(lines), f"refused by {named}; nothing was changed"]),
        hint=hint,
    )
