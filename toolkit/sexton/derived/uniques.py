"""What is unique among live rows: no duplicates, and no index that counts deleted rows."""

from typing import Any

from sexton import condition, reference
from sexton.catalog.identifiers import identifier
from sexton.check import Check, Severity, Update
from sexton.derived.defaults import flags
from sexton.derived.naming import Shown, same_row, stem, template, unique_name
from sexton.guard.spec import MARKER
from sexton.reference import Declarations, SoftDelete, Unique


def check(declared: Declarations, package: str, unique: Unique) -> Check:
    """The check of one entry."""
    table = reference.table(unique.table)
    soft, id = declared.soft(table), declared.id(table)
    assert soft is not None  # `validate` requires it
    said = ", ".join(" ".join(text.split()) for text in unique.columns)
    order = [reference.order(text) for text in unique.keep]
    order += [(name, "") for name in id if name not in [known for known, _ in order]]
    by = ", ".join(f"{name}{how}" for name, how in order)
    shown = Shown()
    row = shown(id)
    kept = "kept"
    while any(name.startswith(kept) for name in id):
        kept += "_"
    other = ", ".join(f"{{{kept}_{n}}}" for n in range(len(id)))
    other = f"({other})" if len(id) > 1 else other
    stored = dict.fromkeys((*id, *unique.stored, *(name for name, _ in order)))
    return Check(
        f"{package}.{unique_name(unique)}",
        # Which row is kept must be decided under a lock, and again when it is repaired.
        elects=True,
        severity=unique.severity,
        table=table,
        key=id,
        message=f"{template(table)} {row} is one of {{{kept}_of}} live rows with the same "
        f"{template(said)}: {other} is the one to keep",
        reads={table: tuple(stored)},
        find=_find(unique, table, soft.condition, id, order, shown, kept),
        text="\n\n".join(
            [
                f"Live rows of `{table}` have the same `{said}`.",
                f"They should be unique among the rows for which: "
                f"{' '.join(soft.condition.split())}. NULL equals nothing. Without a "
                "partial unique index two writers that each see no such row leave this "
                "behind, and so does a soft-deleted row that is restored beside the one "
                "that took its place.",
                f"The repair keeps the first by {by} and soft-deletes the others. Nothing "
                "else is lost."
                if soft.marks
                else "There is no automatic repair: the [[soft_delete]] does not say by "
                "`set` how a row is marked as deleted.",
            ]
        ),
        repair=Update(
            set=soft.marks,
            on=same_row(id),
            why=f"{other} has the same {template(said)} and is kept",
        )
        if soft.marks
        else (),
        manual_action=None
        if soft.marks
        else "soft-delete all but one of the rows, or change what they share",
        followed_by=flags(declared, table) if soft.marks else (),
    )


def _find(
    unique: Unique,
    table: str,
    live: str,
    id: tuple[str, ...],
    order: list[tuple[str, str]],
    shown: Shown,
    kept: str,
) -> str:
    """All but the first of each group; `r` and `d` are its rows."""
    values = [f"sexton_value_{n}" for n in range(len(unique.columns))]
    computed = [f"{sql} as {v}" for sql, v in zip(unique.sql, values, strict=True)]
    by = ", ".join(f"r.{identifier(name)}{how}" for name, how in order)
    same = ", ".join(f"r.{v}" for v in values)
    ids = [f"r.{identifier(name)}" for name in id]
    first = [f"first_value({name}) over w as {kept}_{n}" for n, name in enumerate(ids)]
    named = {f"this.{identifier(name)}": f"d.{identifier(name)}" for name in id}
    more = [f"{named[sql]} as {name}" for name, sql in shown.select.items()]
    found = [f"d.{identifier(name)}" for name in id]
    mine = [f"d.{kept}_{n}" for n in range(len(id))]
    present = " and ".join(f"r.{v} is not null" for v in values)
    return f"""
        with sexton_among as not materialized (
            select *, {", ".join(computed)}
            from {identifier(table)} where (\n{live}\n)
        )
        select {", ".join([*found, *more, *mine, f"d.{kept}_of"])}
        from (
            select
                {", ".join([*ids, *first])},
                count(*) over (partition by {same}) as {kept}_of,
                row_number() over w as ordinal
            from sexton_among r
            where {present}
            window w as (partition by {same} order by {by})
        ) d
        where d.ordinal > 1
        order by {", ".join(found)}
    """  # noqa: S608 - names, quoted


def counting(declared: Declarations, package: str, soft: SoftDelete) -> Check:
    """The check of the unique indexes of a soft-deletable table."""
    table = reference.table(soft.table)
    oid = f"to_regclass({_literal(table)})"
    # By these rows are referred to, deleted ones as well.
    keys = [declared.id(table)]
    keys += [r.target.columns for r in declared.reference if r.target.table == table]
    listed = [f"array[{', '.join(map(_literal, sorted(key)))}]::text[]" for key in keys]
    apart = [_literal(c) for c in soft.marks if c != soft.deleted]
    return Check(
        f"{package}.{soft.name or stem(table)}_key_counts_deleted",
        severity=Severity.WARNING,
        table="pg_index",
        key=("index",),
        message=f"{{index}}, unique over {{columns}}, counts soft-deleted rows of "
        f"{template(table)}: no row can take the values of a deleted one",
        reads={table: tuple(filter(None, (soft.deleted, soft.deleted_at)))},
        find=f"""
            select
                c.relname::text as index, k.columns,
                pg_get_expr(i.indpred, i.indrelid) as predicate,
                {_literal(soft.condition)}::text as live,
                {_literal(_at(soft))}::text as at
            from pg_index i
            join pg_class c on c.oid = i.indexrelid
            cross join lateral (
                select
                    array_agg(a.attname::text order by a.attname::text) as names,
                    string_agg(
                        pg_get_indexdef(i.indexrelid, n.n + 1, true), ', ' order by n.n
                    ) as columns
                from generate_series(0, i.indnkeyatts::int4 - 1) as n (n)
                left join pg_attribute a
                  on a.attrelid = i.indrelid and a.attnum = (i.indkey::int2[])[n.n]
            ) k
            where i.indrelid = {oid} and i.indisunique and i.indisready
              and not i.indisprimary
              and not k.names = any (
                  select p.columns from (values {", ".join(f"({x})" for x in listed)})
                  as p (columns)
              )
              and not coalesce(k.names && array[{", ".join(apart)}]::text[], false)
              and not exists (
                  select from unnest(k.names) as m (name) where m.name ~ {_literal(MARKER)}
              )
              and not exists (
                  select from pg_constraint f
                  where f.contype = 'f' and f.confrelid = i.indrelid
                    and f.conindid = i.indexrelid
              )
            order by index
        """,  # noqa: S608 - names as literals
        judge=_counts,
        text="\n\n".join(
            [
                f"A unique index or constraint of `{table}` counts soft-deleted rows.",
                "A soft-deleted row keeps its values for itself: nobody can sign up again "
                "with the address of an account that was deleted, or create what was "
                "deleted under the same name. The primary key, and keys by which other "
                "rows refer to these, are no findings; nor is an index that has a column "
                "of the time of deletion.",
                "There is no automatic repair. Declare what is unique among live rows as a "
                "`[[unique]]`: `sexton revision` then generates a revision that builds the "
                "partial index and drops this one, without a moment in which neither is "
                "there.",
            ]
        ),
        manual_action="declare a [[unique]] over its columns; sexton revision then "
        "replaces the index",
    )


def _at(soft: SoftDelete) -> str:
    """The other condition that a row is not deleted: checks hold the marks together."""
    both = soft.deleted and soft.deleted_at and soft.live is None
    return f"{identifier(soft.deleted_at)} is null" if both else soft.condition


def _counts(row: dict[str, Any]) -> dict[str, Any] | None:
    """The finding of an index, unless its predicate leaves out soft-deleted rows."""
    predicate = row["predicate"] or ""
    if any(condition.implies(predicate, live) for live in (row["live"], row["at"])):
        return None
    return {"index": row["index"], "columns": f"({row['columns']})"}


def _literal(text: str) -> str:
    """A text as a literal in SQL."""
    from sexton.catalog.relations import literal

    return literal(text)
