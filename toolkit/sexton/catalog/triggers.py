"""Triggers that users made: whose code runs, and may change rows again, when we write."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sexton.database import Connection, rows
from sexton.errors import Refused
from sexton.text.printable import printable

INSERT, DELETE, UPDATE = 4, 8, 16  # pg_trigger.tgtype's bits
NAMED = 10  # rows that a message names; how many more there are is said
EVENTS = {"insert": INSERT, "delete": DELETE, "update": UPDATE}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that fires where rows are written.

    `written` is the oid of the table that is written: the trigger is its own, or that of a
    partition, or of a table that inherits. It is None where a foreign key takes the change
    there. `events` are bits of `EVENTS`; `constraint` is the whole name, quoted, of a
    constraint trigger that waits for the end of the transaction.
    """

    name: str
    table: str
    written: int | None
    events: int
    constraint: str | None

    def __str__(self) -> str:
        """As a sentence names it."""
        return printable(f"{self.name} on {self.table}")


# Whether users made the trigger `t`. `tgisinternal` alone does not say: before PostgreSQL
# 15, a partition's copy of a user's trigger has it as well. What is internal otherwise
# belongs to a key or a unique constraint.
USERS = """(
    not t.tgisinternal
    or not exists (
        select from pg_catalog.pg_constraint tk
        where tk.oid = t.tgconstraint and tk.contype <> 't'::pg_catalog."char"
    )
)"""

# Beside each table that is written: where its rows are in truth, and where keys lead.
FIRING = f"""
    with recursive reached as (
        select w.oid as relation, w.oid as written, w.events
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.int8[]::pg_catalog.oid[]),
            pg_catalog.unnest(%s::pg_catalog.int4[])
        ) as w (oid, events)
        union
        select f.relation, f.written, f.events
        from reached r
        cross join lateral (
            select i.inhrelid as relation, r.written, r.events
            from pg_catalog.pg_inherits i where i.inhparent = r.relation
            union all
            select k.conrelid, null::pg_catalog.oid, a.events
            from pg_catalog.pg_constraint k
            cross join lateral (
                values (k.confdeltype, {DELETE}), (k.confupdtype, {UPDATE})
            ) as by (action, event)
            cross join lateral (
                select case by.action
                    when 'c'::pg_catalog."char" then by.event else {UPDATE}
                end as events
            ) a
            where k.confrelid = r.relation
              and k.contype = 'f'::pg_catalog."char"
              and by.action = any (array['c', 'n', 'd']::pg_catalog."char"[])
              and r.events & by.event <> 0
        ) f
    )
    select
        t.tgname::pg_catalog.text as name, c.relname::pg_catalog.text as "table",
        r.written::pg_catalog.int8 as written, t.tgtype::pg_catalog.int4 as events,
        case when t.tginitdeferred then pg_catalog.format(
            '%%I.%%I'::pg_catalog.text, n.nspname, k.conname
        ) end as "constraint"
    from (
        select relation, written, pg_catalog.bit_or(events) as events
        from reached group by relation, written
    ) r
    join pg_catalog.pg_trigger t on t.tgrelid = r.relation
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    left join pg_catalog.pg_constraint k on k.oid = t.tgconstraint
    left join pg_catalog.pg_namespace n on n.oid = k.connamespace
    where {USERS}
      and not exists (  -- a copy of one that is listed
          select from pg_catalog.pg_trigger p join reached a on a.relation = p.tgrelid
          where p.oid = t.tgparentid
      )
      and t.tgenabled = any (array['O', 'A']::pg_catalog."char"[])
      and t.tgtype::pg_catalog.int4 & r.events <> 0
      -- The guards' own come before, and set a column of the same row.
      and not (
          t.tgname::pg_catalog.text operator(pg_catalog.~)
              '^(~sexton_live|sexton_guard)'::pg_catalog.text
          and t.tgtype & 2::pg_catalog.int2 <> 0::pg_catalog.int2
      )
    order by t.tgname, c.relname, r.written
"""  # noqa: S608 - numbers of ours


def firing(connection: Connection, written: Mapping[int, int]) -> list[Trigger]:
    """The triggers that fire when tables are written, by name. Reads only, in one query.

    `written` says by oid which `EVENTS` there will be.
    """
    if not written:
        return []
    found = rows(connection, FIRING, list(written), list(written.values()))
    return [Trigger(**row) for row in found]


def fire(connection: Connection, triggers: Sequence[Trigger], *, whole: bool) -> None:
    """Let what is deferred to the end of the transaction happen now.

    With `whole`, whatever is deferred, also what triggers have done to other tables: for a
    transaction of our own, which is about to end. Otherwise the constraint triggers among
    `triggers` alone, and they are deferred again afterwards: in a caller's transaction,
    keys and the constraints of other tables wait for its end. Their code runs on the
    search_path that is set; what it raises leaves as psycopg.Error.
    """
    if whole and triggers:
        connection.execute("set constraints all immediate")
        return
    names = ", ".join(dict.fromkeys(t.constraint for t in triggers if t.constraint))
    for mode in ("immediate", "deferred") if names else ():
        statement: Any = f"set constraints {names} {mode}"
        connection.execute(statement)


def meddlers(triggers: Collection[Trigger], relation: int, events: int) -> str:
    """The triggers that may have changed rows of a table after us, for a sentence."""
    own = [t for t in triggers if t.written == relation and t.events & events]
    names = list(dict.fromkeys(map(str, own or triggers)))
    if len(names) == 1:
        return f"the trigger {names[0]}"
    return f"one of the triggers {', '.join(names)}"


def named(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Rows, each a table and a key, as a sentence names them: the first of many."""
    listed = list(rows)
    said = [
        f"{table} {' '.join(f'{column}={value}' for column, value in key.items())}"
        for table, key in listed[:NAMED]
    ]
    more = f" and {len(listed) - NAMED:,} more" if len(listed) > NAMED else ""
    return f"{printable(', '.join(said))}{more}"


def changed_again(
    by: str,
    columns: Collection[str],
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    kept: str,
) -> Refused:
    """The refusal of rows that are not as they were written; `kept` says what stands.

    `by` is what `meddlers` says, `rows` are as in `named`.
    """
    what = f" in {printable(', '.join(sorted(columns)))}" if columns else ""
    return Refused(
        f"{by} changed again what was written{what}: {named(rows)}; {kept}",
        hint="change or disable the trigger, and type the command again",
    )
