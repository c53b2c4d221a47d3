"""Looking at one unit after another, and keeping what comes of each."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
from psycopg import errors

from sexton.audit import confirm, ranges, walk
from sexton.audit.blocked import blocked
from sexton.audit.facts import Facts
from sexton.audit.limits import SHARED_STATEMENT, Limits
from sexton.audit.outcome import Options, Outcome, outcome_of
from sexton.audit.queries import (
    BadCheck,
    Found,
    fetch,
    find_again,
    has_no_parents,
    require_unmoved,
)
from sexton.audit.ranges import cut_large
from sexton.audit.rewrites import Moved
from sexton.audit.units import Unit, plan_one
from sexton.check import Check
from sexton.database import Connection

PAGE = 100  # findings asked of a scan: fewer are counted without a second query

Watch = Callable[[str | Outcome | walk.Covered], None]


class Examiner:
    """What a run has found so far, by check; `facts` are to be set before it looks.

    `unconfirmed` holds the rows of the findings that are to be looked at twice, with the
    identities of those that their keys find.
    """

    def __init__(self, options: Options, limits: Limits, watch: Watch) -> None:
        self.options = options
        self.limits = limits
        self.watch = watch
        self.facts = Facts()
        self.outcomes: dict[str, Outcome] = {}
        self.unconfirmed: dict[str, tuple[list[dict[str, Any]], Counter[str]]] = {}
        self.moved: dict[str, str] = {}  # checks to be repeated, and why
        self.waited = False  # for a lock, in vain: not again for one that is held still
        self.walker = walk.Walker(limits, self._fetch, watch)

    def cut(self, connection: Connection, units: Sequence[Unit]) -> list[Unit]:
        """Cut the large scans among these units into pieces."""
        seconds = min(
            ranges.PIECE_SECONDS, (self.options.statement_timeout or math.inf) / 4
        )
        return cut_large(connection, units, self.facts, seconds)

    def take(self, connection: Connection, unit: Unit) -> None:
        """Look at one unit, and keep what comes of it; of a large scan, take a share."""
        for check in unit.checks:
            self.watch(check.name)
        if unit.cut and not self.walker.help(connection, unit.cut):
            return
        for outcome in self._outcomes(connection, unit):
            self.keep(outcome)

    def keep(self, outcome: Outcome) -> None:
        self.outcomes[outcome.check.name] = outcome
        self.watch(outcome)

    def _outcomes(self, connection: Connection, unit: Unit) -> Iterator[Outcome]:
        """Run one unit's statement and judge what it returns.

        An error makes its checks `incomplete`; it does not leave here.
        """
        [check, *others] = unit.checks
        scope = self.facts.scope(check)
        if unit.skipped:
            yield Outcome(check, "skipped", unit.skipped)
            return
        if unit.barred:
            why = self._moved(connection, check) or unit.barred
            yield Outcome(check, "incomplete", why, scope=scope)
            return
        if unit.enforced:
            why = f"enforced by CONSTRAINT {unit.enforced}"
            yield Outcome(check, "pass", why, "constraint", scope)
            return
        found: dict[str, Found] = {}
        refused: dict[str, str] = {}
        reason: str | None = None
        started = time.perf_counter()
        try:
            held = self.waited and not others and self._locked(connection, [check])
            if held:
                reason = held  # it was waited for already
            else:
                found, refused = self._fetch(connection, unit)
        except (psycopg.Error, BadCheck, Moved) as error:
            late = unit.cut and isinstance(error, errors.QueryCanceled)
            if others and not (late or self.limits.over or connection.closed):
                # One of them is at fault: the others must not suffer for it.
                for check in unit.checks:
                    alone = plan_one(check, self.facts, recheck=True)
                    [alone] = self.cut(connection, [alone]) if unit.cut else [alone]
                    if alone.cut:
                        self.walker.help(connection, alone.cut)
                    yield from self._outcomes(connection, alone)
                return
            reason = self._reason(connection, unit, error)
            if unit.cut:
                reason = walk.partly(unit.cut, reason)
        seconds = time.perf_counter() - started + (unit.cut.took if unit.cut else 0)
        elapsed = round(seconds * 1000, 3)
        for check, strategy in zip(unit.checks, unit.strategies, strict=True):
            if doubt := refused.get(check.name, reason):
                outcome = Outcome(check, "incomplete", doubt)
            else:
                outcome = self._outcome(connection, check, found[check.name])
            yield replace(
                outcome,
                strategy=strategy,
                scope=self.facts.scope(check),
                elapsed_ms=elapsed,
            )

    def _fetch(
        self, connection: Connection, unit: Unit
    ) -> tuple[dict[str, Found], dict[str, str]]:
        """What the checks found; and those whose findings are not to be believed."""
        twice = unit.twice and self.options.confirm_after
        # What an index finds is counted with its page, and no more of it is needed.
        page = 1 if unit.settings else PAGE
        limit = max(self.options.sample, confirm.LIMIT if twice else page)
        if unit.cut:
            if unit.cut.error or not unit.cut.whole:
                raise unit.cut.error or errors.QueryCanceled
            return walk.result(connection, unit.cut, self.facts, limit)
        joined = len(unit.checks) > 1 and not unit.hits
        at_most = min(SHARED_STATEMENT, self.limits.left / 4) if joined else math.inf
        grant = partial(self.limits.grant, connection, at_most)
        grant()
        with connection.transaction():
            found = fetch(connection, unit, limit, self.options.known, self.facts, grant)
            return found, {
                check.name: f"{check.parent} is empty, which would make an orphan "
                "of every row: that is not believed"
                for check in unit.checks
                if found[check.name].count and has_no_parents(connection, check, self.facts)
            }

    def _outcome(self, connection: Connection, check: Check, found: Found) -> Outcome:
        try:
            outcome = outcome_of(check, found, self.options.sample)
        except BadCheck as error:
            return Outcome(check, "incomplete", self._why(error))
        if outcome.count and check.parent:
            findable = self._findable(connection, check, found)
            self.unconfirmed[check.name] = found.rows, findable
        return outcome

    def _findable(self, connection: Connection, check: Check, found: Found) -> Counter[str]:
        """Which of the rows their keys find now, when they are there."""
        if not self.options.confirm_after:
            return Counter()
        try:
            self.limits.grant(connection)
            with connection.transaction():
                return find_again(connection, check, self.facts, found.rows)
        except (psycopg.Error, BadCheck, Moved):
            return Counter()

    def _reason(
        self, connection: Connection, unit: Unit, error: psycopg.Error | BadCheck | Moved
    ) -> str:
        """Why a unit could not be looked at; notes what is to be looked at again."""
        if isinstance(error, Moved):
            self.moved |= {check.name: str(error) for check in unit.checks}
            return str(error)
        if connection.closed or isinstance(error, BadCheck | errors.SerializationFailure):
            return self._why(error)
        for check in unit.checks:
            if why := self._moved(connection, check):
                return why
        if isinstance(error, errors.LockNotAvailable):
            self.waited = True
            return self._locked(connection, unit.checks) or self._why(error)
        return self._why(error)

    def _moved(self, connection: Connection, check: Check) -> str | None:
        """Why the check is to be repeated: its tables are not what the snapshot sees."""
        try:
            with connection.transaction():
                require_unmoved(connection, self.facts, [check])
        except Moved as error:
            self.moved[check.name] = str(error)
            return str(error)
        except psycopg.Error:
            return None
        return None

    def _locked(self, connection: Connection, checks: Sequence[Check]) -> str | None:
        """Which of the checks' tables are locked now, and by whom."""
        try:
            with connection.transaction():
                found = blocked(connection, self.facts.seen, self.facts.roots(checks))
        except psycopg.Error:
            return None
        said = [
            f"{', '.join(sorted(self.facts.names([oid])))} is locked: {who}"
            for oid, who in found.items()
        ]
        return "; ".join(sorted(said)) or None

    def _why(self, error: psycopg.Error | BadCheck) -> str:
        if isinstance(error, BadCheck):
            return f"the check contradicts itself: {error}"
        return self.limits.why(error)

    def confirm(self, connection: Connection) -> None:
        """On a new snapshot, keep those findings that are findings still."""
        for name, (rows, findable) in list(self.unconfirmed.items()):
            first = self.outcomes[name]
            self.watch(name)
            try:
                self.limits.grant(connection)
                with connection.transaction():
                    still = find_again(connection, first.check, self.facts, rows)
            except Moved as error:
                self.moved[name] = str(error)
                outcome = confirm.unconfirmed(first, str(error))
            except (psycopg.Error, BadCheck) as error:
                if connection.closed:
                    raise
                unit = Unit((first.check,))
                why = self._reason(connection, unit, error)
                outcome = confirm.unconfirmed(first, why)
            else:
                outcome = confirm.confirmed(
                    *(first, rows, findable, still),
                    sample=self.options.sample,
                    after=self.options.confirm_after,
                )
            del self.unconfirmed[name]
            self.keep(outcome)
