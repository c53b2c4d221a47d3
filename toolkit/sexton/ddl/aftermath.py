"""Aftermath: whether rows that a step changed are still so once triggers have fired."""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sexton.catalog.relations import SAFE_PATH
from sexton.catalog.tables import Table
from sexton.catalog.triggers import EVENTS, Trigger, changed_again, fire, meddlers
from sexton.database import Connection, rows, settings
from sexton.journal.images import column, image, key_object, keyed
from sexton.journal.recorder import entries, following


@dataclass(frozen=True)
class Aftermath:
    """What users' triggers may make of a table's rows after a change of this `kind`.

    `written` are the columns that the change sets.
    """

    triggers: Sequence[Trigger]
    table: Table
    kind: str
    written: Sequence[str]

    @property
    def by(self) -> str:
        """Who may have changed them, for a sentence."""
        oid = self.table.relation.oid
        return meddlers(self.triggers, oid, EVENTS[self.kind])

    @property
    def returning(self) -> dict[str, str]:
        """What the change has to return of each row, for `confirm`."""
        found = {"id": f"{key_object(self.table.key, 'this')}::pg_catalog.text"}
        if self.kind != "delete":
            found["row"] = f"{image(self.table, 'this')}::pg_catalog.text"
        return found

    def confirm(
        self, connection: Connection, run: int | None, made: Sequence[dict[str, Any]]
    ) -> None:
        """Let constraint triggers fire, and look at the rows that a change returned.

        What else triggers changed in them becomes entries of its own in the journal, where
        there is a `run`. Raises Refused where a row is not what the change made of it, or
        psycopg.Error where a trigger raises. The caller's search_path is that of the
        table's own triggers.
        """
        fire(connection, self.triggers, whole=False)
        given = {
            "ids": [row["id"] for row in made],
            "rows": [row.get("row") for row in made],
            "written": list(self.written),
            "run": run,
            "by": f"{self.by} changed it again",
        }
        query: Any = self._query(journalled=run is not None)
        with settings(connection, {"search_path": SAFE_PATH}):
            found = rows(connection, query, **given)
        if found:
            name = self.table.relation.name
            columns = {column for row in found for column in row["columns"]}
            keys = [(name, row["id"]) for row in found]
            raise changed_again(self.by, columns, keys, "it was rolled back")

    def _query(self, *, journalled: bool) -> str:
        table = self.table
        typed, same = keyed(table, table.key, "e.id", by="made")
        there = f"t.{column(table.key[0])} is not null"
        last, why = following("done.key"), "%(by)s::pg_catalog.text"
        journal = entries(table, "done", step=last, why=why)
        changed = """, done as (
            select id as key, before, after, null::pg_catalog.text[] as withheld
            from seen where after is distinct from before and after is not null
        )"""
        return f"""
            with made as materialized (
                select e.*, {typed}
                from (
                    select r.id::pg_catalog.jsonb as id, r.row::pg_catalog.jsonb as before
                    from rows from (
                        pg_catalog.unnest(%(ids)s::pg_catalog.text[]),
                        pg_catalog.unnest(%(rows)s::pg_catalog.text[])
                    ) as r (id, "row")
                    offset 0
                ) e
            ),
            seen as materialized (
                select
                    made.id, made.before,
                    case when {there} then {image(table, "t")} end as after
                from made left join {table.sql} t on {same}
            )
            {changed + f", journalled as ({journal})" if journalled else ""}
            select seen.id, w.columns
            from seen
            cross join lateral (
                select array(
                    select n.name
                    from pg_catalog.unnest(%(written)s::pg_catalog.text[]) as n (name)
                    where seen.after is not null
                      and seen.after operator(pg_catalog.->) n.name
                          is distinct from seen.before operator(pg_catalog.->) n.name
                    order by n.name
                ) as columns
            ) w
            where {_WRONG[self.kind]}
            order by seen.id
        """


_WRONG = {
    "delete": "seen.after is not null",
    "insert": "seen.after is null or w.columns <> '{}'::pg_catalog.text[]",
    "update": "seen.after is null or w.columns <> '{}'::pg_catalog.text[]",
}
