"""The journal: who changed which rows through Sexton, when, and how they were before.

It lies in the schema `sexton` and is written in the transaction of the change itself. API
keys never enter it.
"""

import getpass
import json
import os
from collections.abc import Mapping
from typing import Any

from toolkit.database import Connection, require_transaction, scalar

SECRETS = ("api_key",)  # columns that never leave their table

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
        undone_by bigint references sexton.runs
    );
    create table if not exists sexton.changes (
        run bigint not null references sexton.runs,
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
) -> int:
    """Open a run in the journal, in the caller's transaction; return its number.

    `kind` is the command, for example `repair` or `provider delete`; `actor` says who,
    by default the operating system's user.
    """
    require_transaction(connection)
    if scalar(connection, "select to_regclass('sexton.changes')") is None:
        connection.execute(TABLES)
    os_user = _os_user()
    return int(
        scalar(
            connection,
            """
            insert into sexton.runs (kind, actor, os_user, plan, options)
            values (%s, %s, %s, %s, %s) returning run
            """,
            kind,
            actor or os_user,
            os_user,
            plan,
            json.dumps(options or {}, default=str),
        )
    )


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
    connection.execute(
        """
        insert into sexton.changes
            (run, step, check_name, table_name, key, before, after, why)
        select %(run)s, coalesce(max(step), 0) + 1, %(check)s, %(table)s, %(key)s,
               %(before)s, %(after)s, %(why)s
        from sexton.changes where run = %(run)s
        """,
        {
            "run": run,
            "check": check,
            "table": table,
            "key": _json(key),
            "before": _json(before),
            "after": _json(after),
            "why": why,
        },
    )


def _json(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    kept = {name: value for name, value in row.items() if name not in SECRETS}
    return json.dumps(kept, default=str)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return str(os.getuid())
