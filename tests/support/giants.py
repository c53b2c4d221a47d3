"""Tables that scans are cut over, made small: what is large is told otherwise."""

from typing import Any

import pytest

from sexton.audit import ranges
from sexton.audit.auditor import run_checks
from sexton.audit.outcome import Options, Outcome
from sexton.audit.walk import Covered
from sexton.check import Check, Reference, Severity
from sexton.database import Connection, connect

TABLES = """
    create table parent (id int primary key, dead_since timestamptz);
    create table child (
        id bigint primary key, parent_id int, at timestamptz not null default now(),
        flag boolean not null default false, filler text not null default repeat('x', 200)
    );
    insert into parent select n, case when n % 10 = 0 then '2026-01-01'::timestamptz end
    from generate_series(1, 50) n;
    insert into child (id, parent_id, at, flag)
    select n,
           case when n % 400 = 0 then 1000 + n else 1 + n % 50 end,
           '2025-12-31'::timestamptz + n * interval '1 minute',
           n % 500 = 0
    from generate_series(1, 4000) n;
    analyze parent, child
"""


def make(connection: Connection, tables: str = TABLES) -> None:
    """Make parent and child: some 130 pages, 10 orphans, 8 flags, no index on the child."""
    connection.execute(tables)


def check(name: str, **more: Any) -> Check:
    """A check of `child`."""
    return Check(
        f"tests.{name}",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="child {id} is wrong",
        **more,
    )


ORPHANS = check("child_without_parent", reference=Reference("parent_id", "parent", "id"))
FLAGGED = check("child_flagged", where="this.flag")
LATE = check(
    "child_after_death",
    joins=Reference("parent_id", "parent", "id"),
    where="parent.dead_since is not null and parent.dead_since < this.at",
    reads={"parent": ("dead_since",), "child": ("at",)},
)
CHECKS = (ORPHANS, FLAGGED, LATE)


def call_small_large(monkeypatch: pytest.MonkeyPatch, pages: int = 16) -> None:
    """Cut every scan of more than `pages`, into pieces of 8 pages at first."""
    from sexton.audit import units

    monkeypatch.setattr(ranges, "LARGE_SCAN", pages)
    monkeypatch.setattr(ranges, "FIRST", 8)
    monkeypatch.setattr(ranges, "SMALLEST", 1)
    monkeypatch.setattr(units, "LARGE", 8)


def options(**more: Any) -> Options:
    """Options for looking once, at everything."""
    return Options(**{"confirm_after": 0, "recheck": True, "sample": 10_000, **more})


def by_check(outcomes: list[Outcome]) -> dict[str, Any]:
    """What outcomes say, without how they were come by."""
    return {
        o.check.name: (o.status, o.count, [f.key["id"] for f in o.findings])
        for o in outcomes
    }


def run(connection, *checks, url=None, watch=lambda _: None, **more):
    opener = (lambda: connect(url, name="tests", read_only=True)) if url else None
    _, outcomes = run_checks(
        *(connection, checks, options(**more)), connect=opener, watch=watch
    )
    return outcomes


def pieces(watched):
    return [what.part for what in watched if isinstance(what, Covered)]
