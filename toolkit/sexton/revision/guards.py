"""The guards that declared references lack, or have against the declaration."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from sexton.catalog.relations import Relation
from sexton.condition import beyond
from sexton.database import Connection
from sexton.derived import guards as declared_guards
from sexton.errors import Refused, UsageError, WrongSchema
from sexton.guard.binding import bind, immutable
from sexton.guard.definition import Guard
from sexton.guard.operations import AddGuard, DropGuard
from sexton.guard.replacing import with_deferrability
from sexton.guard.selection import undeclared
from sexton.guard.spec import GuardSpec, columns_of, table_and_columns
from sexton.guard.status import SET, status
from sexton.online.operation import Online
from sexton.reference import Declarations, Reference
from sexton.revision.change import Change, change


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
            gone = DropGuard(**self._as_was(was, ref).given)
            return [], [change(f"drop the guard of {ref.label}", gone)]
        self.notes.append(
            f"the guard of {ref.label} is there, and the project file says nothing of it: "
            "guard = true keeps it, guard = false drops it"
        )
        return [], []

    def _found(self, ref: Reference) -> Guard | None:
        """The guard that is there of a reference, whole or not."""

        def pairs(mine: tuple[str, ...], theirs: tuple[str, ...]) -> set[tuple[str, str]]:
            return set(zip(mine, theirs, strict=True))

        def about(guard: Guard) -> bool:
            sides = ((guard.child, ref.source), (guard.parent, ref.target))
            return all(
                side.table.sql == self.relations[end.table].sql for side, end in sides
            ) and pairs(guard.spec.columns, guard.spec.parent_columns) == pairs(
                ref.source.columns, ref.target.columns
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
            # Written down, for --sql and for the way down the key may be gone by then.
            said = with_deferrability(self.connection, wanted).spec.deferrable
            spec = replace(spec, deferrable=said if said != "no" else spec.deferrable)
        _require_said(ref)
        what = f"set the guard of {spec.label}"
        same = wanted is not None and was is not None and _alike(was, wanted)
        if was is None or (same and was.spec.deferrable == (spec.deferrable or "no")):
            return [change(what, AddGuard(**spec.given))]
        before, after = self._as_was(was, ref), AddGuard(**spec.given)
        up: list[Online] = [after]
        down: list[Online] = [AddGuard(**before.given)]
        if before.columns != spec.columns:
            # In another order its parts have other names: the two stand beside each other.
            up.append(DropGuard(**before.given))
            down.append(DropGuard(**spec.given))
        why = "to be checked at another time" if same else "for other rows than before"
        return [Change(f"{what} {why}", tuple(up), tuple(down))]

    def _as_was(self, was: Guard, ref: Reference) -> GuardSpec:
        """A guard that is there, to be set again; Refused where nobody can say it."""
        _require_said(ref)
        live, parent_live = _conditions(was)
        # What an owner wrote would run with the rights of whoever sets it again.
        foreign = any(beyond(self.connection, text) for text in (live, parent_live))
        if foreign or not (live or parent_live):
            raise Refused(
                f"the guard of {ref.label} is not whole, or calls functions of its own: no "
                "operation could set it again",
                hint="sexton guard remove takes it away",
            )
        # Its name holds the columns in the order in which it was set.
        child = (ref.source.table, was.spec.columns)
        parent = (ref.target.table, was.spec.parent_columns)
        said = was.spec.deferrable
        return GuardSpec(
            *child,
            *parent,
            live=live,
            parent_live=parent_live,
            deferrable=None if said == "no" else said,
        )


def _conditions(guard: Guard) -> tuple[str, str]:
    return guard.child.condition, guard.parent.condition


def _alike(one: Guard, other: Guard) -> bool:
    """Whether both count the same rows; the catalogs quote a name only if they must."""
    pairs = zip(_conditions(one), _conditions(other), strict=True)
    return all(a.replace('"', "") == b.replace('"', "") for a, b in pairs)


def _require_said(ref: Reference) -> None:
    """Insist that an operation can name the columns; raises UsageError."""
    for end in (ref.source, ref.target):
        said = columns_of(end.table, end.columns)
        if table_and_columns(said) != (end.table, end.columns):
            raise UsageError(
                f"op.add_guard cannot name {said}", hint="set it by hand: sexton guard add"
            )
