"""What the journal holds. Reads only."""

from typing import Any

from sexton.catalog.relations import resolve
from sexton.database import Connection, rows, scalar
from sexton.errors import NotFound

RUNS = """
    select
        r.run, case when isfinite(r.at) then r.at end as at, r.actor, r.role, r.os_user,
        r.kind, r.plan, r.options, r.finished, r.lost,
        (select count(*) from sexton.changes c where c.run = r.run) as rows,
        r.undone_by
    from sexton.runs r
"""


def has_journal(connection: Connection) -> bool:
    """Whether anything was ever written through Sexton here.

    Raises Refused if reading the journal may run code of an owner who is not trusted.
    """
    return "sexton.changes" in resolve(connection, ["sexton.changes", "sexton.runs"])


def list_runs(connection: Connection) -> list[dict[str, Any]]:
    """All runs, the newest first. Reads only."""
    if not has_journal(connection):
        return []
    return rows(connection, f"{RUNS} order by r.run desc")


def get_run(connection: Connection, run: int) -> dict[str, Any]:
    """One run; raises NotFound. Reads only."""
    found = (
        rows(connection, f"{RUNS} where r.run = %s", run) if has_journal(connection) else []
    )
    if not found:
        raise NotFound(f"there is no run {run} in the journal", hint="sexton history")
    return found[0]


def run_of_plan(connection: Connection, plan: str) -> dict[str, Any] | None:
    """The last run that made this plan, or None. Reads only."""
    if not has_journal(connection):
        return None
    found = rows(
        connection,
        f"{RUNS} where r.plan = %s and r.kind = 'repair' order by r.run desc limit 1",
        plan,
    )
    return found[0] if found else None


def last_step(connection: Connection, run: int) -> int:
    """The number of a run's last step; 0 before the first."""
    return int(
        scalar(
            connection,
            "select coalesce(max(step), 0) from sexton.changes where run = %s",
            run,
        )
    )


def list_changes(connection: Connection, run: int) -> list[dict[str, Any]]:
    """What a run changed, in order: `step`, `check`, `table`, `key`, `before`, `after`."""
    return rows(
        connection,
        """
        select step, check_name as "check", table_name as "table", key, before, after, why
        from sexton.changes where run = %s order by step
        """,
        run,
    )
