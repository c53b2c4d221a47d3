"""The schema contradicts the revision that the database says it has.

Hand edits, a failed CREATE INDEX CONCURRENTLY, a restore that left out constraints, or a
stamp without a look. What the schema no longer promises, the data will break: two
defaults, models without a provider, tombstones that are not whole. Read from the
catalogs by definition, for `alembic check` sees neither predicates nor validity.

There is no automatic repair. `sexton upgrade` does again what is missing of a revision
that the database has, as an index that is gone or INVALID; `sexton upgrade --plan` says
whether it can. Put back by hand what it cannot.
"""

from sexton.chat.project import PROJECT
from sexton.check import Check, Severity
from sexton.ddl import revisions
from sexton.upgrade.drift import facts

KNOWN = revisions.load(PROJECT.migrations)


def _values() -> str:
    rows = [
        f"({_text(fact.table)}, {fact.since}, {fact.until or len(KNOWN) + 1}, "
        f"{_text(fact.broken)}, ({fact.holds}))"
        for fact in facts()
    ]
    return ",\n            ".join(rows)


def _text(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


check = Check(
    __name__,
    severity=Severity.ERROR,
    table="pg_class",
    key=("relname",),
    message="{relname}: {broken}",
    reads={"sexton.alembic_version": ("version_num",)},
    find="""
        with revision (number, ordinal) as (
            values {REVISIONS}
        ), fact (relname, since, until, broken, holds) as (
            values {FACTS}
        )
        select f.relname, string_agg(f.broken, '; ' order by f.broken) as broken
        from sexton.alembic_version v
        join revision r on r.number = v.version_num::text
        join fact f on f.since <= r.ordinal and f.until > r.ordinal and not f.holds
        group by f.relname
        order by relname
    """.replace(
        "{REVISIONS}",
        ", ".join(f"({_text(r.number)}, {n})" for n, r in enumerate(KNOWN, 1)),
    ).replace("{FACTS}", _values()),
    manual_action="sexton upgrade does again what is missing of a revision, where it can; "
    "restore the rest by hand",
)
