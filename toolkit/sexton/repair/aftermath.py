"""Aftermath: what triggers make of rows that were written, and the journal of that.

What a statement returns of a row is what it wrote. A trigger that fires after it, perhaps
at the end of the transaction alone, may have changed the row since. Where there is one,
rows are written first, then whatever was deferred happens, then they are looked at, and
the journal has each as it then is.
"""

# ruff: noqa: S608 - quoted names; values are parameters

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sexton.catalog.relations import quoted
from sexton.catalog.triggers import EVENTS, Trigger, changed_again, fire, meddlers
from sexton.database import Connection, rows, settings
from sexton.errors import Refused
from sexton.journal.images import JSON_NULLS, column, image, keyed, pick
from sexton.project import current
from sexton.repair.changes import Block, Shape, find_stale, journal
from sexton.text.printable import printable


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as it was written: its key, and the columns that differ.

    `lost` says that nothing is left of the change, and `gone` that the row itself, which
    was changed, is not there any more; neither is in the journal. `by` names the triggers.
    """

    step: int
    table: str
    key: dict[str, Any]
    columns: tuple[str, ...]
    lost: bool
    gone: bool
    by: str


def refuse_differences(found: Sequence[Difference], kept: str) -> None:
    """Raise Refused for rows that are not as they were written; `kept` says what stands."""
    if found:
        columns = {name for difference in found for name in difference.columns}
        keys = ((difference.table, difference.key) for difference in found)
        raise changed_again(found[0].by, columns, keys, kept)


@dataclass
class Aftermath:
    """The rows of one transaction that triggers may change again.

    `own` says that the transaction is ours, and not a caller's.
    """

    connection: Connection
    triggers: Sequence[Trigger]
    own: bool
    _made: list[tuple[Shape, list[dict[str, Any]]]] = field(default_factory=list)

    def add(self, block: Block, written: list[dict[str, Any]]) -> None:
        """Take the rows of a block that were written: of each `step`, `id` and `entry`."""
        if self._made and self._made[-1][0] is block.shape:
            self._made[-1][1].extend(written)
        else:
            self._made.append((block.shape, written))

    def kept_out(self, block: Block, stale: Sequence[int]) -> str:
        """What to say where a trigger kept rows, which are as expected, from a change."""
        if not stale or set(find_stale(self.connection, block)).intersection(stale):
            return ""
        oid = block.shape.table.relation.oid
        by = meddlers(self.triggers, oid, EVENTS[block.shape.kind])
        return f"kept from being written by {by}"

    def another_key(self, block: Block) -> Refused:
        """The refusal of inserted rows that are not those that were meant."""
        table = block.shape.table.relation
        by = meddlers(self.triggers, table.oid, EVENTS["insert"])
        return Refused(
            f"another key is given to inserted rows by {by}",
            hint=f"see the triggers of {printable(table.name)}",
        )

    def settle(self, run: int) -> list[Difference]:
        """Let deferred triggers fire, journal the rows for a run; return what differs.

        In a caller's transaction only those of the tables that are written fire, as
        `sexton.catalog.triggers.fire` says. Raises psycopg.Error where one of them raises.
        """
        if not self._made:
            return []
        schemas = [shape.table.relation.schema for shape, _ in self._made]
        path = ", ".join(["pg_catalog", *map(quoted, dict.fromkeys(schemas)), "pg_temp"])
        with settings(self.connection, {"search_path": path}):
            fire(self.connection, self.triggers, whole=self.own)
        found: list[Difference] = []
        later: dict[tuple[int, str], set[str] | None] = {}
        for shape, written in reversed(self._made):
            kept = [_written_later(later, shape, row["id"]) for row in reversed(written)]
            found += self._look(run, shape, written, kept[::-1])
        self._made.clear()
        return sorted(found, key=lambda difference: difference.step)

    def _look(
        self,
        run: int,
        shape: Shape,
        written: list[dict[str, Any]],
        kept: list[list[str] | None],
    ) -> list[Difference]:
        """Look at rows of a shape; journal each as it is, but for those that are lost."""
        by = meddlers(self.triggers, shape.table.relation.oid, EVENTS[shape.kind])
        # One text, for the driver takes five times as long over an array of them.
        entries = (
            f'{{"kept": {json.dumps(names)}, "row": {row["entry"]}}}'
            for row, names in zip(written, kept, strict=True)
        )
        given = {
            "entries": f"[{','.join(entries)}]",
            "run": run,
            "check": shape.check,
            "updated_at": current().updated_at,
        }
        query: Any = _looking(shape)
        found = rows(self.connection, query, **given)
        name = shape.table.relation.name
        return [
            Difference(**{**row, "columns": tuple(row["columns"])}, table=name, by=by)
            for row in found
        ]


def _written_later(
    later: dict[tuple[int, str], set[str] | None], shape: Shape, id: str
) -> list[str] | None:
    """The columns of a row that a later change of the transaction wrote; None for all.

    `later` has them by table and row, and gets those of this change.
    """
    at = shape.table.relation.oid, id
    seen = later.setdefault(at, set())
    if seen is None or shape.kind != "update":
        later[at] = None
    else:
        later[at] = seen | {*shape.before, JSON_NULLS}
    return None if seen is None else sorted(seen)


def _looking(shape: Shape) -> str:
    """The statement that compares rows with what was written, and journals them.

    Of each of its `entries`, `kept` are the names of columns that a later change wrote; it
    is null for a row that is not looked at.
    """
    table = shape.table
    key = table.key or shape.key
    typed, same = keyed(table, key, "e.id", by="made")
    now = image(table, "t")
    if shape.kind == "update":
        now = pick(table, {name: f"t.{column(name)}" for name in shape.before})
    return f"""
        with made as materialized ({_made(typed)}),
        seen as materialized (
            select made.*, case
                when made.kept is null then made.written
                when t.{column(key[0])} is null then null
                when made.kept operator(pg_catalog.=) '[]'::pg_catalog.jsonb then {now}
                else made.written operator(pg_catalog.||) ({now} operator(pg_catalog.-)
                    array(select pg_catalog.jsonb_array_elements_text(made.kept)))
            end as after
            from made left join {table.sql} t on {same}
        ),
        judged as materialized (
            select seen.*, {_LOST[shape.kind]} as lost from seen
        ),
        done as (select * from judged where not lost),
        journalled as ({journal(shape)})
        select
            step, key, {_COLUMNS[shape.kind]} as columns, lost,
            {shape.kind == "update"} and kept is not null and after is null as gone
        from judged seen where lost or after is distinct from written
    """


def _made(typed: str) -> str:
    """The rows that were written, taken apart once, with their keys `typed`."""
    names = ("key", "id", "before", "written", "meant")
    parts = ", ".join(_part(name, name) for name in names)
    return f"""
        select
            e.*, {typed},
            case when pg_catalog.jsonb_typeof(e.hidden)
                operator(pg_catalog.=) 'array'::pg_catalog.text
                then array(select pg_catalog.jsonb_array_elements_text(e.hidden))
            end as withheld
        from (
            select
                (m.entry operator(pg_catalog.->) 'step'::pg_catalog.text)::pg_catalog.int8
                    as step,
                m.entry operator(pg_catalog.->>) 'why'::pg_catalog.text as why,
                {_part("withheld", "hidden")}, {parts}, m.kept
            from (
                select
                    nullif(
                        r.it operator(pg_catalog.->) 'kept'::pg_catalog.text,
                        'null'::pg_catalog.jsonb
                    ) as kept,
                    r.it operator(pg_catalog.->) 'row'::pg_catalog.text as entry
                from pg_catalog.jsonb_array_elements(%(entries)s::pg_catalog.jsonb)
                    as r (it)
                offset 0
            ) m
            offset 0
        ) e
    """


def _part(name: str, alias: str) -> str:
    """A part of an entry, in which JSON's null stands for none."""
    return (
        f"nullif(m.entry operator(pg_catalog.->) '{name}'::pg_catalog.text, "
        f"'null'::pg_catalog.jsonb) as {alias}"
    )


# Whether nothing is left of a change, and something is as it was before; and which columns
# are not as they were written. No change sets out to change when a row was written.
_MEANT = """
    select from pg_catalog.jsonb_object_keys(seen.meant) as c (name)
    where c.name operator(pg_catalog.<>) all (
            array[''::pg_catalog.text, %(updated_at)s::pg_catalog.text])
      and not seen.kept operator(pg_catalog.?) c.name
      and seen.meant operator(pg_catalog.->) c.name
          is distinct from seen.before operator(pg_catalog.->) c.name
"""
_LOST = {
    "insert": "seen.kept is not null and seen.after is null",
    "delete": "seen.kept is not null and seen.after is not null",
    "update": f"""
        seen.kept is not null and (seen.after is null or (
            seen.after operator(pg_catalog.||) seen.meant
                operator(pg_catalog.<>) seen.after
            and exists ({_MEANT} and seen.after operator(pg_catalog.->) c.name
                is not distinct from seen.before operator(pg_catalog.->) c.name)
            and not exists ({_MEANT} and seen.after operator(pg_catalog.->) c.name
                is not distinct from seen.meant operator(pg_catalog.->) c.name)
        ))
    """,
}
_COLUMNS = dict.fromkeys(("insert", "delete"), "'{}'::pg_catalog.text[]") | {
    "update": """
        array(
            select c.name
            from pg_catalog.jsonb_object_keys(seen.written) as c (name)
            where seen.after is not null
              and c.name operator(pg_catalog.<>) ''::pg_catalog.text
              and seen.after operator(pg_catalog.->) c.name is distinct from coalesce(
                  seen.meant operator(pg_catalog.->) c.name,
                  seen.written operator(pg_catalog.->) c.name
              )
            order by c.name
        )
    """
}
