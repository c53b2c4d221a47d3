"""References: the three ways to find what leads nowhere, and the rule that chooses one.

* Gap probing looks into the child's index only between neighbouring keys of the parent:
  whatever stands there has no parent. It costs by the number of parents.
* A loose index scan hops through the child's index from value to value and looks each of
  them up. It costs by the number of distinct values.
* An anti-join reads every child.

All of them return the same rows. The first two need a btree index on the child's column
that sorts as the parent's key does.
"""

from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import dict_row

from sexton.check import Check, Reference
from sexton.database import Connection

Strategy = Literal["gap probing", "loose index scan", "anti-join"]

# Milliseconds of server time, measured on 5,000,000 children (docs/benchmarks/audit.md).
# Only their proportions matter: they choose, they do not promise.
GAP = 0.006  # for each parent: one probe, and the gap behind it
LOOSE = 0.0065  # for each distinct value: one hop, and one look-up
ANTI_CHILD = 0.00015  # for each child that is read
ANTI_PARENT = 0.0007  # for each parent that is hashed
WORTH_AN_INDEX = 10.0  # an index is advised where it makes the check this much faster


@dataclass(frozen=True)
class Facts:
    """What the catalogs say about a reference; numbers of rows are estimates."""

    children: float
    parents: float
    distinct: float | None
    index: str | None
    comparable: bool
    collation: str | None
    unique: bool
    constraint: str | None


@dataclass(frozen=True)
class Choice:
    """The strategy chosen, what each would cost in milliseconds, and the advice."""

    strategy: Strategy
    costs: dict[Strategy, float]
    advice: str | None


FACTS = """
    with child as (
        select a.attrelid, a.attnum, a.atttypid, a.attcollation, c.reltuples, c.relkind
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        where a.attrelid = to_regclass(%(table)s) and a.attname = %(column)s
    ),
    parent as (
        select a.attrelid, a.attnum, a.atttypid, a.attcollation, c.reltuples
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        where a.attrelid = to_regclass(%(parent)s) and a.attname = %(key)s
    ),
    statistics as (
        select s.n_distinct, s.null_frac
        from pg_catalog.pg_stats s
        join pg_catalog.pg_class c on c.relname = s.tablename
        join pg_catalog.pg_namespace n
          on n.oid = c.relnamespace and n.nspname = s.schemaname
        where c.oid = to_regclass(%(table)s) and s.attname = %(column)s
        order by s.inherited desc
        limit 1
    )
    select
        -- A table that was never analyzed says -1: 100 bytes a row is a fair guess.
        case
            when child.reltuples >= 0 then child.reltuples
            when child.relkind in ('r', 'm')
                then pg_catalog.pg_relation_size(child.attrelid) / 100
            else 1e6
        end as rows,
        case
            when parent.reltuples >= 0 then parent.reltuples
            else coalesce(pg_catalog.pg_relation_size(parent.attrelid) / 100, 1e6)
        end as parents,
        statistics.n_distinct,
        coalesce(statistics.null_frac, 0) as null_frac,
        (
            select format('%%I', ic.relname)
            from pg_catalog.pg_index i
            join pg_catalog.pg_class ic on ic.oid = i.indexrelid
            join pg_catalog.pg_am am on am.oid = ic.relam and am.amname = 'btree'
            join pg_catalog.pg_opclass o on o.oid = i.indclass[0] and o.opcdefault
            where i.indrelid = child.attrelid
              and i.indkey[0] = child.attnum
              and i.indcollation[0] = child.attcollation
              and i.indisvalid and i.indisready and i.indislive
              and (
                  i.indpred is null
                  or pg_catalog.pg_get_expr(i.indpred, i.indrelid)
                     = format('(%%I IS NOT NULL)', %(column)s)
              )
            order by i.indnkeyatts, pg_catalog.pg_relation_size(i.indexrelid), ic.relname
            limit 1
        ) as index,
        child.atttypid = parent.atttypid and child.attcollation = parent.attcollation
            as comparable,
        (
            select format('%%I.%%I', n.nspname, l.collname)
            from pg_catalog.pg_collation l
            join pg_catalog.pg_namespace n on n.oid = l.collnamespace
            where l.oid = parent.attcollation
              and parent.attcollation <> child.attcollation
        ) as collation,
        exists (
            select
            from pg_catalog.pg_index i
            where i.indrelid = parent.attrelid
              and i.indisunique and i.indisvalid and i.indimmediate
              and i.indnkeyatts = 1 and i.indkey[0] = parent.attnum
              and i.indpred is null
        ) as unique,
        (
            select k.conname
            from pg_catalog.pg_constraint k
            where k.contype = 'f' and k.convalidated
              and k.conrelid = child.attrelid and k.confrelid = parent.attrelid
              and k.conkey = array[child.attnum] and k.confkey = array[parent.attnum]
              -- Switched off, the key's triggers let anything pass, VALID or not.
              and not exists (
                  select
                  from pg_catalog.pg_trigger t
                  where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A')
              )
            order by k.conname
            limit 1
        ) as constraint
    from child cross join parent left join statistics on true
"""


def facts(connection: Connection, table: str, ref: Reference) -> Facts:
    """Read the catalogs about a reference; both tables must be there."""
    guarded = connection.execute(ref.enforced_by).fetchall() if ref.enforced_by else []
    names = {"table": table, "column": ref.column}
    names |= {"parent": ref.parent, "key": ref.parent_key}
    with connection.cursor(row_factory=dict_row) as cursor:
        [found] = cursor.execute(FACTS, names).fetchall()
    children = found["rows"] * (1 - found["null_frac"])
    distinct = found["n_distinct"]
    if distinct is not None and distinct < 0:  # a share of the rows
        distinct = -distinct * found["rows"]
    return Facts(
        children=float(children),
        parents=float(found["parents"]),
        distinct=distinct,
        index=found["index"],
        comparable=found["comparable"],
        collation=found["collation"],
        unique=found["unique"],
        # A key knows nothing of a condition on the parent.
        constraint=None if ref.parent_where else found["constraint"] or _name(guarded),
    )


def _name(found: list[Any]) -> str | None:
    return str(found[0]["name"]) if found else None


def choose(check: Check, known: Facts) -> Choice:
    """The cheapest strategy that the indexes allow."""
    distinct = known.children if known.distinct is None else known.distinct
    by_index: dict[Strategy, float] = {
        "gap probing": GAP * (known.parents + 1),
        "loose index scan": LOOSE * (distinct + 1),
    }
    anti = ANTI_CHILD * known.children + ANTI_PARENT * known.parents
    costs: dict[Strategy, float] = {"anti-join": anti}
    advice = None
    if known.comparable and known.index:
        costs = {**by_index, **costs}
    elif known.comparable and min(by_index.values()) * WORTH_AN_INDEX < anti:
        ref = _reference(check)
        advice = f"create index concurrently on {check.table} ({ref.column})"
    best = min(costs, key=lambda strategy: costs[strategy])
    return Choice(best, costs, advice)


def query(check: Check, strategy: Strategy, collation: str | None = None) -> str:
    """The SQL that finds the offenders by a strategy, in no particular order.

    `collation` is the parent's, where the child's differs: as for a foreign key, it is
    the parent's that decides what is equal.
    """
    ref = _reference(check)
    parts = {
        "columns": check.columns,
        "table": check.table,
        "column": ref.column,
        "parent": ref.parent,
        "key": ref.parent_key,
        "collate": f" collate {collation}" if collation else "",
        "where": f" and ({check.where})" if check.where else "",
        "counts": f" and ({ref.parent_where})" if ref.parent_where else "",
    }
    return QUERIES[strategy].format_map(parts)


def _reference(check: Check) -> Reference:
    if check.reference is None:
        raise TypeError(f"{check.name} declares no reference")
    return check.reference


QUERIES: dict[Strategy, str] = {
    "anti-join": """
        select {columns}
        from {table} this
        where this.{column} is not null{where}
          and not exists (
              select from {parent} parent
              where parent.{key} = this.{column}{collate}{counts}
          )
    """,
    "loose index scan": """
        with recursive hop (value) as (
            (
                select this.{column} from {table} this
                where this.{column} is not null
                order by this.{column} limit 1
            )
            union all
            select (
                select this.{column} from {table} this
                where this.{column} > hop.value
                order by this.{column} limit 1
            )
            from hop where hop.value is not null
        ),
        dangling as materialized (
            select hop.value
            from hop
            where hop.value is not null
              and not exists (
                  select from {parent} parent where parent.{key} = hop.value{counts}
              )
        )
        select {columns}
        from dangling join {table} this on this.{column} = dangling.value
        where true{where}
    """,
    "gap probing": """
        select {columns}
        from (
            select
                parent.{key} as low,
                -- lead() minds no frame, but the usual one costs time for each row.
                lead(parent.{key}) over (
                    order by parent.{key} rows between current row and current row
                ) as high
            from {parent} parent
            where parent.{key} is not null{counts}
        ) gap
        join {table} this on this.{column} > gap.low and this.{column} < gap.high
        where gap.low < gap.high{where}
        union all
        select {columns}
        from {table} this
        where this.{column} < (
            select parent.{key}
            from {parent} parent
            where parent.{key} is not null{counts}
            order by parent.{key} limit 1
        ){where}
        union all
        select {columns}
        from {table} this
        where this.{column} > (
            select parent.{key}
            from {parent} parent
            where parent.{key} is not null{counts}
            order by parent.{key} desc limit 1
        ){where}
        union all
        select {columns}
        from {table} this
        where this.{column} is not null and not exists (
            select from {parent} parent where parent.{key} is not null{counts}
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
