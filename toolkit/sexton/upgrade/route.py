"""Route: the moves from where a database is to where it shall be.

One route serves upgrade and downgrade, their plan and their script. A move is a revision,
the guard in its place, or a *heal*: steps of revisions that the database says it has, but
whose result is not there, or half of the next revision where the way does not lead on to
it. A walk that was interrupted one way can so be finished or reversed the other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sexton.catalog import schema
from sexton.catalog.relations import resolve
from sexton.database import Connection
from sexton.ddl import revisions
from sexton.ddl.questions import is_done
from sexton.ddl.revisions import Revision
from sexton.ddl.session import own_session
from sexton.ddl.steps import Step
from sexton.errors import UsageError, WrongSchema
from sexton.guard.change import planned
from sexton.guard.definition import Guard
from sexton.guard.spec import GuardSpec
from sexton.guard.status import anything
from sexton.project import Project, current
from sexton.upgrade.drift import drift_at

BASE = "base"
GUARD = "guard"  # stands among the revisions applied, in its place
REVISION, HEAL = "revision", "heal"


@dataclass(frozen=True)
class Move:
    """Some steps, from one revision to another; for a guard and a heal they are the same.

    `kind` is `revision`, `guard` or `heal`.
    """

    kind: str
    name: str
    start: str | None
    end: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Route:
    """The moves, in order. `direction` is `up` or `down`; None is the base."""

    direction: str
    start: str | None
    goal: str | None
    moves: tuple[Move, ...]
    promised: ClassVar[bool] = True  # what each revision results in is known

    @property
    def reported(self) -> tuple[str, ...]:
        """What seems to be left of an interrupted walk; nothing if a move heals it."""
        return ()

    @property
    def revisions(self) -> list[str]:
        """The revisions that it applies or reverts."""
        return [move.name for move in self.moves if move.kind == REVISION]

    @property
    def tables(self) -> list[str]:
        """The tables that its steps lock."""
        return [t for move in self.moves for step in move.steps for t in step.tables]


def known(project: Project | None = None) -> tuple[Revision, ...]:
    """The project's revisions, the oldest first."""
    return revisions.load((project or current()).migrations)


def require_fit(connection: Connection) -> None:
    """Raise WrongSchema if the project is not for a change of this database's schema."""
    if error := current().unfit(connection, schema_change=True):
        raise error


def resolved(target: str) -> str:
    """The revision that `target` means now, if it is a head; any other as it is."""
    if target not in ("head", "heads"):
        return target
    project = current()
    if project.alembic is None:
        numbers = [revision.number for revision in known()]
        return numbers[-1] if numbers else target
    from alembic.script import ScriptDirectory

    from sexton.declarations.environment import own_environment
    from sexton.online.team_code import require_revisions

    script = ScriptDirectory.from_config(own_environment(project))
    require_revisions(script)
    return ", ".join(sorted(script.get_heads())) or target


def find_route(
    connection: Connection, direction: str, target: str, *, guarded: bool = False
) -> Route:
    """The route to `target`: a revision, `head`, or, on the way down, `base`.

    With `guarded`, the guard is set on the way up, in its place. Raises UsageError for
    an unknown target or one that lies the other way, WrongSchema for a database that is
    not ours. Reads only.
    """
    require_fit(connection)
    numbers = [revision.number for revision in known()]
    goal = _count(numbers, target, direction)
    with own_session(connection):
        start = _start(connection, numbers)
        if direction == "up" and start > goal:
            raise UsageError(
                f"the database is at {numbers[start - 1]}, which is newer than {target}: "
                "there is nothing to upgrade",
                hint="use the release that belongs to it; a downgrade is a command of its "
                "own, and loses what sexton downgrade --help says",
            )
        if direction == "down" and goal > start:
            at = numbers[start - 1] if start else BASE
            raise UsageError(
                f"the database is at {at}, which is older than {target}",
                hint=f"sexton upgrade {target}",
            )
        moves = _moves(direction, start, goal)
        moves = _with_guard(connection, moves, direction, start, goal, guarded)
        return Route(
            direction,
            _number(numbers, start),
            _number(numbers, goal),
            (*_heals(connection, direction, start, goal), *moves),
        )


def _count(numbers: list[str], target: str, direction: str) -> int:
    """How many revisions the database has at the target."""
    if target == BASE and direction == "down":
        return 0
    if target == "head":
        return len(numbers)
    if target not in numbers:
        also = BASE if direction == "down" else "head"
        raise UsageError(
            f"there is no revision {target!r}",
            hint=f"choose one of {', '.join(numbers)}, {also}",
        )
    return numbers.index(target) + 1


def _start(connection: Connection, numbers: list[str]) -> int:
    # Before the revision: another upgrade may commit both together between the looks.
    there = resolve(connection, revisions.tables(known()))
    at = current_revision(connection)
    if at is None and there:
        raise WrongSchema(
            f"{sorted(there)[0]} exists, but no revision is recorded for it",
            hint=schema.UNRECORDED,
        )
    return numbers.index(at) + 1 if at else 0


def current_revision(connection: Connection) -> str | None:
    """The database's revision, or None; raises WrongSchema for one we do not know."""
    at = schema.revision(connection)
    if at is not None and at not in [revision.number for revision in known()]:
        raise WrongSchema(
            f"the database is at revision {at!r}, which this Sexton does not know",
            hint="use the Sexton that made it, or a newer one",
        )
    return at


def _number(numbers: list[str], count: int) -> str | None:
    return numbers[count - 1] if count else None


def _moves(direction: str, start: int, goal: int) -> list[Move]:
    found = known()
    if direction == "up":
        return [
            Move(REVISION, r.number, r.below, r.number, r.up) for r in found[start:goal]
        ]
    return [
        Move(REVISION, r.number, r.number, r.below, r.down)
        for r in reversed(found[goal:start])
    ]


def _heals(connection: Connection, direction: str, start: int, goal: int) -> list[Move]:
    found = known()
    at = found[start - 1].number if start else None
    moves = []
    if (direction == "down" or goal == start) and 0 < start < len(found):
        half = found[start]
        if drift_at(connection, start) and (todo := _todo(connection, half.down)):
            moves.append(Move(HEAL, f"half of {half.number}", at, at, todo))
    if direction == "up":
        for revision in found[:start]:
            if todo := _todo(connection, revision.up):
                moves.append(Move(HEAL, f"{revision.number} again", at, at, todo))
    return moves


def _todo(connection: Connection, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """All of the steps, where one of them is not done: it may need the others."""
    return () if all(is_done(connection, step) for step in steps) else steps


def _with_guard(
    connection: Connection,
    moves: list[Move],
    direction: str,
    start: int,
    goal: int,
    guarded: bool,
) -> list[Move]:
    """The moves, and the guard where it belongs: never without it or the plain key.

    On the way up it comes, if `guarded`, while the plain key stands; on the way down it
    goes, if it is there, once the plain key is back.
    """
    found = known()
    guards = {revision.guard: n for n, revision in enumerate(found, 1) if revision.guard}
    before = guards.get("before", len(found) + 1)
    if direction == "up":
        if not guarded:
            return moves
        if goal < guards.get("possible", 0):
            raise UsageError(
                f"a guard needs tombstones, and {_name(goal)} has none",
                hint=f"sexton upgrade {_name(guards['possible'])} --guard",
            )
        index = max(0, min(before - 1, goal) - start)
    else:
        if not moves or goal >= before or not guard_is_there(connection):
            return moves
        index = max(0, start - before + 1)
    at = moves[index - 1].end if index else _name(start)
    move = Move(GUARD, GUARD, at, at, guard_steps(connection, direction))
    return [*moves[:index], move, *moves[index:]]


def _name(count: int) -> str | None:
    return known()[count - 1].number if count else None


def guard_is_there(connection: Connection) -> bool:
    """Whether there is anything of a guard."""
    try:
        return anything(connection, *current().guards)
    except WrongSchema:
        return False


def guard_steps(
    connection: Connection,
    direction: str,
    guards: Sequence[GuardSpec | Guard] | None = None,
) -> tuple[Step, ...]:
    """What sets guards, or takes them away: of the project, if not of others."""
    chosen = current().guards if guards is None else guards
    verb = "add" if direction == "up" else "remove"
    return tuple(step for one in chosen for step in planned(connection, verb, one))


def guard_route(
    connection: Connection, verb: str, guards: Sequence[GuardSpec | Guard]
) -> Route:
    """What `guard add` or `guard remove` do, as a route of one move."""
    direction = "up" if verb == "add" else "down"
    with own_session(connection):
        at = current_revision(connection)
        steps = guard_steps(connection, direction, guards)
    return Route(direction, at, at, (Move(GUARD, GUARD, at, at, steps),))
