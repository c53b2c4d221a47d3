"""Acts: one change of the life cycle, with who did it and the journal's record of it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sexton import journal
from sexton.chat.locks import lock_election
from sexton.database import Connection, redact, rows, scalar
from sexton.errors import Incomplete, Refused
from sexton.schema import has

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Act:
    """One change under way: the connection, the product's user, the journal's run."""

    connection: Connection
    user: uuid.UUID | None  # goes into created_by and updated_by
    run: int | None  # None where the journal was waived

    def record(
        self,
        table: str,
        key: Row,
        before: Row | None,
        after: Row | None,
        why: str,
    ) -> None:
        """Write one changed row to the journal, without credentials."""
        if self.run is not None:
            journal.record(
                self.connection, self.run, table, key, _safe(before), _safe(after), why=why
            )


def begin(
    connection: Connection,
    kind: str,
    *,
    actor: str | None = None,
    recorded: bool = True,
    options: Row | None = None,
) -> Act:
    """Take the election lock and open a run in the journal, before the first write.

    `actor` is the id or the name of a user of the product, or any other name, which only
    the journal keeps. Raises Refused for an id that no user has, and where the journal
    cannot be written.
    """
    lock_election(connection)
    # A migration locks the parent first; reading a model config first would cross it.
    connection.execute("select from chat_providers where false")
    user = _user(connection, actor)
    if not recorded:
        return Act(connection, user, None)
    _require_journal(connection)
    run = journal.begin_run(connection, kind, actor=actor, options=options)
    return Act(connection, user, run)


def _user(connection: Connection, actor: str | None) -> uuid.UUID | None:
    if actor is None:
        return None
    known = has(connection, "users", "id", "username", "deleted") and scalar(
        connection, "select has_table_privilege('users', 'select')"
    )
    try:
        id = uuid.UUID(actor)
    except ValueError:
        found = (
            rows(
                connection,
                "select id from users where username = %s and not deleted order by id",
                actor,
            )
            if known
            else []
        )
        return found[0]["id"] if len(found) == 1 else None
    if known and not rows(connection, "select from users where id = %s", id):
        raise Refused(
            f"no user has the id {id}", hint="name the actor by a user's id, or freely"
        )
    return id


def _require_journal(connection: Connection) -> None:
    # By catalog: to_regclass raises where the role may not look into the schema.
    allowed = scalar(
        connection,
        """
        with place as (
            select oid from pg_catalog.pg_namespace where nspname = 'sexton'
        ), tables as (
            select c.oid from pg_catalog.pg_class c
            join place p on p.oid = c.relnamespace
            where c.relname in ('runs', 'changes')
        )
        select case
            when not exists (select from place)
                then has_database_privilege(current_database(), 'create')
            when (select count(*) from tables) < 2 then (
                select has_schema_privilege(oid, 'create')
                   and has_schema_privilege(oid, 'usage')
                from place
            )
            else (select has_schema_privilege(oid, 'usage') from place) and (
                select bool_and(
                    has_table_privilege(oid, 'select')
                    and has_table_privilege(oid, 'insert')
                ) from tables
            )
        end
        """,
    )
    if not allowed:
        role = scalar(connection, "select quote_ident(current_user)")
        raise Incomplete(
            f"{role} may not write the journal in the schema sexton; nothing was changed",
            hint="grant usage on schema sexton and select, insert on all its tables to "
            f"{role}, or do without a record: --no-journal",
        )


def _safe(row: Row | None) -> Row | None:
    if row is None or not row.get("base_url"):
        return row
    return {**row, "base_url": redact(row["base_url"])}
