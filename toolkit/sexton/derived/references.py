"""The check of a declared reference: every row names one that is there."""

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


def check(declared: Declarations, package: str, ref: Reference) -> Check:
    """The check of one entry."""
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
