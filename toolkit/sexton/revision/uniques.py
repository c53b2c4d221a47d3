"""Declared uniqueness among live rows: the index that holds it, and those it replaces."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sexton.catalog.relations import Relation
from sexton.condition import beyond
from sexton.database import Connection
from sexton.derived.naming import columns_of, unique_name
from sexton.errors import Refused, WrongSchema
from sexton.online.indexes import unique_of
from sexton.online.operation import Online
from sexton.online.operations import CreateIndexOnline, CreateUniqueOnline
from sexton.reference import Declarations, Unique
from sexton.reference import table as named
from sexton.revision import catalog
from sexton.revision.change import Change, change
from sexton.revision.columns import table_of
from sexton.revision.conditions import Conditions
from sexton.revision.defaults import NO_INDEX


@dataclass
class Differences:
    """What is built, what is dropped after that, and what a person should hear of."""

    built: list[Change] = field(default_factory=list)
    dropped: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def changes(
    connection: Connection,
    declared: Declarations,
    relations: Mapping[str, Relation],
    names: catalog.Names,
) -> Differences:
    """What makes live rows unique, and lets new rows take the values of deleted ones.

    Raises Refused if a condition or an expression cannot be an index's.
    """
    found = Differences()
    for unique in declared.unique:
        relation = relations[named(unique.table)]
        if relation.kind in NO_INDEX:
            found.notes.append(
                f"no index holds {unique_name(unique)}, because {unique.table} is "
                f"{NO_INDEX[relation.kind]}: sexton audit finds duplicates"
            )
            continue
        try:
            _compare(connection, declared, unique, relation, names, found)
        except WrongSchema:
            found.notes.append(
                f"{unique_name(unique)} is about a column that this revision makes: run "
                "sexton revision again after sexton upgrade"
            )
        except Refused as error:
            raise Refused(
                f"{unique_name(unique)}: {error.message}", hint=error.hint
            ) from None
    return found


def _compare(
    connection: Connection,
    declared: Declarations,
    unique: Unique,
    relation: Relation,
    names: catalog.Names,
    found: Differences,
) -> None:
    soft = declared.soft(named(unique.table))
    assert soft is not None  # `validate` requires it
    conditions = Conditions(connection, relation)

    def spelled(texts: tuple[str, ...]) -> frozenset[str]:
        return frozenset(conditions.spelt(f"({text}) is null") for text in texts)

    wanted, live = spelled(unique.sql), conditions.spelt(soft.condition)
    same = [
        index
        for index in catalog.uniques(connection, relation)
        if len(index.columns) == len(wanted)
        # What an owner wrote would run with the rights of whoever has it read.
        and not any(beyond(connection, text) for text in index.columns)
        and spelled(index.columns) == wanted
    ]
    among = [one for one in same if one.where and not beyond(connection, one.where)]
    if not any(conditions.spelt(one.where or "") == live for one in among):
        name = names.free(relation, columns_of(unique), "live_key")
        table = table_of(named(unique.table))
        make = CreateUniqueOnline(
            name, table.name, unique.columns, among=soft.condition, schema=table.schema
        )
        found.built.append(
            change(
                f"build {name}, unique among live rows of {unique.table}",
                make,
                "It is refused while live rows have duplicates: sexton repair "
                f"{unique_name(unique)}",
            )
        )
    for one in same:
        if one.where is None:
            _replace(unique, one, found)


def _replace(unique: Unique, there: catalog.FoundUnique, found: Differences) -> None:
    """Drop what counts deleted rows, once the index among live rows is there."""
    if there.referred or not there.plain:
        why = (
            "a foreign key refers to it"
            if there.referred
            else "no online operation could make it again"
        )
        found.notes.append(
            f"{there.name} counts deleted rows of {unique.table} and is kept, because {why}"
        )
        return
    table = table_of(named(unique.table))
    index = unique_of(there.name, table, there.columns)
    make: Online = CreateIndexOnline(**index.given)
    if there.constraint:
        make = CreateUniqueOnline(
            there.name, table.name, there.columns, schema=table.schema
        )
    found.dropped.append(
        Change(
            f"drop {there.name}, which counts deleted rows of {unique.table}",
            (make.reverse(),),
            (make,),
            "downgrade is refused if a live row has taken the values of a deleted one.",
        )
    )
