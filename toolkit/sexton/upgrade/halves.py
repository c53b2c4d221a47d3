"""Halves: what a walk that was interrupted has left of a team's revision.

The database's word is that it is at a revision; whoever turns round there finds nothing
to do, though a part of that revision is gone, or a part of the next one there already.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import ScriptDirectory

from sexton.database import Connection
from sexton.ddl.options import Options
from sexton.text.printable import printable
from sexton.upgrade.plain import Plain
from sexton.upgrade.preflight import preflight

if TYPE_CHECKING:
    from sexton.upgrade.own import OwnRoute


def near_steps(
    script: ScriptDirectory, heads: Sequence[str], direction: str
) -> list[RevisionStep]:
    """The ways up to these heads, or for a downgrade the ways down to them.

    Of all these nothing should be left to do where the database is at the heads.
    """
    make, names = MigrationStep.upgrade_from_script, list(heads)
    if direction == "down":
        make = MigrationStep.downgrade_from_script
        found: list[Any] = [script.get_revision(head) for head in heads]
        names = [n for head in found for n in head.nextrev] if heads else script.get_bases()
    revisions: list[Any] = [script.get_revision(name) for name in names]
    return [make(script.revision_map, revision) for revision in revisions]


def halves(connection: Connection, route: "OwnRoute", options: Options) -> list[str]:
    """A sentence for each revision of which a part alone is there. Reads only."""
    first, part = "upgrade", "still there"
    if route.direction == "up":
        first, part = "downgrade", "not all there"
    found = []
    for move in route.near:
        answers = preflight(connection, replace(route, moves=(move,)), options)
        left = [
            a.step.title
            for a in answers
            if a.done is False and not isinstance(a.step, Plain)
        ]
        if left:
            found.append(
                f"revision {printable(move.name)} is {part}: nobody did "
                f'"{printable(left[0])}"; if its {first} was interrupted, finish that '
                "first, then run this again"
            )
    return found
