"""A read filter for SQLAlchemy's ORM, from the declarations: soft-deleted rows are hidden.

    from sexton.sqlalchemy import hide_deleted
    hide_deleted(Base)

Where a query needs them: `session.execute(query, execution_options={"include_deleted":
True})`. SQL that is not the ORM's (text(), Core tables) is left alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, event, literal_column
from sqlalchemy.orm import LoaderCriteriaOption, Mapper, Session, with_loader_criteria
from sqlalchemy.sql.elements import ClauseList, Grouping

from sexton import condition
from sexton.errors import UsageError
from sexton.project import Project, chosen
from sexton.reference import Declarations, SoftDelete

INCLUDE = "include_deleted"
FILTERED = "sexton_filtered"  # an execution option: the filter has seen the statement


def hide_deleted(
    Base: Any, project: Project | Path | str | None = None
) -> Callable[[], None]:
    """Hide soft-deleted rows from every ORM query of the classes of a declarative base.

    Filtered are SELECT, UPDATE and DELETE of mapped classes, their aliases, joins, `has`
    and `any`, eager and lazy loads of relationships, and `Session.get`, in sessions of
    every kind, asynchronous ones as well. A many-to-one to a soft-deleted row is None.
    Not filtered are refreshes of loaded objects, and statements with the execution option
    `include_deleted=True`.

    `project` is a Project or the path of a project file; by default the file found from
    the working directory. Returns a function that takes the filter away. Raises UsageError
    if the project declares no soft delete.
    """
    declared = chosen(project).declared
    assert declared is not None
    if not declared.soft_delete:
        raise UsageError(
            "the project declares no [[soft_delete]], so there is nothing to hide",
            hint="declare the tables in sexton.toml",
        )
    known: dict[Mapper[Any], LoaderCriteriaOption | None] = {}

    def criteria() -> Iterator[LoaderCriteriaOption]:
        for mapper in Base.registry.mappers:
            if mapper not in known:
                known[mapper] = _criterion(mapper, declared)
            if (one := known[mapper]) is not None:
                yield one

    def hide(state: Any) -> None:
        state.update_execution_options(**{FILTERED: True})
        reads = state.is_select or state.is_update or state.is_delete
        if not reads or state.is_column_load or state.execution_options.get(INCLUDE):
            return
        # A relationship's load has those of the statement that loaded the object.
        there = set(map(id, state.statement._with_options))
        more = [one for one in criteria() if id(one) not in there]
        state.statement = state.statement.options(*more)

    event.listen(Session, "do_orm_execute", hide)
    return lambda: event.remove(Session, "do_orm_execute", hide)


def _criterion(mapper: Mapper[Any], declared: Declarations) -> LoaderCriteriaOption | None:
    table = mapper.local_table
    if not isinstance(table, Table):
        return None
    soft = declared.soft(table.name if table.schema is None else table.fullname)
    if soft is None and table.schema == "public":
        soft = declared.soft(table.name)
    if soft is None:
        return None
    live = _live(mapper, table, soft)
    return with_loader_criteria(mapper.class_, live, include_aliases=True)


def _live(mapper: Mapper[Any], table: Table, soft: SoftDelete) -> ColumnElement[bool]:
    """The condition that a row is live, over the columns of a table.

    The columns are attributes of the class, so that they follow an alias, that of a joined
    eager load as well. Raises UsageError if the models lack a column of the declaration.
    """
    columns: dict[str, Any] = {
        column.name: attribute.class_attribute
        for attribute in mapper.column_attrs
        for column in attribute.columns
        if isinstance(column, Column) and column.table is table
    }
    parts: list[ColumnElement[Any]] = []
    text, at = soft.condition, 0
    read = condition.tokens(text)
    for number, token in enumerate(read):
        following = read[number + 1].text if number + 1 < len(read) else ""
        if token.named and token.text in columns and following != "(":
            parts += [literal_column(text[at : token.start]), columns[token.text]]
            at = token.end
    parts.append(literal_column(f"{text[at:]}\n"))  # a comment may end it
    missing = [name for name in soft.marks if name not in columns]
    if missing:
        raise UsageError(
            f"the model of {table.fullname} has no column {missing[0]}, which its "
            "[[soft_delete]] names",
            hint="map the column, or correct sexton.toml",
        )
    none: Any = None  # of operators: the parts stand side by side
    return Grouping(ClauseList(*parts, operator=none, group=False))
