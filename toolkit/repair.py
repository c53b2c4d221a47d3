"""Repair: a plan that says every change before it is made, and the proof afterwards."""

import datetime
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from checks import Check, Severity, all_checks
from toolkit.audit import audit, begin
from toolkit.database import Connection, rows, scalar
from toolkit.errors import Incomplete, Refused, RepairIncomplete
from toolkit.locks import lock_election
from toolkit.schema import require_models, visible_revision

SCHEMA_VERSION = 1
VALIDITY = datetime.timedelta(hours=24)

# Orphans go before a default is chosen, or one of them might be chosen.
ORDER = (
    "model_without_provider",
    "orphaned_default",
    "tombstone_half_set",
    "default_ambiguous",
    "default_missing",
)


@dataclass(frozen=True)
class Action:
    """One row to change: each column before and after, and why."""

    check: str
    table: str
    key: dict[str, Any]
    change: dict[str, list[Any]]
    why: str


@dataclass(frozen=True)
class Skip:
    """What cannot be repaired safely, and what a person must decide."""

    check: str
    key: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Plan:
    """The repairs, in the order in which they will be made."""

    id: str
    database: dict[str, Any]
    revision: str | None
    made_at: datetime.datetime
    actions: list[Action] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The document that `repair --format json` prints."""
        actions = [action.__dict__ for action in self.actions]
        skipped = [skip.__dict__ for skip in self.skipped]
        body = json.dumps([self.database, actions, skipped], sort_keys=True)
        return {
            "schema_version": SCHEMA_VERSION,
            "plan": {
                "id": self.id,
                "database": self.database,
                "revision": self.revision,
                "made_at": self.made_at,
                "expires_at": self.made_at + VALIDITY,
                "digest": hashlib.sha256(body.encode()).hexdigest(),
            },
            "actions": actions,
            "skipped": skipped,
        }


def plan_repair(connection: Connection, selected: Sequence[Check]) -> Plan:
    """Say what to change, row by row. Reads only.

    Call it in a transaction: the audit that it starts from settles its own limits.
    Raises Incomplete where a check could not look, for half a picture is no plan.
    """
    require_models(connection)
    begin(connection)
    chosen = _with_followers(selected)
    plan = Plan(
        id=str(uuid.uuid4()),
        database=identity(connection),
        revision=visible_revision(connection),
        made_at=datetime.datetime.now(datetime.UTC),
    )
    taken: set[tuple[str, str]] = set()
    for outcome in audit(connection, chosen):
        check = outcome.check
        if outcome.status == "incomplete":
            raise Incomplete(f"{check.name} could not look: {outcome.reason}")
        if outcome.status == "skipped":
            continue
        found = rows(connection, check.repair) if check.repair else []
        for row in found:
            action = Action(check=check.name, **row)
            # A row that an earlier repair changes is cured by it, or is its business.
            place = (action.table, json.dumps(action.key, sort_keys=True))
            if place not in taken:
                taken.add(place)
                plan.actions.append(action)
        left = outcome.count - len(found)
        if left > 0 and check.decide and check.severity is not Severity.INFO:
            keys = [finding.key for finding in outcome.findings]
            plan.skipped.extend(
                Skip(check.name, json.loads(json.dumps(key, default=str)), check.decide)
                for key in keys
                if (check.table, json.dumps(key, default=str, sort_keys=True)) not in taken
            )
    return plan


def _with_followers(selected: Sequence[Check]) -> list[Check]:
    """The checks to repair, in order, and those whose repair must follow."""
    chosen: dict[str, Check] = {}
    waiting = list(selected)
    while waiting:
        check = waiting.pop()
        chosen[check.name] = check
        known = all_checks()
        waiting.extend(known[name] for name in check.brings if name not in chosen)
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(chosen.values(), key=lambda c: places.get(c.name, len(ORDER)))


def identity(connection: Connection) -> dict[str, Any]:
    """Which database this is: its name, and the cluster's system identifier."""
    return {
        "name": connection.info.dbname,
        "system_identifier": str(
            scalar(connection, "select system_identifier from pg_control_system()")
        ),
    }


def make_repairs(connection: Connection, plan: Plan) -> int:
    """Make a plan's changes and prove them; return the number of rows changed.

    Each row must still be as the plan saw it. Raises Refused, naming the row, where one
    moved, and RepairIncomplete where a check still finds what its repair should have
    cured: the caller's transaction must then be rolled back.
    """
    lock_election(connection)
    for action in plan.actions:
        _change(connection, action)
    for check in _with_followers([all_checks()[a.check] for a in plan.actions]):
        left = rows(connection, check.repair) if check.repair else []
        if left or (check.decide is None and rows(connection, check.find)):
            raise RepairIncomplete(
                f"{check.name} still finds rows after its repair; nothing was kept",
                hint="somebody else is changing the same rows: run it again",
            )
    return len(plan.actions)


def _change(connection: Connection, action: Action) -> None:
    """Change one row, if it is still as the plan saw it."""
    names = ", ".join(f'"{column}"' for column in action.change)
    matches = " and ".join(f't."{column}" = k."{column}"' for column in action.key)
    same = " and ".join(
        f't."{column}" is not distinct from b."{column}"' for column in action.change
    )
    query: Any = f"""
        update {action.table} t
        set ({names}) = (
            select {names} from jsonb_populate_record(null::{action.table}, %s)
        )
        from jsonb_populate_record(null::{action.table}, %s) k,
             jsonb_populate_record(null::{action.table}, %s) b
        where {matches} and {same}
    """  # noqa: S608 - the names are our checks' own; the values are parameters
    before = {column: pair[0] for column, pair in action.change.items()}
    after = {column: pair[1] for column, pair in action.change.items()}
    parameters = [json.dumps(part) for part in (after, action.key, before)]
    if connection.execute(query, parameters).rowcount != 1:
        raise Refused(
            f"{action.table} {_name(action.key)} moved since the plan was made; "
            "nothing was changed",
            hint="look at the plan again: sexton repair",
        )


def _name(key: dict[str, Any]) -> str:
    return ", ".join(f"{column}={value}" for column, value in key.items())
