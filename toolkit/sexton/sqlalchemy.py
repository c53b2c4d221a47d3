"""A read filter for SQLAlchemy's ORM, from the declarations: soft-deleted rows are hidden.

    from sexton.sqlalchemy import hide_deleted
    hide_deleted(Base)

Where a query needs them: `session.execute(query, execution_options={"include_deleted":
True})`. SQL that is not the ORM's (text(), Core tables) is left alone.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, Table, event, literal_column
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

    Filtered are SELECT, UPDATE and DELETE of mapped classes, their aliases, joins, eager
    and lazy loads of relationships, and `Session.get`, in sessions of every kind,
    asynchronous ones as well; `has` and `any` from SQLAlchemy 2.1 on. A many-to-one to a
    soft-deleted row is None.
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
        if not state.is_orm_statement:
            return
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


@dataclass(frozen=True)
class Unfiltered:
    """A statement that read a soft-deletable table without asking for its marks.

    `place` is the file and line of the innermost code that is not a library's.
    """

    table: str
    statement: str
    place: str


@contextlib.contextmanager
def watching(project: Project | Path | str | None = None) -> Iterator[list[Unfiltered]]:
    """List what reads declared tables unfiltered on any engine, while the block runs.

    Looked at are SELECT statements that `hide_deleted` has not seen: raw SQL, Core, and
    queries of sessions without the filter. One is unfiltered if it reads a table and names
    none of the columns of its marks after the first FROM. `include_deleted=True` says that
    it is meant.
    """
    declared = chosen(project).declared
    assert declared is not None
    marks = {
        soft.table: {token.text for token in condition.tokens(soft.condition)}
        | soft.marks.keys()
        for soft in declared.soft_delete
    }
    found: list[Unfiltered] = []

    def look(_connection: Any, _cursor: Any, sql: str, *more: Any) -> None:
        options = more[1].execution_options if more[1] else {}
        if options.get(FILTERED) or options.get(INCLUDE):
            return
        try:
            words = [token.text for token in condition.tokens(sql)]
        except ValueError:
            return
        begin = [word.lower() for word in words[:1]]
        if begin not in (["select"], ["with"]) or "from" not in words:
            return
        read = words[words.index("from") :]
        for table, columns in marks.items():
            named = table.rpartition(".")[2]
            if named in read and not columns & set(read) - {named}:
                found.append(Unfiltered(table, sql, _place()))

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def _place() -> str:
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and path != Path(__file__):
            return f"{frame.filename}:{frame.lineno}"
    return ""


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
