"""Admission: what is asked of a plan before it is applied. Reads only."""

import datetime
from collections.abc import Mapping

from sexton.catalog.relations import resolve
from sexton.catalog.schema import visible_revision
from sexton.catalog.tables import Table
from sexton.check import Check, Insert
from sexton.database import Connection
from sexton.errors import Refused
from sexton.repair import proposals
from sexton.repair.cascades import CASCADES, reachable
from sexton.repair.plan import ActionGroup, Plan
from sexton.repair.planner import identity
from sexton.text.printable import printable


def require_possible(
    connection: Connection, plan: Plan, known: Mapping[str, Check]
) -> None:
    """Insist that a plan changes nothing that the repairs of its checks would not.

    Beside that, what foreign keys would do to other rows because of them.
    """
    for group in plan.groups:
        name = printable(group.check)
        if group.check not in known:
            raise Refused(
                f"the plan is for a check {name}, which is not known here",
                hint="say where your own checks are: --checks DIR",
            )
        check = known[group.check]
        if plan.checks.get(group.check, check.cure) != check.cure:
            raise Refused(
                f"the plan is for {name} as it was declared then, and its findings or its "
                "repair have changed",
                hint="make a new plan: sexton repair",
            )
        columns = set(group.columns) - {""}
        if not any(
            target.allows(group.table, group.kind, columns)
            for target in proposals.targets(check)
        ) and not _reached(connection, plan, group, check):
            listed = printable(", ".join(sorted(columns)))
            raise Refused(
                f"the plan would {group.kind} {printable(group.table)} ({listed}), and the "
                f"repair of {name} does no such thing; nothing was changed",
                hint="make a plan of your own: sexton repair --out FILE",
            )


def _reached(connection: Connection, plan: Plan, group: ActionGroup, check: Check) -> bool:
    """Whether foreign keys would do this because of rows that the check deletes."""
    if group.kind == "insert" or CASCADES not in plan.options.get("allow", ()):
        return False
    names = [t.table for t in proposals.targets(check) if t.kind == "delete"]
    found = resolve(connection, [*names, group.table])
    deleted = [found[name].oid for name in names if name in found]
    if group.table not in found:
        return False
    known = reachable(connection, deleted)
    _, columns = known.get(found[group.table].oid, ("", frozenset()))
    if group.kind == "delete" or columns is None:
        return columns is None and group.kind == "delete"
    return {*group.columns} - {""} <= columns


def require_same_database(connection: Connection, plan: Plan) -> None:
    """Insist on the database, the cluster and the revision that a plan was made for."""
    here = identity(connection)
    names = {"name": "is called", "oid": "has the oid", "system_identifier": "lies in the"}
    for name in names:
        value = plan.database.get(name)
        # What the planning role, or this one, may not know cannot be compared.
        if value is None or here[name] is None or value == here[name]:
            continue
        there = printable(str(plan.database["name"]))
        if name == "name":
            said = f"the plan was made for the database {there}, and this is {here[name]}"
        else:
            said = (
                f"the plan was made for another database that is called {there}: "
                f"one with the {name.replace('_', ' ')} {printable(str(value))}, "
                f"and this one's is {here[name]}"
            )
        raise Refused(
            said, hint="check --url, or make a plan for this database: sexton repair"
        )
    at = visible_revision(connection)
    if plan.revision is not None and at != plan.revision:
        raise Refused(
            f"the plan was made at revision {printable(plan.revision)}, and the database "
            f"is at {printable(str(at))}",
            hint="make a new plan: sexton repair",
        )


def require_same_tables(
    plan: Plan, tables: Mapping[str, Table], known: Mapping[str, Check]
) -> None:
    """Insist that a plan's names mean the tables that they meant, with its columns.

    And that it names rows as they are named here: a row that is named otherwise could be
    changed, and not be found again by an undo.
    """
    for name in sorted({group.table for group in plan.groups}):
        meant, here = plan.tables.get(name), tables.get(name)
        if here is None:
            raise Refused(
                f"there is no table {printable(name)} any more",
                hint="make a new plan: sexton repair",
            )
        found = {"schema": here.relation.schema, "oid": here.relation.oid}
        if meant != found:
            other = meant["schema"] if meant else "another schema"
            raise Refused(
                f"the plan was made for {printable(name)} in the schema "
                f"{printable(str(other))}, and here it is another table, in "
                f"{printable(here.relation.schema)}",
                hint="check search_path, or make a new plan: sexton repair",
            )
        for group in plan.groups:
            if group.table != name:
                continue
            _require_key(group, here, known[group.check])
            missing = {*group.key, *group.columns} - {"", *here.columns}
            if missing:
                raise Refused(
                    f"{printable(name)} has no column {printable(min(missing))}",
                    hint="make a new plan: sexton repair",
                )


def _require_key(group: ActionGroup, table: Table, check: Check) -> None:
    keys = {tuple(sorted(table.key or check.key))}
    if group.kind == "insert":
        keys = {tuple(sorted(r.key)) for r in check.repairs if isinstance(r, Insert)}
    if group.key not in keys:
        wanted = " or ".join(", ".join(key) for key in sorted(keys))
        raise Refused(
            f"the plan names rows of {printable(group.table)} by "
            f"{printable(', '.join(group.key))}, and they are named by "
            f"{printable(wanted)}; nothing was changed",
            hint="make a new plan: sexton repair",
        )


def require_valid(plan: Plan) -> None:
    """Insist that a plan has not expired."""
    if datetime.datetime.now(datetime.UTC) > plan.expires_at:
        raise Refused(
            f"the plan expired at {plan.expires_at:%Y-%m-%d %H:%M} UTC",
            hint="make a new plan: sexton repair",
        )
