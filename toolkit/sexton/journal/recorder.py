"""Changes that write the journal themselves: one statement for the rows and their record.

The journal holds rows as the server has them: `to_jsonb` in the statement, no trip through
Python. What JSON cannot tell apart is told apart here, and secrets are left out.
"""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from sexton.catalog.tables import Table
from sexton.database import Connection
from sexton.journal.images import column, image, key_object, text, withheld


def entries(table: Table, done: str, *, step: str, check: str = "null", why: str) -> str:
    """The INSERT that journals the rows of the CTE `done`: key, before, after, withheld.

    `step`, `check` and `why` are SQL over its rows; the parameter `run` is the run.
    """
    relation = table.relation
    return f"""
        insert into sexton.changes
            (run, step, check_name, table_schema, table_name, relation,
             key, before, after, withheld, why)
        select
            %(run)s, {step}, {check}, {text(relation.schema)}, {text(relation.name)},
            {relation.oid}, done.key, done.before, done.after, done.withheld, {why}
        from {done} done
    """


@dataclass(frozen=True)
class Recorder:
    """Writes rows and their journal in the caller's transaction.

    `run` is the journal's number, None where nothing is to be recorded. Each method takes
    SQL over the row `this` and returns what `returning` (SQL over `this`, the row as it
    now is; of a deletion, as it was) says of each row, in no order.
    """

    connection: Connection
    run: int | None

    def update(
        self,
        table: Table,
        assignments: Mapping[str, str],
        where: str,
        *,
        why: str,
        parameters: Mapping[str, Any] | None = None,
        returning: str = "1 as changed",
    ) -> list[dict[str, Any]]:
        """Set columns to expressions over `this`, the row before, where `where` holds.

        The rows are locked first, so before and after are those of the change itself.
        """
        sets = ", ".join(f"{column(n)} = {value}" for n, value in assignments.items())
        same = " and ".join(
            f"this.{column(name)} operator(pg_catalog.=) old.{column(name)}"
            for name in table.key
        )
        return self._run(
            f"""
            old as materialized (
                select this.* from {table.sql} as this where {where} for no key update
            ),
            changed as (
                update {table.sql} as this set {sets} from old where {same}
                returning
                    {key_object(table.key, "old")} as "the key",
                    {image(table, "old")} as "the row before",
                    {image(table, "this")} as "the row after",
                    {withheld(table, "old", "this")} as "what is withheld",
                    {returning}
            )
            """,
            table,
            why,
            parameters,
        )

    def delete(
        self,
        table: Table,
        where: str,
        *,
        why: str,
        parameters: Mapping[str, Any] | None = None,
        returning: str = "1 as changed",
    ) -> list[dict[str, Any]]:
        """Delete the rows where `where` holds."""
        return self._run(
            f"""
            changed as (
                delete from {table.sql} as this where {where}
                returning
                    {key_object(table.key, "this")} as "the key",
                    {image(table, "this")} as "the row before",
                    null::pg_catalog.jsonb as "the row after",
                    {withheld(table, "this", None)} as "what is withheld",
                    {returning}
            )
            """,
            table,
            why,
            parameters,
        )

    def insert(
        self,
        table: Table,
        columns: Sequence[str],
        source: str,
        *,
        why: str,
        parameters: Mapping[str, Any] | None = None,
        returning: str = "1 as changed",
        conflict: str = "",
    ) -> list[dict[str, Any]]:
        """Insert what `source` returns, `values (…)` or a query, into these columns."""
        return self._run(
            f"""
            changed as (
                insert into {table.sql} as this ({", ".join(map(column, columns))})
                {source}
                {conflict}
                returning
                    {key_object(table.key, "this")} as "the key",
                    null::pg_catalog.jsonb as "the row before",
                    {image(table, "this")} as "the row after",
                    {withheld(table, None, "this")} as "what is withheld",
                    {returning}
            )
            """,
            table,
            why,
            parameters,
        )

    def _run(
        self, ctes: str, table: Table, why: str, parameters: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        journalled = ""
        if self.run is not None:
            step = f"{LAST} + pg_catalog.row_number() over (order by done.key)"
            entry = entries(table, DONE, step=step, why="%(why)s")
            journalled = f", journalled as ({entry})"
        query: Any = f"with {ctes}{journalled} select * from changed"
        given = {**(parameters or {}), "run": self.run, "why": why}
        with self.connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(query, given).fetchall()
        for row in found:
            for name in OWN:
                del row[name]
        return found


OWN = ("the key", "the row before", "the row after", "what is withheld")
DONE = """(
    select "the key" as key, "the row before" as before, "the row after" as after,
        "what is withheld" as withheld
    from changed
)"""
LAST = """(
    select coalesce(pg_catalog.max(c.step), 0::pg_catalog.int8)
    from sexton.changes c where c.run = %(run)s
)"""
