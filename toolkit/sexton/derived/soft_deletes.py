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
    if soft.deleted:
        yield _half_deleted(package, soft, table, id, name)
    if soft.deleted_at:
        shown = Shown()
        at = identifier(soft.deleted_at)
        yield Check(
            f"{package}.{name}_deleted_at_implausible",
            severity=Severity.WARNING,
            table=table,
            key=id,
            message=f"{template(table)} {shown(id)}: {template(soft.deleted_at)} is "
            "{at}, which is no time of a deletion",
            reads={table: (*id, soft.deleted_at)},
            where=f"this.{at} > now() + interval '1 day' "
            f"or this.{at} < timestamp '1970-01-01'",
            select={**shown.select, "at": f"to_json(this.{at}) #>> '{{}}'"},
            text="\n\n".join(
                [
                    f"`{table}.{soft.deleted_at}` cannot be true.",
                    "It lies more than a day ahead, for clocks and zones differ, or "
                    "before 1970: an import, or a clock that was wrong. Reports of what "
                    "existed when are then wrong as well, and what is cleared away by age "
                    "never is, or at once.",
                    "There is no automatic repair: when the row was deleted, only other "
                    "records can tell.",
                ]
            ),
            manual_action="find out when the row was deleted, and correct the column",
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
