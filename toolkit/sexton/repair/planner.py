"""Repair: a plan that says every change before it is made. Planning reads only."""

import contextlib
import datetime
import itertools
import json
import uuid
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from sexton.audit import rewrites
from sexton.catalog.cascades import DOES, referring
from sexton.catalog.relations import Relation, restriction
from sexton.catalog.schema import visible_revision
from sexton.catalog.tables import Table, read_tables
from sexton.check import Check, Rewrite, Severity
from sexton.cure import Repair
from sexton.database import Connection, rows, scalar, settings
from sexton.errors import Incomplete, UsageError
from sexton.postgres.session import ROWS
from sexton.project import all_checks, current
from sexton.repair import cascades, proposals, safety
from sexton.repair.following import asked_for, orphaned_by, with_followers
from sexton.repair.keys import several_rows
from sexton.repair.plan import VALIDITY, Action, Kind, Limit, Options, Plan, Skip
from sexton.repair.simulation import Simulation
from sexton.server_errors import to_sexton_error
from sexton.text import exact
from sexton.text.printable import printable

SKIPS = 100  # listed for each check; how many more there are is said


def plan_repair(
    connection: Connection,
    selected: Sequence[Check],
    options: Options | None = None,
    *,
    known: Mapping[str, Check] | None = None,
) -> Plan:
    """Say what to change, row by row, and why. Reads only; a standby will do.

    Call it in a transaction, best in `snapshot(connection)`: a plan from two moments
    contradicts itself. Each repair is planned as if the ones before it were made, and
    what they leave without a parent is repaired as well, to any depth.
    `known` are all checks there are, by default the project's.

    Raises UsageError for options that make no sense, WrongSchema without the tables,
    Refused where row security may hide rows, and Incomplete where a check could not
    look, for half a picture is no plan. Safety limits do not raise: the plan lists them,
    and whoever makes it refuses (`safety.refuse_unlifted`).
    """
    options = options or Options()
    known = all_checks() if known is None else known
    chosen = with_followers(selected, known)
    if any(check.name in all_checks() for check in chosen):
        current().require(connection)
    _require_unsafe(chosen, options)
    tables = read_tables(connection, named_tables(chosen))
    revision = visible_revision(connection)
    relations = [table.relation for table in tables.values()]
    with (
        settings(connection, ROWS | restriction(relations)),
        _unmoved(connection, relations),
    ):
        simulation = Simulation(connection, tables)
        chosen = [check for check in chosen if not simulation.absent(check)]
        read = {name for check in chosen for name in named_tables([check])}
        safety.refuse_hidden_rows(
            connection, [tables[name] for name in sorted(read) if name in tables]
        )
        planning = _Planning(simulation, options, chosen, known, asked_for(selected, known))
        planning.plan()
        reached = cascades.reach(connection, tables, planning.actions, options.allow)
        tables |= reached.tables
        planning.follow(reached.followed)
        actions, skipped = planning.actions, planning.skips()
        limits = safety.of_plan(connection, tables, actions, chosen, options)
        limits += [limit for limit in reached.limits if limit not in limits]
        limits += planning.forbidden()
        made_at = datetime.datetime.now(datetime.UTC)
        return Plan(
            id=str(uuid.uuid4()),
            database=identity(connection),
            tables={
                name: {"schema": table.relation.schema, "oid": table.relation.oid}
                for name, table in sorted(tables.items())
                if name in {action.table for action in actions}
            },
            checks={
                check.name: check.cure
                for check in chosen
                if check.name in {action.check for action in actions}
            },
            revision=revision,
            made_at=made_at,
            expires_at=made_at + VALIDITY,
            options=json.loads(json.dumps(asdict(options))),
            limits=limits,
            actions=actions,
            skipped=skipped,
        )


@contextlib.contextmanager
def _unmoved(connection: Connection, relations: Sequence[Relation]) -> Iterator[None]:
    """Require at the end that the tables are those that the snapshot sees.

    One that was rewritten, truncated or replaced meanwhile looks empty to it.
    """
    before = rewrites.seen(connection, relations)
    yield
    roots = [relation.oid for relation in relations]
    if moved := rewrites.moved(connection, before, roots):
        names = {relation.name for relation in relations if relation.oid in moved}
        raise Incomplete(
            f"{printable(', '.join(sorted(names)))}: rewritten, truncated or replaced "
            "while the plan was made",
            hint="run the same command again",
        )


def named_tables(checks: Iterable[Check]) -> set[str]:
    """The tables that checks read and their repairs change, by name."""
    return {
        name
        for check in checks
        for name in (
            *check.reads,
            *(proposals.table_of(check, repair) for repair in check.repairs),
        )
    }


def identity(connection: Connection) -> dict[str, Any]:
    """Which database this is: its name and oid, and the cluster's system identifier.

    The identifier is None where this role may not read it.
    """
    [found] = rows(
        connection,
        """
        select
            d.datname::pg_catalog.text as name,
            d.oid::pg_catalog.int8 as oid,
            pg_catalog.has_function_privilege(
                'pg_catalog.pg_control_system()'::pg_catalog.text,
                'execute'::pg_catalog.text
            ) as readable
        from pg_catalog.pg_database d
        where d.datname = pg_catalog.current_database()
        """,
    )
    identifier = None
    if found.pop("readable"):
        query = "select system_identifier from pg_catalog.pg_control_system()"
        identifier = str(scalar(connection, query))
    return {**found, "system_identifier": identifier}


class _failing_as_incomplete:
    """Turns a check's failure to run into Incomplete."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.ProgrammingError):
            raise Incomplete(
                f"{self.check.name} could not be run: {to_sexton_error(error).message}",
                hint="plan without it: sexton repair CHECK...",
            ) from None


def _require_unsafe(chosen: Sequence[Check], options: Options) -> None:
    by_name = {check.name: check for check in chosen}
    for name in options.unsafe:
        if name not in by_name:
            raise UsageError(
                f"--unsafe {name} allows nothing: that check is not among those to repair",
                hint="sexton checks lists them",
            )
        if by_name[name].data_loss is None:
            raise UsageError(
                f"--unsafe {name} is not needed: the repair of that check loses nothing",
                hint="leave the option away",
            )


def _allowed(check: Check, options: Options) -> bool:
    if check.data_loss is not None:
        return check.name in options.unsafe
    return not check.opt_in or check.name in options.named


@dataclass
class _Planning:
    """The actions of a plan, found check by check.

    `chosen` are the checks, in order; those that are not `asked` for are there for the
    rows alone that this plan leaves without a parent.
    """

    simulation: Simulation
    options: Options
    chosen: Sequence[Check]
    known: Mapping[str, Check]
    asked: Collection[str]
    actions: list[Action] = field(default_factory=list)
    _made: set[tuple[str, str, Hashable]] = field(default_factory=set)
    _found: dict[str, set[str]] = field(default_factory=dict)
    _several: dict[tuple[str, Hashable], int] = field(default_factory=dict)

    def plan(self) -> None:
        """Find all actions.

        A repair may leave rows of other tables without a parent, and they others in turn:
        such checks are asked again until they find nothing more. Then come those whose
        repair follows them all, as the election of a default does.
        """
        by_name = {check.name: check for check in self.chosen}
        leads = {
            check.name: [n for n in orphaned_by(check, self.known) if n in by_name]
            for check in self.chosen
            if _allowed(check, self.options)
        }
        spreading = {n for n, led in leads.items() if led}.union(*leads.values())
        for name in by_name.keys() - set(self.asked):
            self._found[name] = {
                _row(by_name[name], row) for row in self._find(by_name[name])
            }
        first = self._before(spreading)
        rest = [c for c in self.chosen if c.name not in spreading | first]
        for check in self.chosen:
            if check.name in first:
                self.actions += self._actions(check)
        due = set(spreading)
        while True:
            self._spread([c for c in self.chosen if c.name in due], leads)
            late = [(check.name, self._actions(check)) for check in rest]
            self.actions += itertools.chain.from_iterable(made for _, made in late)
            due = {n for name, made in late if made for n in leads.get(name, ())}
            if not due:
                return

    def follow(self, reached: list[Action]) -> None:
        """Take in what foreign keys would do to rows of other tables: it comes first."""
        gone = {
            (action.table, exact.identity(action.key))
            for action in reached
            if action.kind == "delete"
        }
        left = [a for a in self.actions if (a.table, exact.identity(a.key)) not in gone]
        self.actions = [*reached, *left]
        for action in reached:
            self.simulation.add(action)

    def forbidden(self) -> Iterator[Limit]:
        """What the keys of guards have against rows that stop to count.

        Such a key refers to a column that a trigger keeps, so no change of it is planned:
        it forbids what leaves a child without its parent.
        """
        updated = {action.table for action in self.actions if action.kind == "update"}
        for check in self.chosen:
            ref, tables = check.reference, self.simulation.tables
            if ref is None or ref.parent not in updated or check.table not in tables:
                continue
            child = tables[check.table].relation.oid
            keys = [
                key
                for key in referring(
                    self.simulation.connection, tables[ref.parent].relation.oid
                )
                if key.child_oid == child
                and {*ref.columns} < {*key.columns}
                and key.on_update not in DOES
            ]
            if not keys:
                continue
            as_it_is = Simulation(self.simulation.connection, tables)
            now = {_row(check, row) for row in as_it_is.find(check)}
            if left := [r for r in self._find(check) if _row(check, r) not in now]:
                saw = keys[0].refuses(ref.parent, len(left), "would not count any more")
                yield Limit(cascades.REFERENCED, saw, "", lifted=False)

    def _before(self, spreading: Collection[str]) -> set[str]:
        """The checks that come before those that spread, as the declarations say."""
        before: set[str] = set()
        wanted = set(spreading)
        for check in reversed(self.chosen):
            if check.name in wanted | before:
                continue
            later = {*check.followed_by}
            later |= {c.name for c in self.chosen if check.name in c.after}
            if later & (wanted | before):
                before.add(check.name)
        return before

    def _spread(self, due: list[Check], leads: Mapping[str, Collection[str]]) -> None:
        """Ask checks until they find nothing more; what hangs on a row comes before it.

        So no key, and no guard, sees a child whose parent has gone before it. What is done
        to one row stays in its order.
        """
        rounds: list[list[Action]] = []
        while due:
            made = {check.name: self._actions(check) for check in due}
            rounds.append(list(itertools.chain.from_iterable(made.values())))
            led = {n for name, found in made.items() if found for n in leads.get(name, ())}
            due = [check for check in self.chosen if check.name in led]
        last = {
            (action.table, exact.identity(action.key)): number
            for number, found in enumerate(rounds)
            for action in found
        }
        self.actions += sorted(
            itertools.chain.from_iterable(rounds),
            key=lambda a: -last[a.table, exact.identity(a.key)],
        )

    def _actions(self, check: Check) -> list[Action]:
        """What a check's repairs change that this plan does not change yet."""
        if not _allowed(check, self.options):
            return []
        made = []
        for repair in check.repairs:
            name = proposals.table_of(check, repair)
            table = self.simulation.tables.get(name)
            wanted = proposals.columns_of(repair)
            if table is None or not wanted <= set(table.columns):
                continue  # an older schema: what is left is listed
            if current().secrets & wanted:
                raise UsageError(
                    f"the repair of {check.name} would let a secret out: "
                    f"{', '.join(sorted(current().secrets & wanted))}",
                    hint="a repair may not write a column that the project keeps secret",
                )
            with _failing_as_incomplete(check):
                found = list(_proposed(self.simulation, check, repair, table))
                several = several_rows(
                    self.simulation.connection,
                    table,
                    [a.key for a in found if a.kind != "insert"],
                )
            for action in found:
                its = exact.identity(action.key)
                at = check.name, action.table, its
                if its in several:
                    self._several[check.name, its] = several[its]
                    continue
                if at in self._made or not self._is_new(check, action):
                    continue
                if whole := _unless_pending(self.simulation, action):
                    self._made.add(at)
                    self.simulation.add(whole)
                    made.append(whole)
        return made

    def _is_new(self, check: Check, action: Action) -> bool:
        """Whether an action is about a row that the plan itself makes a finding."""
        before = self._found.get(check.name)
        if before is None:
            return True
        key = {n: v for n, v in action.key.items() if n in check.key}
        return len(key) < len(check.key) or _row(check, key) not in before

    def _find(self, check: Check) -> list[dict[str, Any]]:
        found = []
        with _failing_as_incomplete(check):
            found += self.simulation.find(check)
        return found

    def skips(self) -> list[Skip]:
        """What the checks would still find after all planned changes, and why."""
        return list(itertools.chain.from_iterable(map(self._skips, self.chosen)))

    def _skips(self, check: Check) -> Iterator[Skip]:
        named = check.name in self.options.named
        if check.severity is Severity.INFO and not named:
            return
        allowed = _allowed(check, self.options)
        if not (check.repairs or check.manual_action):
            return
        before = self._found.get(check.name, set())
        found = [row for row in self._find(check) if _row(check, row) not in before]
        for row in found[:SKIPS]:
            key = {name: row[name] for name in check.key}
            reason = self._unkeyed(check, key) if check.repairs else ""
            if not reason:
                reason = _decision(check) if allowed else _not_asked(check)
            yield Skip(check.name, json.loads(json.dumps(key, default=str)), reason)
        if len(found) > SKIPS:
            reason = _decision(check) if allowed else _not_asked(check)
            yield Skip(check.name, {}, f"and {len(found) - SKIPS:,} more; {reason}")

    def _unkeyed(self, check: Check, key: Mapping[str, Any]) -> str:
        """Why the key of a finding names no row, or more than one; empty if it does."""
        if empty := [name for name, value in key.items() if value is None]:
            return f"not repairable by key: its {printable(', '.join(empty))} is null"
        if count := self._several.get((check.name, exact.identity(key))):
            return f"not repairable by key: {count:,} rows of {check.table} have this key"
        return ""


def _decision(check: Check) -> str:
    return check.manual_action or "its repair does not change this row: look at it"


def _not_asked(check: Check) -> str:
    option = f"sexton repair {check.name}"
    if check.data_loss:
        return (
            f"the repair loses {check.data_loss}; to do it: {option} --unsafe {check.name}"
        )
    return f"the repair is made only when asked for: {option}"


def _row(check: Check, row: Mapping[str, Any]) -> str:
    """What tells a finding from others of its check."""
    return exact.canonical({name: str(row[name]) for name in check.key})


def proposed_keys(
    connection: Connection, check: Check, tables: Mapping[str, Table]
) -> set[tuple[str, Hashable]]:
    """The rows, by table and key, that the repairs of a check would change now."""
    simulation = Simulation(connection, tables)
    return {
        (action.table, exact.identity(action.key))
        for repair in check.repairs
        if (table := tables.get(proposals.table_of(check, repair)))
        for action in _proposed(simulation, check, repair, table)
    }


def _proposed(
    simulation: Simulation, check: Check, repair: Repair, table: Table
) -> Iterator[Action]:
    kind: Kind = "update"
    if isinstance(repair, Rewrite):
        raw = simulation.ask(check, proposals.escaped(check.find))
        query, made = proposals.rewrite(check, repair, table, raw)
        found = simulation.ask(check, query, {"rewritten": made}) if made else []
        why = "{new why}"
    else:
        kind, why = proposals.kind_of(repair), repair.why
        found = simulation.ask(check, proposals.query(check, repair, table))
    name = proposals.table_of(check, repair)
    seen = set()
    for row in (each["proposed"] for each in found):
        its = exact.identity(row["key"])
        if its in seen:
            continue  # two findings, and one row
        seen.add(its)
        before, after = row["before"] or {}, row["after"] or {}
        change = {c: [before.get(c), after.get(c)] for c in {**before, **after}}
        words = {k: "null" if v is None else v for k, v in row["words"].items()}
        yield Action(check.name, name, row["key"], change, why.format_map(words), kind)


def _unless_pending(simulation: Simulation, action: Action) -> Action | None:
    """The action without what earlier ones have set to the time of execution."""
    if action.kind != "update":
        return action
    pending = simulation.pending(action)
    if not pending:
        return action
    if any(pending.get(c) == "now" != pair[1] for c, pair in action.change.items()):
        return None  # what it will be by then is not known before
    change = {
        column: pair
        for column, pair in action.change.items()
        if not (pending.get(column) == pair[1] == "now")
    }
    return Action(action.check, action.table, action.key, change, action.why, action.kind)
