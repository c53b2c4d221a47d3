"""The unique indexes that hold declared defaults to one row, or to one of each group."""

import contextlib
from collections.abc import Iterator, Mapping

from sexton.catalog.identifiers import identifier
from sexton.catalog.relations import Relation
from sexton.condition import beyond
from sexton.database import Connection
from sexton.derived.naming import flag_name
from sexton.errors import Refused, WrongSchema
from sexton.guard.predicate import require_immutable
from sexton.online.indexes import Index
from sexton.online.operations import CreateIndexOnline
from sexton.reference import Declarations, Default
from sexton.revision import catalog
from sexton.revision.change import Change, change
from sexton.revision.columns import table_of
from sexton.revision.conditions import Conditions

PROBE = "sexton_probe_mark"
# No index is built online on a partitioned table, and none on the others.
NO_INDEX = {
    "p": "partitioned",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}


def changes(
    connection: Connection,
    declared: Declarations,
    relations: Mapping[str, Relation],
    names: catalog.Names,
) -> tuple[list[Change], list[str]]:
    """What builds them, and a sentence on each that no index can hold.

    Raises Refused where a condition cannot be an index's.
    """
    made, notes = list[Change](), list[str]()
    for table, flag in declared.defaults():
        if flag.computed:
            continue  # the index is the product's own
        relation, among = relations[table], declared.among(flag)
        if relation.kind in NO_INDEX:
            notes += _note(connection, relation, flag, among)
            continue
        if _held(connection, relation, flag, among):
            continue
        where = _and(identifier(flag.flag), among)
        columns = flag.per or (flag.flag,)
        name = names.free(relation, dict.fromkeys((*flag.per, flag.flag)), "idx")
        made.append(
            change(
                f"build the unique index {name}",
                CreateIndexOnline(
                    **Index(name, table_of(table), columns, True, where).given
                ),
                f"From now on a second {flag.flag} is refused, within a transaction too: "
                "take the flag away first. Those that are there: sexton audit "
                f"{flag_name(flag)}_ambiguous",
            )
        )
    return made, notes


def _note(
    connection: Connection, table: Relation, flag: Default, among: str
) -> Iterator[str]:
    with contextlib.suppress(Refused):  # of a condition that no index may have
        if table.kind == "p" and _held(connection, table, flag, among):
            return
    yield (
        f"no index holds {flag.table}.{flag.flag} to one row{_each(flag)}, for "
        f"{flag.table} is {NO_INDEX[table.kind]}: two writers can both set it, and "
        f"sexton audit {flag_name(flag)}_ambiguous finds them"
    )


def _each(flag: Default) -> str:
    return f" for each {', '.join(flag.per)}" if flag.per else ""


def _and(one: str, other: str) -> str:
    return f"{one} and {_whole(other)}" if other else one


def _whole(condition: str) -> str:
    # A comment at its end would swallow the bracket.
    return f"({condition}\n)" if "--" in condition else f"({condition})"


def _held(connection: Connection, table: Relation, flag: Default, among: str) -> bool:
    """Whether an index holds it already, for these rows or for all that carry the flag."""
    conditions, name = Conditions(connection, table), identifier(flag.flag)
    try:
        mark = conditions.mark(_and(name, among))
        enough = {conditions.spelt(name), conditions.spelt(_and(name, among))}
        if among:
            enough.add(conditions.spelt(f"{_whole(among)} and {name}"))
        held = any(
            conditions.spelt(index.where) in enough
            for index in catalog.indexes(connection, table)
            # What an owner wrote would run with the rights of whoever has it read.
            if index.where and _groups(index, flag) and not beyond(connection, index.where)
        )
        if not held:
            check = f"(NOT ({PROBE} IS DISTINCT FROM {mark.text}))"
            require_immutable(connection, conditions.table, mark, PROBE, check)
    except WrongSchema:
        return False  # it speaks of a column that is still to be made
    except Refused as error:
        raise Refused(
            f"the default of {table.name}: {error.message}", hint=error.hint
        ) from None
    return held


def _groups(index: catalog.FoundIndex, flag: Default) -> bool:
    """Whether an index lets one row of each group be in it, or of a larger one."""
    # Among rows with the flag, it is a constant as good as another.
    return index.unique and set(index.columns) <= {*flag.per, flag.flag, catalog.CONSTANT}
