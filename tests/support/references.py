"""A child and its parent, and what the catalogs say about them."""

from collections import Counter

from sexton.audit.references import facts, query
from sexton.check import Check, Reference, Severity
from sexton.database import rows


def check(where="", counts=""):
    return Check(
        "tests.child_without_parent",
        severity=Severity.ERROR,
        table="child",
        key=("id",),
        message="child {id} names {ref}, which does not exist",
        where=where,
        reference=Reference("ref", "parent", "key", parent_where=counts),
    )


def found(connection, strategy, made):
    answer = rows(connection, query(made, strategy))
    return Counter(row["id"] for row in answer)


SHAPES = {
    "composite": """
        create table "The Parent" (id int, "a b" int, "C" text, "Live" boolean);
        create table "The Child" (id int, ref1 int, "ref 2" text, ok boolean);
        create index on "The Child" (ref1, "ref 2");
    """,
    "composite, the index the other way round": """
        create table "The Parent" (id int, "a b" int, "C" text, "Live" boolean);
        create table "The Child" (id int, ref1 int, "ref 2" text, ok boolean);
        create index on "The Child" ("ref 2" desc, ref1 desc) where ref1 is not null;
    """,
    "partitioned": """
        create table "The Parent" (id int, "a b" int, "C" text, "Live" boolean);
        create table "The Child" (id int, ref1 int, "ref 2" text, ok boolean)
            partition by list (ok);
        create table part1 partition of "The Child" for values in (true);
        create table part2 partition of "The Child" default;
        create index on "The Child" (ref1, "ref 2");
    """,
}


def shaped(child, live, parent_live):
    return Check(
        "tests.shaped",
        severity=Severity.ERROR,
        table=child,
        key=("id",),
        message="{id}",
        live="ok -- which count" if live else "",
        reference=Reference(
            *(("ref1", "ref 2"), "The Parent", ("a b", "C")),
            parent_live='"Live"' if parent_live else "",
        ),
    )


def known_facts(connection, made=None):
    made = made or check()
    [found] = facts(connection, [(made.table, made.reference)]).values()
    return found


USABLE = [
    "create index i on child (ref)",
    "create index i on child (ref desc)",
    "create index i on child (ref, id)",
    "create unique index i on child (ref)",
    "create index i on child (ref) where ref is not null",
]
