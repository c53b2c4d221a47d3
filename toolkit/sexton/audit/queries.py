"""Queries: a unit's statement, and what its rows say.

A row comes back as JSON, so that it reads the same whichever query found it. Statements
reach their tables by the whole name and run on a search path that holds `pg_catalog`
alone.
"""

import contextlib
import decimal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from sexton.audit import references, rewrites
from sexton.audit.facts import Facts
from sexton.audit.rewrites import Moved
from sexton.audit.units import Unit, plan_one
from sexton.catalog.identifiers import identifier
from sexton.catalog.relations import literal, quoted
from sexton.check import Check
from sexton.database import Connection, scalar
from sexton.postgres.session import set_parameters
from sexton.text import exact

Known = Mapping[str, Collection[str]]  # check -> identities that the baseline accepts


class BadCheck(Exception):
    """A check contradicts itself: its message or judge cannot take its own rows."""


@dataclass(frozen=True)
class Found:
    """The rows that a check found: the first by key, how many in all, how many known."""

    rows: list[dict[str, Any]]
    count: int
    known: int


def identity(table: str, key: Mapping[str, Any]) -> str:
    """A row as text, to compare it with others: the JSON array of its table and key."""
    return exact.canonical([table, key])


def fetch(
    connection: Connection,
    unit: Unit,
    limit: int,
    known: Known,
    facts: Facts,
    grant: Callable[[], None] = lambda: None,
) -> dict[str, Found]:
    """Ask the server: for each check its first rows by key, and how many there are.

    Raises Moved if a table is not the one that the snapshot sees.

    Of the rows whose identity is `known`, all are returned. `grant` gives a statement its
    time; it is called before each but the first.
    """
    [check, *others] = unit.checks
    if check.judge and not others:
        judged = _judged(connection, check, unit, limit, known)
        require_unmoved(connection, facts, unit.checks)
        return {check.name: judged}
    parts: list[str] = []
    parameters: list[object] = []
    for index, check in enumerate(unit.checks):
        mine = known.get(check.name, ())
        page = _page(check, unit, index, limit, with_known=bool(mine))
        head = f'select {index} as "index", to_jsonb("sexton row") as "row"'
        parts.append(f"({head} from {page})")
        parameters += [list(mine)] if mine else []
    # In the same statement, under the locks that it takes before it runs.
    parts.append(f"(select -1, to_jsonb(moved) from ({rewrites.MOVED}) moved)")  # noqa: S608
    parameters += facts.seen.parameters(facts.roots(unit.checks))
    hits = {"sexton hits": unit.hits} if unit.hits else {}
    query = f"{_escaped(_with(unit.tables, hits))} {' union all '.join(parts)}"
    with _without(connection, unit.settings):
        answer = _asked(connection, query, parameters)
    pages: list[list[dict[str, Any]]] = [[] for _ in unit.checks]
    if moved := {line["row"]["root"] for line in answer if line["index"] < 0}:
        raise Moved(facts.names(moved))
    for line in answer:
        pages[line["index"]].append(line["row"])
    found = {}
    for index, check in enumerate(unit.checks):
        listed = pages[index]
        first: dict[str, Any] = listed[0] if listed else {"sexton count": 0}
        if "sexton count" not in first and len(listed) == limit:
            grant()
            first["sexton count"] = _count(connection, unit, index)
        found[check.name] = Found(
            [_row(check, row, known=row.get("sexton known", False)) for row in listed],
            first.get("sexton count", len(listed)),
            first.get("sexton known count", 0),
        )
    return found


def _count(connection: Connection, unit: Unit, index: int) -> int:
    """How many rows a check finds."""
    counted = f"select count(*) as number from ({unit.queries[index]}) found"  # noqa: S608
    [answer] = _asked(connection, _escaped(f"{_with(unit.tables, {})} {counted}"), ())
    return int(answer["number"])


def require_unmoved(connection: Connection, facts: Facts, checks: Sequence[Check]) -> None:
    """Insist that the tables which these checks read are what the snapshot sees."""
    if moved := rewrites.moved(connection, facts.seen, facts.roots(checks)):
        raise Moved(facts.names(moved))


def has_no_parents(connection: Connection, check: Check, facts: Facts) -> bool:
    """Whether the table that a check's references lead to is empty, or looks so."""
    parent = facts.tables.get(check.parent or "")
    if parent is None:
        return False
    query: Any = f"select exists (table {parent.sql})"
    return not scalar(connection, query)


def find_again(
    connection: Connection, check: Check, facts: Facts, found: Sequence[dict[str, Any]]
) -> Counter[str]:
    """The identities of those rows that are findings still, each as often as it is found.

    A row is looked up by its key, a NULL by IS NULL. A key whose type `=` does not compare
    is compared as text.
    """
    if not (check.reference or check.where):
        unit = plan_one(check, facts, recheck=True)
        known = [row["sexton identity"] for row in found]
        again = fetch(connection, unit, len(found), {check.name: known}, facts)
        return Counter(row["sexton identity"] for row in again[check.name].rows)
    shapes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    # Several rows may have one key: it is asked for once, or each were found twice.
    for row in {row["sexton identity"]: row for row in found}.values():
        nulls = tuple(name for name in check.key if row[name] is None)
        shapes.setdefault(nulls, []).append({name: row[name] for name in check.key})
    still: Counter[str] = Counter()
    for nulls, keys in shapes.items():
        try:
            with connection.transaction():
                still += _with_keys(connection, check, facts, nulls, keys)
        except errors.UndefinedFunction:
            with connection.transaction():
                still += _with_keys(connection, check, facts, nulls, keys, "::text")
    require_unmoved(connection, facts, [check])
    return still


def _with_keys(
    connection: Connection,
    check: Check,
    facts: Facts,
    nulls: Sequence[str],
    keys: Sequence[dict[str, Any]],
    cast: str = "",
) -> Counter[str]:
    """The findings among the rows that have these keys, of which some columns are NULL."""
    query = check.rows
    if check.reference:
        query = references.query(check, "anti-join", facts.references[check.name])
    names = [identifier(name) for name in check.key]
    given = [identifier(name) for name in check.key if name not in nulls]
    row = '"sexton row"'
    conditions = [f"{row}.{name}{cast} = wanted.{name}{cast}" for name in given]
    conditions += [f"{row}.{identifier(name)} is null" for name in nulls]
    wanted = f"""
        select {", ".join([f"r.{name}" for name in names])}
        from "sexton wanted" as t (line)
        cross join jsonb_populate_record(
            null::{facts.tables[check.table].sql}, t.line
        ) as r
    """  # noqa: S608 - the check's own names
    tables = _escaped(_with(facts.exposed(check), {"sexton keys": wanted}))
    again_query = f"""
        with "sexton wanted" as (select jsonb_array_elements(%s::jsonb))
        select again.row
        from (
            {tables}
            select to_jsonb({row}) as row
            from "sexton keys" wanted
            join ({_escaped(query)}) {row}
              on {_escaped(" and ".join(conditions)) or "true"}
        ) again
    """  # noqa: S608 - the check's own query
    answer = _asked(connection, again_query, (exact.canonical(keys),))
    return Counter(
        _row(check, line["row"], known=False)["sexton identity"] for line in answer
    )


def exposed(query: str, tables: Mapping[str, str]) -> str:
    """A query on its own, in which names stand for the queries of tables."""
    return f"{_with(tables, {})} {query}"


def _with(tables: Mapping[str, str], once: Mapping[str, str]) -> str:
    """The names that a statement may use: tables as they are, and what is read once."""
    names = [
        f"{quoted(name)} as not materialized ({query})" for name, query in tables.items()
    ]
    names += [f"{quoted(name)} as materialized ({query})" for name, query in once.items()]
    return f"with {', '.join(names)}" if names else ""


def _page(check: Check, unit: Unit, index: int, limit: int, *, with_known: bool) -> str:
    """The first rows by key; a sub-query named `sexton row`.

    Where it costs little to count them all in one go, each row has the number.
    """
    keys = [_escaped(f"found.{identifier(name)}") for name in check.key]
    order = f"order by {', '.join(keys)}" if keys else ""
    # Fenced, or the planner would walk the table in the order of its key until the page
    # is full. What an index finds is found once; a scan, which may find millions, is
    # rather made again to count them than kept, and only where the page is full: to plan
    # it twice costs small tables more than to read them.
    query = _escaped(unit.queries[index])
    fenced = f"(select * from ({query}) fenced offset 0)"  # noqa: S608
    once = ""
    if unit.settings:
        once = f'"sexton found" as materialized ({query}), '
        fenced = '"sexton found"'
    if not (with_known or once or unit.hits):
        return f"""(
            select found.* from {fenced} found {order} limit {limit:d}
        ) as "sexton row"
        """  # noqa: S608 - the check's own query
    if not with_known:
        return f"""(
            with {once}"sexton page" as materialized (
                select found.* from {fenced} found {order} limit {limit:d}
            ),
            "sexton shown" as (select count(*) as number from "sexton page")
            select
                found.*,
                false as "sexton known",
                case
                    when (select number from "sexton shown") < {limit:d}
                    then (select number from "sexton shown")
                    else (select count(*) from {fenced} found)
                end as "sexton count",
                0 as "sexton known count"
            from "sexton page" found {order}
        ) as "sexton row"
    """  # noqa: S608 - the check's own query
    one = '"sexton one"'
    pairs = ", ".join(f"{literal(n)}, {one}.{identifier(n)}" for n in check.key)
    key = _escaped(f"jsonb_build_object({pairs})")
    table = literal(check.table)
    if not check.own("table"):
        table = f"coalesce(to_jsonb({one}) ->> 'table', {table})"
    table = _escaped(table)
    return f"""(
        {f"with {once.removesuffix(', ')}" if once else ""}
        select *
        from (
            select
                found.*,
                count(*) over () as "sexton count",
                count(*) filter (where found."sexton known") over ()
                    as "sexton known count",
                row_number() over (partition by found."sexton known" {order})
                    as "sexton ordinal"
            from (
                select
                    {one}.*,
                    jsonb_build_array({table}, {key}) = any(%s::text[]::jsonb[])
                        as "sexton known"
                from {fenced} {one}
            ) found
        ) found
        where found."sexton known" or found."sexton ordinal" <= {limit:d}
        {order}
    ) as "sexton row"
    """  # noqa: S608 - the check's own query


def _row(check: Check, row: dict[str, Any], *, known: bool) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if not name.startswith("sexton ")}
    table = check.table if check.own("table") else values.get("table", check.table)
    if missing := [name for name in check.key if name not in values]:
        raise BadCheck(f"its rows do not have {', '.join(missing)}, which is its key")
    key = {name: values[name] for name in check.key}
    return {**values, "sexton known": known, "sexton identity": identity(table, key)}


def _judged(
    connection: Connection, check: Check, unit: Unit, limit: int, known: Known
) -> Found:
    """Judge row by row what the query returns, however much that is."""
    assert check.judge is not None
    entries = set(known.get(check.name, ()))
    kept: list[dict[str, Any]] = []
    count = known_count = 0
    query = f"""
        {_with(unit.tables, {})}
        select to_jsonb("sexton row") as row from ({unit.queries[0]}) "sexton row"
    """  # noqa: S608 - the check's own query
    with connection.cursor(name="judged", row_factory=dict_row) as cursor:
        set_json_loads(exact.loads, cursor)
        cursor.execute(_trusted(query))
        for line in cursor:
            plain = _plain(line["row"])
            try:
                judged = check.judge(plain)
            except Exception as error:
                raise BadCheck(
                    f"its judge failed: {type(error).__name__}: {error}"
                ) from error
            if judged is None:
                continue
            # The judge sees Python's numbers; the key has all of its digits.
            judged |= {
                name: line["row"][name]
                for name in check.key
                if name in judged and judged[name] == plain.get(name)
            }
            row = _row(check, judged, known=False)
            row["sexton known"] = row["sexton identity"] in entries
            count += 1
            known_count += row["sexton known"]
            if row["sexton known"] or len(kept) < limit + known_count:
                kept.append(row)
    return Found(kept, count, known_count)


def _plain(value: Any) -> Any:
    """A value of JSON with floats for numbers that have more digits."""
    match value:
        case decimal.Decimal():
            return float(value)
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
    return value


@contextlib.contextmanager
def _without(connection: Connection, settings: Sequence[str]) -> Iterator[None]:
    """Switch planner settings off for a moment; an error's rollback does it by itself."""
    if not settings:
        yield
        return
    set_parameters(connection, dict.fromkeys(settings, "off"), local=True)
    yield
    set_parameters(connection, dict.fromkeys(settings, "on"), local=True)


def _escaped(query: str) -> str:
    return query.replace("%", "%%")


def _asked(
    connection: Connection, query: str, parameters: Sequence[object]
) -> list[dict[str, Any]]:
    """Ask; unlike `rows`, with placeholders even where there are no parameters."""
    with connection.cursor(row_factory=dict_row) as cursor:
        set_json_loads(exact.loads, cursor)
        return cursor.execute(_trusted(query), parameters).fetchall()


def _trusted(query: str) -> Any:
    # Its names are a check's own, its values are parameters.
    return query
