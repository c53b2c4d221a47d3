"""Units: which statement answers which checks, separate or shared.

Checks that read the same large table from end to end share one scan of it; checks of
small tables share one statement, for there the way to the server is what costs.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sexton.audit import references
from sexton.audit.facts import Facts, read_facts
from sexton.catalog.identifiers import identifier
from sexton.catalog.relations import bind
from sexton.check import Check, Reference
from sexton.database import Connection

if TYPE_CHECKING:
    from sexton.audit.ranges import Cut

LARGE = 1_000  # pages, 8 MB: below that, sharing a scan gains nothing
JOINED = 32  # tables in one statement: each of its queries is planned with all of them


@dataclass(frozen=True)
class Unit:
    """Checks that one statement answers; or why there is nothing to ask.

    `queries` has one query for each check; they may read from the common `hits`. In them,
    names of tables stand for the queries of `tables`. With `cut`, it is asked piece by
    piece.
    """

    checks: tuple[Check, ...]
    strategies: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    hits: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    skipped: str | None = None
    barred: str | None = None
    enforced: str | None = None
    cut: "Cut | None" = None

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask the server."""
        return bool(self.queries)

    @property
    def twice(self) -> bool:
        """Whether its findings deserve a second look."""
        return any(check.parent for check in self.checks)


def plan(
    selected: Sequence[Check],
    facts: Facts,
    *,
    recheck: bool = False,
    joinable: Collection[str] = (),
    lookups: Collection[str] = (),
) -> list[Unit]:
    """Units for the checks: scans of a large table are shared, and come first.

    Those named in `joinable`, whose tables are small, share one statement; those in
    `lookups` are answered by an index, and share no scan.
    """
    units: list[Unit] = []
    small: list[Unit] = []
    tables: dict[str, str] = {}
    scans: dict[str, list[Check]] = {}
    for check in selected:
        unit = plan_one(check, facts, recheck=recheck)
        if check.name in lookups:
            units.append(replace(unit, strategies=("look-up",)))
        elif _scans(unit, check) and facts.tables[check.table].pages >= LARGE:
            scans.setdefault(check.table, []).append(check)
        elif (
            check.name in joinable
            and _is_small(unit, check, facts)
            # Two checks may have different queries in the place of an absent table.
            and all(tables.get(name, q) == q for name, q in unit.tables.items())
        ):
            tables |= unit.tables
            small.append(unit)
        else:
            units.append(unit)
    first = [unit for checks in scans.values() for unit in _share(checks, facts)]
    return [*first, *_joined(small), *units]


def plan_one(check: Check, facts: Facts, *, recheck: bool) -> Unit:
    """The unit of one check; `recheck` looks although a key enforces the reference."""
    if absent := facts.absent(check):
        return Unit((check,), skipped=absent)
    if barred := facts.barred(check):
        return Unit((check,), barred=barred)
    tables = facts.exposed(check)
    if not check.reference:
        query = bind(check.rows, facts.relations)
        return Unit((check,), ("scan",), (query,), tables=tables)
    known = facts.references[check.name]
    if known.constraint and not recheck:
        return Unit((check,), ("constraint",), enforced=known.constraint)
    strategy = references.choose(check, known).strategy
    query = references.query(check, strategy, known)
    settings = () if strategy == "anti-join" else references.INDEX_ONLY
    return Unit((check,), (strategy,), (query,), tables=tables, settings=settings)


def _scans(unit: Unit, check: Check) -> bool:
    """Whether it reads its table from end to end, and could share that."""
    by_row = bool(check.where or check.reference)
    return by_row and unit.strategies in (("scan",), ("anti-join",))


def _is_small(unit: Unit, check: Check, facts: Facts) -> bool:
    return (
        unit.asks
        and not (unit.settings or check.judge)
        and all(
            facts.tables[name].pages < LARGE for name in check.reads if name in facts.tables
        )
    )


def _joined(units: Sequence[Unit]) -> Iterator[Unit]:
    """Statements for several checks each, which have nothing else in common."""
    part: list[Unit] = []
    tables: dict[str, str] = {}
    for unit in units:
        if part and len(tables | unit.tables) > JOINED:
            yield _joint(part, tables)
            part, tables = [], {}
        part.append(unit)
        tables |= unit.tables
    if part:
        yield _joint(part, tables)


def _joint(units: Sequence[Unit], tables: dict[str, str]) -> Unit:
    return Unit(
        tuple(check for unit in units for check in unit.checks),
        tuple(strategy for unit in units for strategy in unit.strategies),
        tuple(query for unit in units for query in unit.queries),
        tables=tables,
    )


def _share(checks: list[Check], facts: Facts) -> list[Unit]:
    """One scan for the checks that can join the same parent, or none; others alone."""
    parent: Reference | None = None
    shared, separate = [], []
    for check in checks:
        ref = check.joins or check.reference
        if ref is None:
            shared.append(check)
            continue
        known = facts.references[check.name]
        # A join must not double rows, nor may two checks mean different parents.
        joins = known.unique and not (ref.parent_where or ref.parent_live)
        joins = joins and not (known.collation or any(p.schema for p in known.pairs))
        if joins and parent in (None, ref):
            parent = ref
            shared.append(check)
        else:
            separate.append(check)
    if len(shared) < 2:
        shared, separate = [], checks
    units = [plan_one(check, facts, recheck=True) for check in separate]
    return [_shared(shared, parent, facts), *units] if shared else units


def _shared(checks: list[Check], parent: Reference | None, facts: Facts) -> Unit:
    columns, conditions, queries = [], [], []
    # Bare columns are seen where no other table is, so that they can only be its own.
    lives = [
        f'(\n{check.live}\n) as "sexton live {index}"'
        for index, check in enumerate(checks)
        if check.live
    ]
    table = identifier(checks[0].table)
    source = f"(select *, {', '.join(lives)} from {table})" if lives else table  # noqa: S608
    for index, check in enumerate(checks):
        condition = f"({_condition(check)})"
        if check.live:
            condition = f'(this."sexton live {index}" and {condition})'
        conditions.append(condition)
        columns.append(f"{condition} as c{index}")
        shown = {name: f"this.{identifier(name)}" for name in check.key}
        if check.reference:
            shown |= {c: f"this.{identifier(c)}" for c in check.reference.columns}
        shown |= {n: f"case when {condition} then {e} end" for n, e in check.select.items()}
        named = {n: identifier(f"c{index}_{n}") for n in shown}
        columns += [f"{e} as {named[name]}" for name, e in shown.items()]
        names = ", ".join(f"hits.{named[n]} as {identifier(n)}" for n in shown)
        queries.append(f'select {names} from "sexton hits" hits where hits.c{index}')  # noqa: S608
    join = f"left join {parent.source} parent on {parent.joined}" if parent else ""
    hits = f"""
        select {", ".join(columns)}
        from {source} this {join}
        where {" or ".join(conditions)}
    """  # noqa: S608 - the checks' own conditions
    tables = {n: q for check in checks for n, q in facts.exposed(check).items()}
    strategies = ("shared scan",) * len(checks)
    return Unit(tuple(checks), strategies, tuple(queries), hits, tables)


def _condition(check: Check) -> str:
    """When a row of the shared scan is a finding."""
    conditions = [f"({check.where})"] if check.where else []
    if ref := check.reference:
        conditions += [ref.present, f"parent.{identifier(ref.parent_keys[0])} is null"]
    elif ref := check.joins:
        conditions.append(f"parent.{identifier(ref.parent_keys[0])} is not null")
    return " and ".join(conditions)


def examine(connection: Connection, check: Check) -> dict[str, Any]:
    """How the check would look at this database, why so, and which index would help."""
    facts = read_facts(connection, [check])
    unit = plan_one(check, facts, recheck=False)
    said: dict[str, Any] = {
        "scope": facts.scope(check),
        "skipped": unit.skipped,
        "barred": unit.barred,
        "enforced_by": unit.enforced,
        "strategy": unit.strategies[0] if unit.strategies and unit.asks else None,
        "facts": None,
        "costs_ms": None,
        "sql": unit.queries[0] if unit.queries else None,
        "advice": None,
    }
    if unit.skipped or unit.barred:
        return said
    if check.reference:
        known = facts.references[check.name]
        choice = references.choose(check, known)
        said["facts"] = asdict(known)
        said["costs_ms"] = {s: round(cost, 3) for s, cost in choice.costs.items()}
        said["advice"] = choice.advice
    elif check.joins:
        from sexton.audit.lookups import advice

        said["advice"] = advice(check, facts)
    elif check.where and facts.tables[check.table].pages >= LARGE:
        keys = ", ".join(identifier(name) for name in check.key)
        condition = " ".join(check.where.replace("this.", "").split())
        said["advice"] = (
            f"create index concurrently on {check.table} ({keys}) where {condition}"
        )
    return said
