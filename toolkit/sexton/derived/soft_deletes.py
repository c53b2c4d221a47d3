"""The checks of a declared soft delete: its marks agree, and can be true."""

from collections.abc import Iterator

from sexton import reference
from sexton.catalog.identifiers import identifier
from sexton.check import Check, Severity
from sexton.derived.naming import Shown, stem, template
from sexton.reference import Declarations, SoftDelete


def checks(declared: Declarations, package: str, soft: SoftDelete) -> Iterator[Check]:
    """The checks of one entry."""
    table = reference.table(soft.table)
    id, name = declared.id(table), soft.name or stem(table)
    if soft.live is not None:
        yield _undecided(package, soft, table, id, name)
    if soft.deleted:
        yield _half_deleted(package, soft, table, id, name)
    if soft.deleted_at:
        shown = Shown()
        at = identifier(soft.deleted_at)
        dead = f"(\n{soft.live}\n) is not true and " if soft.live else ""
        yield Check(
            f"{package}.{name}_deleted_at_implausible",
            severity=Severity.WARNING,
            table=table,
            key=id,
            message=f"{template(table)} {shown(id)}: {template(soft.deleted_at)} is "
            "{at}, which is no time of a deletion",
            reads={table: (*id, soft.deleted_at)},
            live=f"{dead}({at} > now() + interval '1 day' or {at} < '{EARLIEST}')",
            where="true",
            select={**shown.select, "at": f"to_json(this.{at}) #>> '{{}}'"},
            text="\n\n".join(
                [
                    f"`{table}.{soft.deleted_at}` cannot be true.",
                    f"It is more than a day in the future, or before {EARLIEST}: an "
                    "import, a wrong clock, or the value by which an application marks "
                    "rows that are *not* deleted. If it is the last, these rows are taken "
                    "for deleted and no check of references counts them: write `live` in "
                    "the [[soft_delete]] instead. Otherwise reports of what existed when "
                    "are wrong, and a purge by age removes the rows at once or never.",
                    "There is no automatic repair: when the row was deleted, only other "
                    "records can tell.",
                ]
            ),
            manual_action="find out when the row was deleted, and correct the column",
        )


# Software that soft-deletes rows is younger. Zero values of time types are older: year 1,
# 1900 and the epoch, which ORMs write for rows that are not deleted.
EARLIEST = "1980-01-01"


def _undecided(
    package: str, soft: SoftDelete, table: str, id: tuple[str, ...], name: str
) -> Check:
    shown = Shown()
    condition = " ".join((soft.live or "").split())
    return Check(
        f"{package}.{name}_half_deleted",
        severity=soft.severity,
        table=table,
        key=id,
        message=f"{template(table)} {shown(id)}: {template(condition)} is null",
        live=f"(\n{soft.live}\n) is null",
        where="true",
        select=shown.select,
        text="\n\n".join(
            [
                f"`{condition}` is null for a row of `{table}`: it is neither live nor "
                "deleted.",
                "A column of the condition is NULL. Queries with the condition skip the "
                "row, queries with its negation skip it as well.",
                "There is no automatic repair: a person must say whether the row is "
                "deleted.",
            ]
        ),
        manual_action="decide whether the row is deleted, and set the columns accordingly",
    )


def _half_deleted(
    package: str, soft: SoftDelete, table: str, id: tuple[str, ...], name: str
) -> Check:
    shown = Shown()
    flag, at = identifier(soft.deleted), identifier(soft.deleted_at)
    if soft.deleted_at:
        first = f"`{soft.deleted}` and `{soft.deleted_at}` of `{table}` disagree."
        where = f"this.{flag} is distinct from (this.{at} is not null)"
        said = f"{template(soft.deleted)} is {{mark}}, {template(soft.deleted_at)} {{at}}"
        times = {"at": f"coalesce(to_json(this.{at}) #>> '{{}}', 'null')"}
    else:
        first = f"`{table}.{soft.deleted}` is null: neither live nor a tombstone."
        where = f"this.{flag} is null"
        said, times = f"{template(soft.deleted)} is {{mark}}", {}
    return Check(
        f"{package}.{name}_half_deleted",
        severity=soft.severity,
        table=table,
        key=id,
        message=f"{template(table)} {shown(id)}: {said}",
        reads={table: (*id, *filter(None, (soft.deleted, soft.deleted_at)))},
        where=where,
        select={
            **shown.select,
            "mark": f"coalesce(this.{flag}::text, 'null')",
            **times,
        },
        text="\n\n".join(
            [
                first,
                "No constraint ties the marks together, so a raw statement sets one and "
                "forgets the other. Whoever reads the one takes the row for live, whoever "
                "reads the other for deleted.",
                "There is no automatic repair: a person must say whether the row is "
                "deleted.",
            ]
        ),
        manual_action="say whether the row is deleted, and set the marks alike",
    )
