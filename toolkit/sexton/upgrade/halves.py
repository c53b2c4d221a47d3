"""Halves: what an interrupted walk has left of a team's revision.

The version table says that the database is at a revision, though part of it was reverted,
or part of the next one exists. If `sexton.begun` has the interrupted walk, the next one in
either direction first completes or reverts it, as a move of its own. If it does not, or if
plain operations may be missing, into which nobody can look, it is reported with the
commands that finish it: what exists may be somebody's, and is not dropped unasked.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import ScriptDirectory

from sexton.ddl.begun import was_made
from sexton.ddl.questions import is_done
from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step
from sexton.errors import Refused
from sexton.text.printable import printable
from sexton.upgrade.plain import Plain, refused
from sexton.upgrade.preflight import ABSENT, savepoint
from sexton.upgrade.route import BASE, HEAL, Move

Record = Callable[[RevisionStep], tuple[Step, ...]]


def heals(
    driver: Driver,
    script: ScriptDirectory,
    heads: Sequence[str],
    direction: str,
    record: Record,
) -> tuple[list[Move], list[str]]:
    """The moves that complete or revert what was interrupted, and what is only reported.

    On the way up they make what is missing of the revisions that the database is at; on
    the way down they revert what exists of the next ones. Reads only.
    """
    names = list(heads)
    if direction == "down":
        found: list[Any] = [script.get_revision(head) for head in heads]
        names = [n for head in found for n in head.nextrev] if heads else script.get_bases()
    at = ", ".join(sorted(heads)) or None
    moves, reported = [], []
    for name in names:
        revision: Any = script.get_revision(name)
        made = MigrationStep.upgrade_from_script(script.revision_map, revision)
        back = MigrationStep.downgrade_from_script(script.revision_map, revision)
        way, other = (made, back) if direction == "up" else (back, made)
        first = "downgrade" if direction == "up" else "upgrade"
        steps = record(way)
        # What is dropped may never have been made: that is no mistake here.
        ours = [replace(step, absent=()) for step in steps if not isinstance(step, Plain)]
        left = [s.title for s in ours if s.question and not _is_done(driver, s)]
        begun = was_made(driver, at or "", f"{first} of {name}")
        if not (left or begun):
            continue
        finish = (
            f"sexton {first} {_goal(revision, first)}, "
            f"then sexton {'upgrade' if direction == 'up' else 'downgrade'}"
        )
        if not begun:
            part = "not all there" if direction == "up" else "still there in part"
            reported.append(
                f"revision {printable(name)} is {part}: nobody did "
                f'"{printable(left[0])}"; if its {first} was interrupted: {finish}'
            )
            continue
        title = f"{name} again" if direction == "up" else f"half of {name}"
        walked = [isinstance(step, Plain) for step in record(other)]
        if sorted(walked) != walked or not all(step.question for step in ours):
            error = Refused(
                f"the {first} of {printable(name)} was interrupted, and some of its "
                "operations cannot be looked into",
                hint=finish,
            )
            ours = [refused(f"complete the {first} of {name}", error)]
        elif not left:
            continue
        moves.append(Move(HEAL, printable(title), at, at, tuple(ours)))
    return moves, reported


def _goal(revision: Any, first: str) -> str:
    if first == "upgrade":
        return str(revision.revision)
    below = revision.down_revision
    return BASE if below is None else below if isinstance(below, str) else below[0]


def _is_done(driver: Driver, step: Step) -> bool:
    with own_session(driver), contextlib.suppress(*ABSENT), savepoint(driver):
        return is_done(driver, step)
    return False
