"""Looking: which query finds a check's rows, alone or in a scan shared with others.

A row comes back as JSON, so that it reads the same whichever query found it.
"""

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.rows import dict_row

from sexton.audit import references
from sexton.check import Check, Reference
from sexton.database import Connection, rows
from sexton.identifiers import identifier
from sexton.relations import literal

LARGE = 1_000  # pages, 8 MB: below that, sharing a scan gains nothing

TABLES = """
    select
        t.name,
        c.reltuples as rows,
        c.relpages as pages,
        coalesce(
            array_agg(a.attname::text) filter (where a.attnum > 0 and not a.attisdropped),
            '{}'
        ) as columns
    from unnest(%s::text[]) as t (name)
    join pg_catalog.pg_class c on c.oid = case
        -- To ask for a table in a schema that one may not enter is an error.
        when strpos(t.name, '.') = 0
            or has_schema_privilege(to_regnamespace(split_part(t.name, '.', 1)), 'usage')
        then to_regclass(t.name)
    end
    left join pg_catalog.pg_attribute a on a.attrelid = c.oid
    group by t.name, c.oid, c.reltuples, c.relpages
"""


@dataclass(frozen=True)
class Table:
    """A table as the catalogs know it; the number of rows is an estimate."""

    rows: float
    pages: int
    columns: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What the catalogs say about the tables and references of some checks."""

    tables: Mapping[str, Table]
    references: Mapping[str, references.Facts]


@dataclass(frozen=True)
class Found:
    """The rows that a check found: the first by key, how many in all, how many known."""

    rows: list[dict[str, Any]]
    count: int
    known: int


@dataclass(frozen=True)
class Unit:
    """Checks that one statement answers; or why there is nothing to ask.

    `queries` has one query for each check; they may read from the common `hits`.
    """

    checks: tuple[Check, ...]
    strategy: str = ""
    queries: tuple[str, ...] = ()
    hits: str = ""
    settings: tuple[str, ...] = ()
    skipped: str | None = None
    enforced: str | None = None

    @property
    def twice(self) -> bool:
        """Whether its findings deserve a second look."""
        return any(check.parent for check in self.checks)

    @property
    def scans(self) -> bool:
        """Whether it reads its table from end to end, and could share that."""
        [check, *_] = self.checks
        by_row = bool(check.where or check.reference)
        return by_row and self.strategy in ("scan", "anti-join")

    def fetch(
        self,
        connection: Connection,
        limit: int,
        known: Mapping[str, Collection[str]],
    ) -> dict[str, Found]:
        """Ask the server: for each check its first rows by key, and how many there are.

        Of the rows whose identity is `known`, all are returned.
        """
        [check, *others] = self.checks
        if check.judge and not others:
            [query] = self.queries
            return {check.name: _judged(connection, check, query, limit, known)}
        parts: list[str] = []
        parameters: list[object] = []
        for place, check in enumerate(self.checks):
            mine = known.get(check.name, ())
            page = _page(check, self.queries[place], limit, with_known=bool(mine))
            head = f'select {place} as "place", to_jsonb(page) as "row"'
            parts.append(f"({head} from {page})")
            parameters += [list(mine)] if mine else []
        hits = f"with hits as materialized ({_escaped(self.hits)})" if self.hits else ""
        query = f"{hits} {' union all '.join(parts)}"
        with _without(connection, self.settings):
            answer = _asked(connection, query, parameters)
        return {
            check.name: _found(
                check, [line["row"] for line in answer if line["place"] == place]
            )
            for place, check in enumerate(self.checks)
        }


def identity(table: str, key: Mapping[str, Any]) -> str:
    """A row as text, to compare it with others: the JSON array of its table and key."""
    return json.dumps([table, key], sort_keys=True, default=str)


def _page(check: Check, query: str, limit: int, *, with_known: bool) -> str:
    """The first rows by key, with the numbers of all; a sub-query named `page`."""
    keys = [f"found.{identifier(name)}" for name in check.key]
    order = f"order by {', '.join(keys)}" if keys else ""
    if not with_known:
        # To count needs no row in order, and to page need not see every row: the planner
        # has a better way for each. A page that is not full has counted all.
        return f"""(
            with page as materialized (
                select found.* from ({_escaped(query)}) found {order} limit {limit:d}
            ),
            shown as (select count(*) as number from page)
            select
                found.*,
                false as "_known",
                case
                    when (select number from shown) < {limit:d}
                    then (select number from shown)
                    else (select count(*) from ({_escaped(query)}) found)
                end as "_count",
                0 as "_known_count"
            from page found {order}
        ) page"""  # noqa: S608 - the check's own query
    pairs = ", ".join(f"{literal(n)}, found.{identifier(n)}" for n in check.key)
    key = f"jsonb_build_object({pairs})"
    table = f"coalesce(to_jsonb(found) ->> 'table', {literal(check.table)})"
    return f"""(
        select *
        from (
            select
                found.*,
                count(*) over () as "_count",
                count(*) filter (where found."_known") over () as "_known_count",
                row_number() over (partition by found."_known" {order}) as "_place"
            from (
                select
                    found.*,
                    jsonb_build_array({table}, {key}) = any(%s::text[]::jsonb[])
                        as "_known"
                from ({_escaped(query)}) found
            ) found
        ) found
        where found."_known" or found."_place" <= {limit:d}
        {order}
    ) page"""  # noqa: S608 - the check's own query


def _found(check: Check, page: list[dict[str, Any]]) -> Found:
    count = page[0]["_count"] if page else 0
    known = page[0]["_known_count"] if page else 0
    return Found([_row(check, row, known=row["_known"]) for row in page], count, known)


def _row(check: Check, row: dict[str, Any], *, known: bool) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if not name.startswith("_")}
    table = values.get("table", check.table)
    key = {name: values[name] for name in check.key}
    return {**values, "_known": known, "_identity": identity(table, key)}


def _judged(
    connection: Connection,
    check: Check,
    query: str,
    limit: int,
    known: Mapping[str, Collection[str]],
) -> Found:
    """Judge row by row what the query returns, however much that is."""
    assert check.judge is not None
    entries = set(known.get(check.name, ()))
    kept: list[dict[str, Any]] = []
    count = known_count = 0
    with connection.cursor(name="judged", row_factory=dict_row) as cursor:
        cursor.execute(_trusted(f"select to_jsonb(f) as row from ({query}) f"))  # noqa: S608
        for line in cursor:
            judged = check.judge(line["row"])
            if judged is None:
                continue
            row = _row(check, judged, known=False)
            row["_known"] = row["_identity"] in entries
            count += 1
            known_count += row["_known"]
            if row["_known"] or len(kept) < limit + known_count:
                kept.append(row)
    return Found(kept, count, known_count)


@contextlib.contextmanager
def _without(connection: Connection, settings: Sequence[str]) -> Iterator[None]:
    """Switch planner settings off for a moment; an error's rollback does it by itself."""
    if not settings:
        yield
        return
    change = "select set_config(name, %s, true) from unnest(%s::text[]) as name"
    connection.execute(change, ("off", list(settings)))
    yield
    connection.execute(change, ("on", list(settings)))


def _escaped(query: str) -> str:
    return query.replace("%", "%%")


def _asked(
    connection: Connection, query: str, parameters: Sequence[object]
) -> list[dict[str, Any]]:
    """Ask; unlike `rows`, with placeholders even where there are no parameters."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_trusted(query), parameters).fetchall()


def _trusted(query: str) -> Any:
    # Its names are a check's own, its values are parameters.
    return query


def read_facts(connection: Connection, selected: Iterable[Check]) -> Facts:
    """Ask the catalogs about everything the checks read."""
    selected = list(selected)
    names = sorted({table for check in selected for table in check.reads})
    tables = {
        row["name"]: Table(row["rows"], row["pages"], frozenset(row["columns"]))
        for row in rows(connection, TABLES, names)
    }
    asked = {
        check.name: (check.table, ref)
        for check in selected
        if (ref := check.reference or check.joins) and not _absent(check, tables)
    }
    known = references.facts(connection, asked.values())
    return Facts(tables, {name: known[pair] for name, pair in asked.items()})


def _absent(check: Check, tables: Mapping[str, Table]) -> str | None:
    for table, needed in check.reads.items():
        if table not in tables:
            if table in check.fallbacks:
                continue
            return f"there is no table {table}"
        if missing := sorted(set(needed) - tables[table].columns):
            return f"{table} has no column {', '.join(missing)}"
    return None


def scope(check: Check, facts: Facts) -> str:
    """What the check looks at: its table, with about how many rows, and what is absent."""
    table = facts.tables.get(check.table)
    said = check.table
    if table and table.rows > 0:
        said += f", about {table.rows:,.0f} rows"
    absent = [name for name in check.fallbacks if name not in facts.tables]
    return said + "".join(f", without {name}, which is absent" for name in absent)


def plan(selected: Sequence[Check], facts: Facts, *, recheck: bool) -> list[Unit]:
    """Units for the checks: scans of a large table are shared, and come first."""
    units = []
    scans: dict[str, list[Check]] = {}
    for check in selected:
        unit = plan_alone(check, facts, recheck=recheck)
        table = facts.tables.get(check.table)
        if unit.scans and table and table.pages >= LARGE:
            scans.setdefault(check.table, []).append(check)
        else:
            units.append(unit)
    first = [unit for checks in scans.values() for unit in _share(checks, facts)]
    return first + units


def plan_alone(check: Check, facts: Facts, *, recheck: bool) -> Unit:
    """The unit of one check; `recheck` looks although a key enforces the reference."""
    if absent := _absent(check, facts.tables):
        return Unit((check,), skipped=absent)
    if check.reference:
        known = facts.references[check.name]
        if known.constraint and not recheck:
            return Unit((check,), enforced=known.constraint)
        strategy = references.choose(check, known).strategy
        query = references.query(check, strategy, known)
        settings = () if strategy == "anti-join" else references.INDEX_ONLY
        return Unit((check,), strategy, (query,), settings=settings)
    absent_tables = [name for name in check.fallbacks if name not in facts.tables]
    stand_ins = ", ".join(f"{name} as ({check.fallbacks[name]})" for name in absent_tables)
    query = f"with {stand_ins} {check.rows}" if stand_ins else check.rows
    return Unit((check,), "scan", (query,))


def _share(checks: list[Check], facts: Facts) -> list[Unit]:
    """One scan for the checks that can join the same parent, or none; others alone."""
    parent: Reference | None = None
    together, alone = [], []
    for check in checks:
        ref = check.joins or check.reference
        if ref is None:
            together.append(check)
            continue
        known = facts.references[check.name]
        # A join must not double rows, nor may two checks mean different parents.
        joins = known.unique and not (ref.parent_where or ref.parent_live or check.live)
        joins = joins and not (known.collation or any(p.schema for p in known.pairs))
        if joins and parent in (None, ref):
            parent = ref
            together.append(check)
        else:
            alone.append(check)
    if len(together) < 2:
        together, alone = [], checks
    units = [plan_alone(check, facts, recheck=True) for check in alone]
    return [_shared(together, parent), *units] if together else units


def _shared(checks: list[Check], parent: Reference | None) -> Unit:
    columns, conditions, queries = [], [], []
    for place, check in enumerate(checks):
        condition = f"({_condition(check)})"
        conditions.append(condition)
        columns.append(f"{condition} as c{place}")
        shown = {name: f"this.{identifier(name)}" for name in check.key}
        if check.reference:
            shown |= {c: f"this.{identifier(c)}" for c in check.reference.columns}
        shown |= {n: f"case when {condition} then {e} end" for n, e in check.select.items()}
        named = {n: identifier(f"c{place}_{n}") for n in shown}
        columns += [f"{e} as {named[name]}" for name, e in shown.items()]
        names = ", ".join(f"hits.{named[n]} as {identifier(n)}" for n in shown)
        queries.append(f"select {names} from hits where hits.c{place}")  # noqa: S608
    join = f"left join {parent.source} parent on {parent.joined}" if parent else ""
    hits = f"""
        select {", ".join(columns)}
        from {identifier(checks[0].table)} this {join}
        where {" or ".join(conditions)}
    """  # noqa: S608 - the checks' own conditions
    return Unit(tuple(checks), "shared scan", tuple(queries), hits)


def _condition(check: Check) -> str:
    """When a row of the shared scan is a finding."""
    conditions = [f"({check.where})"] if check.where else []
    if ref := check.reference:
        conditions += [ref.present, f"parent.{identifier(ref.parent_keys[0])} is null"]
    elif ref := check.joins:
        conditions.append(f"parent.{identifier(ref.parent_keys[0])} is not null")
    return " and ".join(conditions)


def find_again(
    connection: Connection, check: Check, facts: Facts, found: Sequence[dict[str, Any]]
) -> set[str]:
    """The identities of those rows that are findings still."""
    if check.reference is None:
        unit = plan_alone(check, facts, recheck=True)
        again = unit.fetch(connection, len(found), {check.name: _identities(found)})
        return {row["_identity"] for row in again[check.name].rows}
    query = references.query(check, "anti-join", facts.references[check.name])
    keys = [identifier(name) for name in check.key]
    same = " and ".join(f"found.{key} = wanted.{key}" for key in keys)
    wanted = json.dumps([{name: row[name] for name in check.key} for row in found])
    again_query = f"""
        select to_jsonb(found) as row
        from jsonb_populate_recordset(null::{identifier(check.table)}, %s::jsonb) wanted
        join ({_escaped(query)}) found on {same}
    """  # noqa: S608 - the check's own query
    answer = _asked(connection, again_query, (wanted,))
    return {_row(check, line["row"], known=False)["_identity"] for line in answer}


def _identities(found: Iterable[dict[str, Any]]) -> list[str]:
    return [row["_identity"] for row in found]


def examine(connection: Connection, check: Check) -> dict[str, Any]:
    """How the check would look at this database, why so, and which index would help."""
    facts = read_facts(connection, [check])
    unit = plan_alone(check, facts, recheck=False)
    said: dict[str, Any] = {
        "scope": scope(check, facts),
        "skipped": unit.skipped,
        "enforced_by": unit.enforced,
        "strategy": unit.strategy or None,
        "facts": None,
        "costs_ms": None,
        "sql": unit.queries[0] if unit.queries else None,
        "advice": None,
    }
    if unit.skipped:
        return said
    if check.reference:
        known = facts.references[check.name]
        choice = references.choose(check, known)
        said["facts"] = asdict(known)
        said["costs_ms"] = {s: round(cost, 3) for s, cost in choice.costs.items()}
        said["advice"] = choice.advice
    elif check.where and not check.joins and facts.tables[check.table].pages >= LARGE:
        keys = ", ".join(identifier(name) for name in check.key)
        condition = " ".join(check.where.replace("this.", "").split())
        said["advice"] = (
            f"create index concurrently on {check.table} ({keys}) where {condition}"
        )
    return said
