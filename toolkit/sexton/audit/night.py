"""A night: large scans that go on where the last run left them, as far as a budget lets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from sexton.audit import team, walk
from sexton.audit.cursor import Cursor
from sexton.audit.facts import Facts
from sexton.audit.outcome import Options, Outcome, outcome_of
from sexton.audit.queries import Found, find_again
from sexton.audit.ranges import Cut
from sexton.check import Check
from sexton.database import Connection, rows

LIMIT = 10_000  # findings of a check that are looked at again

IDENTITY = """
    select d.datname::pg_catalog.text as name, d.oid::pg_catalog.int8 as oid
    from pg_catalog.pg_database d
    where d.datname = pg_catalog.current_database()
"""


@dataclass
class Night:
    """One run's share of the large scans; `piece_snapshot` opens one."""

    walker: walk.Walker
    cursor: Cursor
    facts: Facts
    options: Options
    piece_snapshot: Callable[[Connection], AbstractContextManager[None]]

    def walk(
        self, connection: Connection, connect: team.Connect | None, cuts: Sequence[Cut]
    ) -> Iterator[Outcome]:
        """Take pieces until the budget is spent; say what the pass has found so far."""
        with self.piece_snapshot(connection):
            [database] = rows(connection, IDENTITY)
        self.cursor.begin(database)
        for cut in cuts:
            before = self.cursor.resume(cut)

            def work(member: Connection, cut: Cut = cut) -> None:
                self.walker.help(
                    *(member, cut),
                    enough=lambda: self.cursor.spent,
                    landed=lambda _: self.cursor.note(cut),
                    around=self.piece_snapshot,
                )

            jobs = self.options.jobs if connect else 1
            team.on_each(connection, connect, jobs, self.walker.limits, work)
            yield from self._outcomes(connection, cut, before)

    def _outcomes(
        self, connection: Connection, cut: Cut, before: Sequence[dict[str, Any]]
    ) -> Iterator[Outcome]:
        with self.piece_snapshot(connection):
            found, refused = walk.result(connection, cut, self.facts, LIMIT)
            still: dict[str, list[dict[str, Any]]] = {}
            for check in cut.unit.checks:
                listed = [row for row in before if row["check"] == check.name]
                listed = _once([*listed, *found[check.name].rows])
                still[check.name] = self._still(connection, check, listed)
        covered = cut.covered
        whole, said = self.cursor.verdict(cut)
        last = self.cursor.last_full_pass(cut)
        for check in cut.unit.checks:
            outcome = self._outcome(check, found[check.name], still[check.name], cut)
            doubt = refused.get(check.name) or self._why(cut)
            if doubt or not (whole or outcome.status == "fail"):
                outcome = replace(outcome, status="incomplete")
            yield replace(
                outcome,
                reason="; ".join(filter(None, (doubt, said, outcome.reason))),
                covered=covered,
                last_full_pass=last,
            )
        self.cursor.finish(cut, still)

    def _why(self, cut: Cut) -> str | None:
        if isinstance(cut.error, psycopg.Error):
            return self.walker.limits.why(cut.error)
        return str(cut.error) if cut.error else self.walker.limits.stopped or None

    def _outcome(
        self, check: Check, found: Found, still: list[dict[str, Any]], cut: Cut
    ) -> Outcome:
        known = set(self.options.known.get(check.name, ()))
        marked = [{**row, "_known": row["_identity"] in known} for row in still]
        amount = Found(marked, len(marked), sum(row["_known"] for row in marked))
        outcome = outcome_of(check, amount, self.options.sample)
        exact = cut.whole and found.count == len(found.rows)
        index = cut.unit.checks.index(check)
        return replace(
            outcome,
            count_is="exact" if exact else "at_least",
            strategy=cut.unit.strategies[index],
            scope=self.facts.scope(check),
            elapsed_ms=round(cut.took * 1000, 3),
        )

    def _still(
        self, connection: Connection, check: Check, listed: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Those rows that are findings still, in the database's order."""
        if not listed:
            return []
        again = find_again(connection, check, self.facts, listed)
        left = [row for row in listed if row["_identity"] in again]
        return walk.in_order(connection, check, self.facts, left)


def _once(listed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row once, though two nights have seen it."""
    return list({row["_identity"]: row for row in listed}.values())
