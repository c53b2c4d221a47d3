"""The journal: who changed which rows through Sexton, when, and how they were before.

It lies in the schema `sexton` and is written in the transaction of the change itself. API
keys never enter it.
"""

import getpass
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from sexton.database import Connection, require_transaction, rows, scalar
from sexton.errors import NotFound
from sexton.project import current

TABLES = """
    create schema if not exists sexton;
    create table if not exists sexton.runs (
        run bigint generated always as identity primary key,
        at timestamptz not null default clock_timestamp(),
        kind text not null,
        actor text not null,
        role text not null default current_user,
        os_user text not null,
        plan text,
        options jsonb not null default '{}',
        finished boolean not null default true,
        undone_by bigint references sexton.runs
    );
    create table if not exists sexton.changes (
        run bigint not null,
        step bigint not null,
        check_name text,
        table_name text not null,
        key jsonb not null,
        before jsonb,
        after jsonb,
        why text not null default '',
        primary key (run, step)
    );
"""


def begin_run(
    connection: Connection,
    kind: str,
    *,
    actor: str | None = None,
    plan: str | None = None,
    options: Mapping[str, Any] | None = None,
    finished: bool = True,
) -> int:
    """Open a run in the journal, in the caller's transaction; return its number.

    `kind` is the command, for example `repair` or `provider delete`; `actor` says who,
    by default the operating system's user. A run in several transactions opens with
    `finished=False`, and `finish_run` closes it.
    """
    require_transaction(connection)
    if scalar(connection, "select to_regclass('sexton.changes')") is None:
        connection.execute(TABLES)
    os_user = _os_user()
    return int(
        scalar(
            connection,
            """
            insert into sexton.runs (kind, actor, os_user, plan, options, finished)
            values (%s, %s, %s, %s, %s, %s) returning run
            """,
            kind,
            actor or os_user,
            os_user,
            plan,
            json.dumps(options or {}, default=str),
            finished,
        )
    )


def finish_run(connection: Connection, run: int) -> None:
    """Close a run that was opened unfinished, in the caller's transaction."""
    connection.execute("update sexton.runs set finished = true where run = %s", (run,))


def record(
    connection: Connection,
    run: int,
    table: str,
    key: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    check: str | None = None,
    why: str = "",
) -> None:
    """Write one changed row: before is None for an insert, after for a delete."""
    record_rows(connection, run, table, [(key, before, after)], check=check, why=why)


def record_rows(
    connection: Connection,
    run: int,
    table: str,
    changed: Iterable[
        tuple[Mapping[str, Any], Mapping[str, Any] | None, Mapping[str, Any] | None]
    ],
    *,
    check: str | None = None,
    why: str = "",
) -> None:
    """Write many changed rows of a table at once: each its key, before and after."""
    sides = list(zip(*changed, strict=True)) or [(), (), ()]
    connection.execute(
        """
        insert into sexton.changes
            (run, step, check_name, table_name, key, before, after, why)
        select %(run)s, last.step + row.step, %(check)s, %(table)s,
               row.key, row.before, row.after, %(why)s
        from unnest(%(keys)s::jsonb[], %(befores)s::jsonb[], %(afters)s::jsonb[])
            with ordinality as row (key, before, after, step)
        cross join (
            select coalesce(
                (
                    select step from sexton.changes
                    where run = %(run)s order by step desc limit 1
                ),
                0
            ) as step
        ) last
        """,
        {
            "run": run,
            "check": check,
            "table": table,
            "keys": [_json(key) for key in sides[0]],
            "befores": [_json(row) for row in sides[1]],
            "afters": [_json(row) for row in sides[2]],
            "why": why,
        },
    )


def _json(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    kept = {name: value for name, value in row.items() if name not in current().secrets}
    return json.dumps(kept, default=str)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return str(os.getuid())


RUNS = """
    select
        r.run, r.at, r.actor, r.role, r.os_user, r.kind, r.plan, r.options, r.finished,
        (select count(*) from sexton.changes c where c.run = r.run) as rows,
        r.undone_by
    from sexton.runs r
"""


def has_journal(connection: Connection) -> bool:
    """Whether anything was ever written through Sexton here."""
    return scalar(connection, "select to_regclass('sexton.changes')") is not None


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
