"""Look-ups: scans of a large table that an index turns into a few steps.

Which messages came after their model's death is asked of the dead models, not of all the
messages, where an index leads from the one to the other. The planner knows whether that
is less work; what it would read from end to end all the same joins the shared scan.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from sexton.audit import units
from sexton.audit.facts import Facts
from sexton.audit.queries import exposed
from sexton.check import Check
from sexton.database import Connection, scalar


def looked_up(
    connection: Connection, selected: Sequence[Check], facts: Facts
) -> frozenset[str]:
    """The names of those checks that the planner answers by an index; asks of few."""
    return frozenset(
        check.name
        for check in selected
        if check.joins
        and (known := facts.references.get(check.name))
        and known.index
        and facts.tables[check.table].pages >= units.LARGE
        and facts.relations[check.table].kind == "r"
        and not _reads_all(connection, check, facts)
    )


def advice(check: Check, facts: Facts) -> str | None:
    """The index that would turn the check into a look-up, as DDL; None where none would."""
    known = facts.references.get(check.name)
    if not check.joins or known is None or known.index or not known.comparable:
        return None
    if facts.tables[check.table].pages < units.LARGE:
        return None
    columns = ", ".join(check.joins.columns)
    return f"create index concurrently on {check.table} ({columns})"


def _reads_all(connection: Connection, check: Check, facts: Facts) -> bool:
    query: Any = f"explain (format json) {exposed(check.rows, facts.exposed(check))}"
    try:
        with connection.transaction():
            [plan] = scalar(connection, query)
    except psycopg.Error:
        return True  # the check itself will say why
    return any(
        node["Node Type"] == "Seq Scan"
        and node.get("Relation Name") == facts.relations[check.table].name
        for node in _nodes(plan["Plan"])
    )


def _nodes(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    below = [node for part in plan.get("Plans", ()) for node in _nodes(part)]
    return [plan, *below]
