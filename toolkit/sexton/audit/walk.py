"""Walking a large scan piece by piece, alone or with others, and what it amounts to."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors

from sexton.audit.facts import Facts
from sexton.audit.limits import Limits
from sexton.audit.queries import BadCheck, Found
from sexton.audit.ranges import Cut, Piece, piece_of
from sexton.audit.rewrites import Moved
from sexton.audit.units import Unit
from sexton.catalog.identifiers import identifier
from sexton.check import Check
from sexton.database import Connection, rows
from sexton.text import exact

Fetch = Callable[[Connection, Unit], tuple[dict[str, Found], dict[str, str]]]


@dataclass(frozen=True)
class Covered:
    """How far a large scan has come: its checks, and the part from 0 to 1."""

    checks: tuple[str, ...]
    part: float


@dataclass
class Walker:
    """Takes pieces of large scans; `fetch` looks at one, `watch` hears how far it came."""

    limits: Limits
    fetch: Fetch
    watch: Callable[[Any], None]

    def help(
        self,
        connection: Connection,
        cut: Cut,
    ) -> bool:
        """Take pieces until none is left; true for who ends the walk.

        An error ends it for all; it is kept in the cut.
        """
        if not cut.join():
            return False
        try:
            while not (self.limits.over or cut.error):
                piece = cut.take()
                if piece is None:
                    break
                self._fetch_piece(connection, cut, piece)
        except (psycopg.Error, BadCheck, Moved) as error:
            cut.error = error
        return cut.leave()

    def _fetch_piece(self, connection: Connection, cut: Cut, piece: Piece) -> None:
        began = time.perf_counter()
        try:
            found = self.fetch(connection, piece_of(cut, piece))
        except errors.QueryCanceled as error:
            timeout = "statement timeout" in str(error) and not self.limits.over
            if timeout and cut.too_long(piece):
                return
            raise
        cut.landed(piece, found, time.perf_counter() - began)
        names = tuple(check.name for check in cut.unit.checks)
        self.watch(Covered(names, cut.covered))


def result(
    connection: Connection, cut: Cut, facts: Facts, limit: int
) -> tuple[dict[str, Found], dict[str, str]]:
    """What the pieces found together, and those findings that are not to be believed."""
    found: dict[str, Found] = {}
    refused: dict[str, str] = {}
    for check in cut.unit.checks:
        parts = [one[check.name] for one, _ in cut.found if one[check.name].count]
        listed = [row for part in parts for row in part.rows]
        if len(parts) > 1:
            listed = in_order(connection, check, facts, listed)
        known = [row for row in listed if row["sexton known"]]
        fresh = [row for row in listed if not row["sexton known"]][:limit]
        found[check.name] = Found(
            known + fresh,
            sum(part.count for part in parts),
            sum(part.known for part in parts),
        )
        for _, doubts in cut.found:
            if check.name in doubts:
                refused[check.name] = doubts[check.name]
    return found, refused


def in_order(
    connection: Connection, check: Check, facts: Facts, listed: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows by their key, in the database's order and not Python's."""
    if not check.key:
        return list(listed)
    keys = ", ".join(f"r.{identifier(name)}" for name in check.key).replace("%", "%%")
    query: Any = f"""
        select l.ordinal::pg_catalog.int4 as ordinal
        from pg_catalog.jsonb_array_elements(%s::pg_catalog.jsonb)
            with ordinality as l (line, ordinal)
        cross join lateral pg_catalog.jsonb_populate_record(
            null::{facts.tables[check.table].sql}, l.line
        ) as r
        order by {keys}, l.ordinal
    """  # noqa: S608 - a quoted name, and the check's own
    wanted = exact.canonical([{name: row[name] for name in check.key} for row in listed])
    return [listed[row["ordinal"] - 1] for row in rows(connection, query, wanted)]


def partly(cut: Cut, why: str) -> str:
    """The reason of checks that did not come to an end."""
    number = sum(part.count for found, _ in cut.found for part in found.values())
    so_far = f", {number:,} found so far" if number else ""
    return f"{why}; covered {cut.covered:.0%}{so_far}"
