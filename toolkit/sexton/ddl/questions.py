"""Questions: what a step asks of the catalogs and the data before it does anything.

They run with pg_catalog alone in sight (`own_session` sees to it): tables are looked up
once, by the caller's path, and put into the query by whole name or oid.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sexton.catalog.cascades import referring
from sexton.catalog.relations import Relation, bind, expose, named, quoted, resolve
from sexton.database import rows, scalar, settings
from sexton.ddl.begun import was_made
from sexton.ddl.options import Options
from sexton.ddl.row_changes import RowChange, advice, children, concerned, passes_on, said
from sexton.ddl.session import Driver, path_of
from sexton.ddl.steps import Step
from sexton.errors import Refused, WrongServer
from sexton.text.printable import printable

Overlay = Mapping[str, str]  # what a table will hold by then: a query in its place


def safe(driver: Driver, query: str, tables: Iterable[str], overlay: Overlay) -> str:
    """The query over the tables that are meant, whatever the search_path."""
    tables = list(tables)
    found = resolve(driver, {*tables, *named(query)})
    seen: dict[str, Relation | str] = {
        name: overlay.get(name, found[name]) for name in tables if name in found
    }
    return expose(bind(query, found), seen)


def tables_of(step: Step) -> list[str]:
    """The tables that a step's queries may name; those of Sexton's own are qualified."""
    return list(dict.fromkeys([*step.tables, *step.scans, *step.reads]))


def ask(
    driver: Driver, step: Step, query: str, overlay: Overlay | None = None
) -> dict[str, Any] | None:
    """The first row of a step's query, or None."""
    sql: Any = safe(driver, query, tables_of(step), overlay or {})
    return next(iter(rows(driver, sql)), None)


def is_done(driver: Driver, step: Step, overlay: Overlay | None = None) -> bool:
    """Whether the step's result is there already."""
    if not step.question:
        return False
    row = ask(driver, step, step.question, overlay)
    return row is not None and all(row.values())


def objections(
    driver: Driver,
    step: Step,
    options: Options,
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
        for relation in resolve(driver, written, judged=False).values():
            if objection := relation.refusal(writes=True):
                found.append(f"{objection.message}; {objection.hint}")
    for query, sentence in () if lifted else pairs:
        if (row := ask(driver, step, query, overlay)) is not None:
            found.append(printable(sentence.format_map(row)))
    for change in step.statements(options.choices):
        if isinstance(change, RowChange) and change.table not in changed:
            refused = kind == "refuse"
            found += _of_children(driver, step, change, overlay, refused=refused)
    return found


def _of_children(
    driver: Driver, step: Step, change: RowChange, overlay: Overlay | None, *, refused: bool
) -> list[str]:
    """What foreign keys have against a change of rows, or do to others because of it."""
    relation = resolve(driver, [change.table]).get(change.table)
    if relation is None or change.kind == "insert" or change.table in (overlay or {}):
        return []
    keys = [
        key
        for key in concerned(change, referring(driver, relation.oid))
        if refused != (change.cascades and passes_on(key, change))
    ]
    if not keys:
        return []
    found = []
    # Like the statement itself: what its condition names need not be the step's.
    path = path_of(list(resolve(driver, step.tables).values()), driver)
    with driver.transaction(), settings(driver, {"search_path": path}):
        for key in keys:
            counted: Any = children(key, change, relation).counted
            if count := scalar(driver, counted):
                more = f" ({advice(key, change)})" if refused else ""
                found.append(said(key, change, count) + more)
    return found


def missing(driver: Driver, step: Step, start: str) -> list[str]:
    """What is said of a step that is done though no run from `start` made it."""
    if not step.absent or was_made(driver, start, step.title):
        return []
    asked = ((ask(driver, step, query), sentence) for query, sentence in step.absent)
    return [printable(said.format_map(row)) for row, said in asked if row is not None]


def refuse(driver: Driver, step: Step, options: Options) -> None:
    """Raise Refused where the data forbids the step."""
    if found := objections(driver, step, options):
        raise Refused("\n  ".join(found), hint=step.hint)


def require_owner(driver: Driver, tables: Sequence[str]) -> None:
    """Raise WrongServer where the role does not own the tables."""
    oids = [relation.oid for relation in resolve(driver, tables).values()]
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
