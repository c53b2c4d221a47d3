"""Questions: what a step asks of the catalogs and the data before it does anything.

They run with pg_catalog alone in sight (`own_session` sees to it): tables are looked up
once for all of them (`look_up`), by the caller's path, and put into each query by whole
name or oid.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sexton.catalog.cascades import referring
from sexton.catalog.relations import (
    Relation,
    bind,
    expose,
    has_heirs,
    named,
    quoted,
    resolve,
)
from sexton.database import rows, scalar, settings
from sexton.ddl.begun import was_made
from sexton.ddl.options import Options
from sexton.ddl.row_changes import RowChange, advice, children, concerned, passes_on, said
from sexton.ddl.session import Driver, path_of
from sexton.ddl.steps import Step
from sexton.errors import Refused, WrongServer
from sexton.text.printable import printable

Overlay = Mapping[str, str]  # what a table will hold by then: a query in its place
Tables = Mapping[str, Relation]  # what `look_up` found, by the names that steps use


def look_up(driver: Driver, *steps: Step) -> dict[str, Relation]:
    """The tables that steps lock and their queries name, as far as they exist.

    Raises Refused for those whose reading may run code of an owner who is not trusted.
    """
    names: set[str] = set()
    for step in steps:
        pairs = (*step.refuse, *step.warn, *step.absent)
        names.update(tables_of(step), step.leaves, named(step.question))
        names.update(name for query, _ in pairs for name in named(query))
    return resolve(driver, names)


def tables_of(step: Step) -> list[str]:
    """The tables that a step's queries may name; those of Sexton's own are qualified."""
    return list(dict.fromkeys([*step.tables, *step.scans, *step.reads]))


def ask(
    driver: Driver, step: Step, query: str, found: Tables, overlay: Overlay | None = None
) -> dict[str, Any] | None:
    """The first row of a step's query, or None."""
    seen: dict[str, Relation | str] = {
        name: (overlay or {}).get(name, found[name])
        for name in tables_of(step)
        if name in found
    }
    sql: Any = expose(bind(query, found), seen)
    return next(iter(rows(driver, sql)), None)


def is_done(
    driver: Driver, step: Step, found: Tables | None = None, overlay: Overlay | None = None
) -> bool:
    """Whether the step's result exists; `found` are its tables, if looked up."""
    if not step.question:
        return False
    found = look_up(driver, step) if found is None else found
    row = ask(driver, step, step.question, found, overlay)
    return row is not None and all(row.values())


def objections(
    driver: Driver,
    step: Step,
    options: Options,
    tables: Tables,
    kind: str = "refuse",
    overlay: Overlay | None = None,
    changed: Collection[str] = (),
) -> list[str]:
    """What the data has against a step; with kind `warn`, what should be known.

    `changed` are tables whose foreign keys earlier steps may drop: what a step does to
    rows that refer to theirs is then asked only when the step runs.
    """
    found = []
    lifted = kind == "refuse" and step.unless is not None and step.unless in options.choices
    pairs = step.refuse if kind == "refuse" else step.warn
    if kind == "refuse":
        statements = step.statements(options.choices)
        written = {one.table for one in statements if not isinstance(one, str)}
        for name in sorted(written & tables.keys()):
            if objection := tables[name].refusal(writes=True):
                found.append(f"{objection.message}; {objection.hint}")
    for query, sentence in () if lifted else pairs:
        if (row := ask(driver, step, query, tables, overlay)) is not None:
            found.append(printable(sentence.format_map(row)))
    for change in step.statements(options.choices):
        if isinstance(change, RowChange) and change.table not in changed:
            refused = kind == "refuse"
            if change.table in tables and change.table not in (overlay or {}):
                found += _of_children(driver, step, change, tables, refused=refused)
    return found


def _of_children(
    driver: Driver, step: Step, change: RowChange, tables: Tables, *, refused: bool
) -> list[str]:
    """What foreign keys have against a change of rows, or do to others because of it."""
    relation = tables[change.table]
    if change.kind == "insert":
        return []
    found = []
    if refused and change.kind == "delete" and has_heirs(driver, relation):
        found.append(
            f"tables inherit from {relation.name}: of a row of theirs that is deleted, the "
            "journal would not keep all columns (delete those rows by hand)"
        )
    keys = [
        key
        for key in concerned(change, referring(driver, relation.oid))
        if refused != (change.cascades and passes_on(key, change))
    ]
    if not keys:
        return found
    # Like the statement itself: what its condition names need not be the step's.
    path = path_of([tables[name] for name in step.tables if name in tables], driver)
    with driver.transaction(), settings(driver, {"search_path": path}):
        for key in keys:
            counted: Any = children(key, change, relation).counted
            if count := scalar(driver, counted):
                more = f" ({advice(key, change)})" if refused else ""
                found.append(said(key, change, count) + more)
    return found


def missing(driver: Driver, step: Step, start: str, tables: Tables) -> list[str]:
    """What is said of a step that is done though no run from `start` made it."""
    if not step.absent or was_made(driver, start, step.title):
        return []
    asked = ((ask(driver, step, query, tables), said) for query, said in step.absent)
    return [printable(said.format_map(row)) for row, said in asked if row is not None]


def refuse(driver: Driver, step: Step, options: Options, tables: Tables) -> None:
    """Raise Refused where the data forbids the step."""
    if found := objections(driver, step, options, tables):
        raise Refused("\n  ".join(found), hint=step.hint)


def require_owner(driver: Driver, relations: Iterable[Relation]) -> None:
    """Raise WrongServer where the role does not own the tables."""
    if not (oids := [relation.oid for relation in relations if not relation.owned]):
        return
    found = rows(
        driver,
        """
        select pg_catalog.string_agg(
                   c.relname::pg_catalog.text, ', '::text order by c.relname
               ) as tables,
               current_user::pg_catalog.text as "user",
               pg_catalog.min(o.rolname::pg_catalog.text) as owner,
               pg_catalog.bool_or(o.rolsuper) as mighty
        from pg_catalog.pg_class c
        join pg_catalog.pg_roles o on o.oid = c.relowner
        where c.oid = any (%s::pg_catalog.oid[])
          and not pg_catalog.pg_has_role(c.relowner, 'usage'::text)
        having pg_catalog.count(*) > 0
        """,
        oids,
    )
    for row in found:
        other = f", or grant {quoted(row['owner'])} to {quoted(row['user'])}"
        raise WrongServer(
            f"the role {row['user']} does not own {row['tables']}, "
            "so it may not change the schema",
            # Nobody should be made a superuser for that.
            hint=f"connect as {row['owner']}{'' if row['mighty'] else other}",
        )
