"""References: the three ways to find what leads nowhere, and the rule that chooses one.

* Gap probing looks into the child's index only between neighbouring keys of the parent:
  whatever stands there has no parent. It costs by the number of parents.
* A loose index scan hops through the child's index from value to value and looks each of
  them up. It costs by the number of distinct values.
* An anti-join reads every child.

All of them return the same rows. The first two need a btree index on the child's column
that sorts as the parent's key does; of a composite reference, rows are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sexton.audit.reference_facts import Pair, ReferenceFacts, facts
from sexton.catalog.identifiers import dotted, identifier
from sexton.check import Check, Reference

__all__ = ["QUERIES", "Choice", "ReferenceFacts", "Strategy", "choose", "facts", "query"]

Strategy = Literal["gap probing", "loose index scan", "anti-join"]

# Milliseconds of server time, measured on 5,000,000 children (docs/benchmarks/audit.md).
# Only their proportions matter: they choose, they do not promise.
GAP = 0.006  # for each parent: one probe, and the gap behind it
LOOSE = 0.0065  # for each distinct value: one hop, and one look-up
ANTI_CHILD = 0.00015  # for each child that is read
ANTI_PARENT = 0.0007  # for each parent that is hashed
WORTH_AN_INDEX = 10.0  # an index is advised where it makes the check this much faster


@dataclass(frozen=True)
class Choice:
    """The strategy chosen, what each would cost in milliseconds, and the advice."""

    strategy: Strategy
    costs: dict[Strategy, float]
    advice: str | None


def choose(check: Check, known: ReferenceFacts) -> Choice:
    """The cheapest strategy that the indexes allow."""
    distinct = known.children if known.distinct is None else known.distinct
    by_index: dict[Strategy, float] = {
        "gap probing": GAP * (known.parents + 1) * known.partitions,
        "loose index scan": LOOSE * (distinct + 1) * known.partitions,
    }
    anti = ANTI_CHILD * known.children + ANTI_PARENT * known.parents
    costs: dict[Strategy, float] = {"anti-join": anti}
    advice = None
    if known.comparable and known.index:
        costs = {**by_index, **costs}
    elif known.comparable and min(by_index.values()) * WORTH_AN_INDEX < anti:
        columns = ", ".join(identifier(c) for c in _reference(check).columns)
        # PostgreSQL builds an index of a partitioned table part by part or with a lock.
        how = "concurrently on" if known.partitions == 1 else "on only"
        advice = f"create index {how} {dotted(check.table)} ({columns})"
        if known.partitions > 1:
            advice += "; then concurrently on each partition, and attach it"
    best = min(costs, key=lambda strategy: costs[strategy])
    return Choice(best, costs, advice)


def query(check: Check, strategy: Strategy, known: ReferenceFacts | None = None) -> str:
    """The SQL that finds the violating rows by a strategy, in no particular order."""
    ref = _reference(check)
    names = zip(ref.columns, ref.parent_keys, strict=True)
    pairs = known.pairs if known and known.pairs else tuple(Pair(*n) for n in names)
    sources = "".join(f"{source}, " for source in check.sources)
    parts = {
        "with": f"with {sources.removesuffix(', ')}" if sources else "",
        "sources": sources,
        "columns": check.columns,
        "table": check.source,
        "all": identifier(check.table),
        "parent": ref.source,
        "present": ref.present,
        "there": " and ".join(f"not (parent.{identifier(p.key)} is null)" for p in pairs),
        "where": f" and ({check.where})" if check.where else "",
        "counts": f" and ({ref.parent_where})" if ref.parent_where else "",
        **_compared(pairs),
    }
    return QUERIES[strategy].format_map(parts)


def _reference(check: Check) -> Reference:
    if check.reference is None:
        raise TypeError(f"{check.name} declares no reference")
    return check.reference


def _compared(pairs: Sequence[Pair]) -> dict[str, str]:
    """The parts of a query that compare the columns of both sides, one or several."""
    children = [p.of("this", p.column) for p in pairs]
    parents = [p.of("parent", p.key) for p in pairs]
    numbers = range(len(pairs))

    def equal(mine: Sequence[str], theirs: Sequence[str]) -> str:
        return " and ".join(
            f"{m} {p.operator('=')} {t}{f' collate {p.collation}' if p.collation else ''}"
            for p, m, t in zip(pairs, mine, theirs, strict=True)
        )

    def order(columns: Sequence[str], sign: str) -> str:
        words = {"<": "", ">": " desc"}[sign]
        return ", ".join(
            f"{column} using {p.operator(sign)}" if p.schema else column + words
            for p, column in zip(pairs, columns, strict=True)
        )

    def row(source: str) -> str:
        columns = ", ".join(f"{source}{n}" for n in numbers)
        return f"({columns})"

    return {
        "child_row": f"({', '.join(children)})",
        "less": pairs[0].operator("<"),
        "more": pairs[0].operator(">"),
        "low": row("gap.low"),
        "high": row("gap.high"),
        "edge": row("edge.key"),
        "hop": row("hop.value"),
        "values": ", ".join(f"value{n}" for n in numbers),
        "child_values": ", ".join(f"{c} as value{n}" for n, c in enumerate(children)),
        "keys": ", ".join(f"{k} as key{n}" for n, k in enumerate(parents)),
        "lows": ", ".join(f"{k} as low{n}" for n, k in enumerate(parents)),
        "highs": ", ".join(
            f"lead({k}) over keys as high{n}" for n, k in enumerate(parents)
        ),
        "child_order": order(children, "<"),
        "first": order(parents, "<"),
        "last": order(parents, ">"),
        "joined": equal(parents, children),
        "looked_up": equal(parents, [f"hop.value{n}" for n in numbers]),
        "dangles": equal(children, [f"dangling.value{n}" for n in numbers]),
    }


QUERIES: dict[Strategy, str] = {
    "anti-join": """
        {with}
        select {columns}
        from {table} this
        where {present}{where}
          and not exists (
              select from {parent} parent where {joined}{counts}
          )
    """,
    "loose index scan": """
        with recursive {sources}hop ({values}) as (
            (
                select {child_values} from {all} this
                where {present}
                order by {child_order} limit 1
            )
            union all
            select next.*
            from hop
            cross join lateral (
                select {child_values} from {all} this
                where {child_row} {more} {hop} and {present}
                order by {child_order} limit 1
            ) next
        ),
        dangling as materialized (
            select hop.*
            from hop
            where not exists (
                select from {parent} parent where {looked_up}{counts}
            )
        )
        select {columns}
        from dangling join {table} this on {dangles}
        where true{where}
    """,
    "gap probing": """
        {with}
        select {columns}
        from (
            select {lows}, {highs}
            from {parent} parent
            where {there}{counts}
            -- lead() minds no frame, but the usual one costs time for each row.
            window keys as (order by {first} rows between current row and current row)
        ) gap
        join {table} this on {child_row} {more} {low} and {child_row} {less} {high}
        where {low} {less} {high} and {present}{where}
        union all
        select {columns}
        from (
            select {keys} from {parent} parent where {there}{counts}
            order by {first} limit 1
        ) edge
        join {table} this on {child_row} {less} {edge}
        where {present}{where}
        union all
        select {columns}
        from (
            select {keys} from {parent} parent where {there}{counts}
            order by {last} limit 1
        ) edge
        join {table} this on {child_row} {more} {edge}
        where {present}{where}
        union all
        select {columns}
        from {table} this
        where {present} and not exists (
            select from {parent} parent where {there}{counts}
        ){where}
    """,
}

# The planner cannot know that gaps are almost always empty: it would rather read all.
INDEX_ONLY: tuple[str, ...] = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
)
