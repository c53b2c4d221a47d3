"""The guards that declared references lack, or have against the declaration."""

import contextlib
from collections.abc import Mapping

from sexton.catalog.relations import Relation
from sexton.database import Connection
from sexton.derived import guards as declared_guards
from sexton.errors import Refused, UsageError, WrongSchema
from sexton.guard.binding import bind, immutable
from sexton.guard.definition import Guard
from sexton.guard.operations import AddGuard, DropGuard
from sexton.guard.selection import undeclared
from sexton.guard.spec import GuardSpec, columns_of, table_and_columns
from sexton.guard.status import SET, status
from sexton.reference import Declarations, Reference
from sexton.revision.change import Change, change
from sexton.revision.conditions import calls_others


class Guards:
    """The guards of a database, beside those that are declared."""

    def __init__(
        self,
        connection: Connection,
        declared: Declarations,
        relations: Mapping[str, Relation],
    ) -> None:
        self.connection, self.declared = connection, declared
        self.relations = relations
        self.there = undeclared(connection, [])
        self.notes: list[str] = []

    def changes(self, ref: Reference) -> tuple[list[Change], list[Change]]:
        """What sets a reference's guard, and what drops it.

        Raises Refused where PostgreSQL cannot, UsageError where none can be named.
        """
        was = self._found(ref)
        if ref.guard is True:
            return self._add(ref, was), []
        if was is None:
            return [], []
        if ref.guard is False:
            gone = DropGuard(_as_was(was, ref))
            return [], [change(f"drop the guard of {ref.label}", gone)]
        self.notes.append(
            f"the guard of {ref.label} is there, and the project file says nothing of it: "
            "guard = true keeps it, guard = false drops it"
        )
        return [], []

    def _found(self, ref: Reference) -> Guard | None:
        """The guard that is there of a reference, whole or not."""

        def about(guard: Guard) -> bool:
            sides = ((guard.child, ref.source), (guard.parent, ref.target))
            return all(
                side.table.sql == self.relations[end.table].sql
                and side.columns == end.columns
                for side, end in sides
            )

        return next(filter(about, self.there), None)

    def _add(self, ref: Reference, was: Guard | None) -> list[Change]:
        only = Declarations(soft_delete=self.declared.soft_delete, reference=(ref,))
        [spec] = declared_guards(only)
        wanted = None
        # Of columns that are still to be made nothing can be asked yet.
        with contextlib.suppress(WrongSchema):
            wanted = bind(self.connection, spec, self.relations)
            if was and status(self.connection, wanted)["guard"] == SET:
                return []
            immutable(self.connection, wanted)
        _require_said(ref)
        what = f"set the guard of {spec.label}"
        if was is None or (wanted and _conditions(was) == _conditions(wanted)):
            return [change(what, AddGuard(spec))]
        before = DropGuard(_as_was(was, ref))
        return [
            Change(
                f"{what} for other rows than before",
                (before, AddGuard(spec)),
                (DropGuard(spec), before.reverse()),
                "Nothing guards between the two: repair what came in meanwhile.",
            )
        ]


def _conditions(guard: Guard) -> tuple[str, str]:
    return guard.child.condition, guard.parent.condition


def _require_said(ref: Reference) -> None:
    """Insist that an operation can name the columns; raises UsageError."""
    for end in (ref.source, ref.target):
        said = columns_of(end.table, end.columns)
        if table_and_columns(said) != (end.table, end.columns):
            raise UsageError(
                f"op.add_guard cannot name {said}", hint="set it by hand: sexton guard add"
            )


def _as_was(was: Guard, ref: Reference) -> GuardSpec:
    """A guard that is there, to be set again; raises Refused where nobody can say it."""
    _require_said(ref)
    live, parent_live = _conditions(was)
    if calls_others(live) or calls_others(parent_live) or not (live or parent_live):
        raise Refused(
            f"the guard of {ref.label} is not whole, or calls functions of its own: no "
            "operation could set it again",
            hint="sexton guard remove takes it away",
        )
    source, target = ref.source, ref.target
    ends = (source.table, source.columns, target.table, target.columns)
    return GuardSpec(*ends, live=live, parent_live=parent_live)
