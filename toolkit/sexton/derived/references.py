"""The checks of a declared reference: every row names one that is there."""

from collections.abc import Iterator
from dataclasses import replace

from sexton.check import Check, Delete, Update
from sexton.check import Reference as SoftReference
from sexton.derived.defaults import flags
from sexton.derived.naming import Shown, reference_name, same_row, template
from sexton.reference import Declarations, Reference

REPAIRS = {
    "soft_delete": "The repair marks the row as deleted, as the deletion of its parent "
    "should have done. Nothing else is lost.",
    "null": "The repair empties the column that names the row, the last one of several. "
    "What it named, the journal keeps.",
    "delete": "The repair deletes the row. Only the journal keeps it, so it takes "
    "`--unsafe`; undo brings it back.",
    "report": "There is no automatic repair: a person must make the row that is named, or "
    "change or delete the row that names it.",
}


def checks(declared: Declarations, package: str, ref: Reference) -> Iterator[Check]:
    """The checks of one entry."""
    dangling = _dangling(declared, package, ref)
    yield dangling
    if ref.live and dangling.live:
        yield _undecided(package, ref, ref.live, dangling)


def _undecided(package: str, ref: Reference, live: str, dangling: Check) -> Check:
    """The rows of which the entry's own condition does not say whether they count.

    A soft delete's has a check of its own. No guard looks at these rows.
    """
    assert dangling.reference is not None
    name = reference_name(ref)
    said = " ".join(live.split())
    return replace(
        dangling,
        module=f"{package}.{name.removesuffix('_dangling')}_undecided",
        message=f"{dangling.message}, and whether it counts is unknown: "
        f"{template(said)} is null",
        find="",
        live=f"(\n{live}\n) is null",
        reference=replace(dangling.reference, guarded=False),
        text="\n\n".join(
            [
                f"`{ref.source.label}` leads nowhere, and nobody knows whether it should.",
                f"For these rows the condition `{said}` is NULL, neither true nor false: "
                "a column that it reads is NULL. They are not among those that count, "
                f"and {name} passes over them.",
                "There is no automatic repair: fill the columns in, or write a condition "
                "that is never NULL, such as `(…) is not false`.",
            ]
        ),
        repair=(),
        data_loss=None,
        manual_action="decide whether the row counts, and set the columns accordingly",
        followed_by=(),
    )


def _dangling(declared: Declarations, package: str, ref: Reference) -> Check:
    child, parent = ref.source, ref.target
    live, parent_live = declared.sides(ref)
    shown = Shown()
    id = declared.id(child.table)
    missing = "is no live row" if parent_live else "does not exist"
    return Check(
        f"{package}.{reference_name(ref)}",
        severity=ref.severity,
        table=child.table,
        key=id,
        message=f"{template(child.table)} {shown(id)} names {template(parent.table)} "
        f"{shown(child.columns)}, which {missing}",
        live=live,
        reference=SoftReference(
            child.columns,
            parent.table,
            parent.columns,
            parent_live=parent_live,
            guarded=bool(ref.guard),
        ),
        select=shown.select,
        text=_explained(ref, live, parent_live),
        repair=_repair(declared, ref, shown, missing),
        data_loss="the rows themselves, which only the journal keeps"
        if ref.on_orphan == "delete"
        else None,
        manual_action=f"make the row of {parent.table}, or change or delete the row"
        if ref.on_orphan == "report"
        else None,
        followed_by=flags(declared, child.table) if ref.on_orphan != "report" else (),
    )


def _repair(
    declared: Declarations, ref: Reference, shown: Shown, missing: str
) -> Update | Delete | tuple[()]:
    """What `on_orphan` says."""
    child, parent = ref.source, ref.target
    on = same_row(declared.id(child.table))
    why = f"{template(parent.table)} {shown(child.columns)} {missing}"
    match ref.on_orphan:
        case "soft_delete" | "tombstone":
            soft = declared.soft(child.table)
            assert soft is not None  # `validate` requires it
            return Update(set=soft.marks, why=f"{why}: the row dies with it", on=on)
        case "null":
            # Of a composite reference one NULL is enough, and the others serve more.
            last = child.columns[-1]
            return Update(
                set={last: "null"}, why=f"{why}: {template(last)} is emptied", on=on
            )
        case "delete":
            return Delete(why=f"{why}: the row goes with it", on=on)
    return ()


def _explained(ref: Reference, live: str, parent_live: str) -> str:
    counts = [
        f"Of {side.table} those rows count for which: {' '.join(text.split())}."
        for side, text in ((ref.source, live), (ref.target, parent_live))
        if text
    ]
    living = "live row" if parent_live else "row"
    return "\n\n".join(
        [
            f"`{ref.source.label}` leads to no {living} of `{ref.target.table}`.",
            " ".join(
                [
                    f"Every value of {ref.source.label} should be found in "
                    f"{ref.target.label}; NULL refers to nothing.",
                    *counts,
                    "Where no foreign key insists on it, a raw statement, an old release "
                    "or a restore leaves such rows behind, and so does whoever deletes "
                    "the row that they name.",
                ]
            ),
            REPAIRS["soft_delete" if ref.soft_deletes_orphans else ref.on_orphan],
        ]
    )
