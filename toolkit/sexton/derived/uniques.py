"""The check of a declared unique key: no two live rows have the same values."""

from sexton import reference
from sexton.catalog.identifiers import identifier
from sexton.check import Check, Update
from sexton.derived.defaults import flags
from sexton.derived.naming import Shown, same_row, template, unique_name
from sexton.reference import Declarations, Unique


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
