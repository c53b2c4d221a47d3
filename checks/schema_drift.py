"""The schema contradicts the revision that the database says it has.

Hand edits, a failed CREATE INDEX CONCURRENTLY, a restore that left out constraints, or a
stamp without a look. What the schema no longer promises, the data will break: two
defaults, models without a provider, tombstones that are not whole. Read from the
catalogs by definition, for `alembic check` sees neither predicates nor validity.

There is no automatic repair. If the schema is exactly that of another revision, as after a
migration of the product's own, the message says so, and `sexton adopt --apply` records it.
Otherwise `sexton upgrade` builds again what is missing of a revision that the database
has, such as an index that is gone or INVALID; `sexton upgrade --plan` says whether it can.
Restore by hand what it cannot.
"""

from sexton.chat.project import PROJECT
from sexton.check import Check, Severity
from sexton.ddl import revisions
from sexton.upgrade.drift import MOVED, facts

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
        , broken as (
            select v.version_num::text as recorded, f.relname, f.broken
            from sexton.alembic_version v
            join revision r on r.number = v.version_num::text
            join fact f on f.since <= r.ordinal and f.until > r.ordinal and not f.holds
        ), found as (
            select r.number
            from revision r
            where not exists (
                select from fact f
                where f.since <= r.ordinal and f.until > r.ordinal and not f.holds
            )
            order by r.ordinal desc
            limit 1
        )
        select b.relname, string_agg(b.broken, '; ' order by b.broken) as broken
        from broken b
        where not exists (select from found)
        group by b.relname
        union all
        select distinct 'alembic_version', format({MOVED}, b.recorded, f.number)
        from broken b cross join found f
        order by relname
    """.replace(
        "{REVISIONS}",
        ", ".join(f"({_text(r.number)}, {n})" for n, r in enumerate(KNOWN, 1)),
    )
    .replace("{FACTS}", _values())
    .replace("{MOVED}", _text(MOVED.format(recorded="%1$s", found="%2$s"))),
    manual_action="if the message says so, sexton adopt --apply; else sexton upgrade "
    "builds again what it can, and the rest is restored by hand",
)
