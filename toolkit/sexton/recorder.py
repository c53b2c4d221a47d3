"""Changes that write the journal themselves: one statement for the rows and their record.

The journal holds rows as the server has them: `to_jsonb` in the statement, no trip through
Python. What JSON cannot tell apart is told apart here, and secrets are left out.
"""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from sexton.database import Connection
from sexton.project import current
from sexton.relations import literal, quoted
from sexton.tables import Table

# In an image, the name under which stand the columns that hold a JSON null: SQL's own null
# reads the same. No column can have this name.
JSON_NULLS = ""


def column(name: str) -> str:
    """A column's name in a statement that has parameters."""
    return quoted(name).replace("%", "%%")


def _text(value: str) -> str:
    return f"{literal(value)}::pg_catalog.text".replace("%", "%%")


def image(table: Table, row: str, *, without: Iterable[str] = ()) -> str:
    """A row as jsonb, without secrets and what the server computes.

    `row` is an alias of the table or of a query that has its columns. A value of type json
    is kept as its text, which jsonb would not.
    """
    made = f"pg_catalog.to_jsonb({row})"
    hidden = {c.name for c in table.columns.values() if c.generated} | set(without)
    hidden |= current().secrets & set(table.columns)
    texts = [c.name for c in table.columns.values() if c.type == "json"]
    nulls = [c.name for c in table.columns.values() if c.type == "jsonb"]
    for name in sorted(hidden):
        made += f" operator(pg_catalog.-) {_text(name)}"
    for name, pattern in sorted(current().sensitive.items()):
        if name in table.columns:
            made += (
                f" operator(pg_catalog.-) case when {matches(row, name, pattern)} "
                f"then {_text(name)} else {_text('')} end"
            )
    for name in texts:
        if name not in hidden:
            value = f"{row}.{column(name)}::pg_catalog.text"
            made += (
                " operator(pg_catalog.||) "
                f"pg_catalog.jsonb_build_object({_text(name)}, {value})"
            )
    if nulls := [name for name in nulls if name not in hidden]:
        null = "'null'::pg_catalog.jsonb"
        tests = [f"{row}.{column(n)} operator(pg_catalog.=) {null}" for n in nulls]
        listed = ", ".join(
            f"case when {test} then {_text(name)} end"
            for name, test in zip(nulls, tests, strict=True)
        )
        made += (
            f" operator(pg_catalog.||) case when {' or '.join(tests)} "
            f"then pg_catalog.jsonb_build_object({_text(JSON_NULLS)}, "
            f"pg_catalog.array_remove(array[{listed}], null)) "
            "else '{}'::pg_catalog.jsonb end"
        )
    return f"({made})"


def matches(row: str, name: str, pattern: str) -> str:
    """Whether a column's value holds a secret, as the project's pattern says."""
    return f"{row}.{column(name)}::pg_catalog.text operator(pg_catalog.~) {_text(pattern)}"


def withheld(table: Table, before: str | None, after: str | None) -> str:
    """The columns that undo cannot bring back, for the journal does not keep them: text[].

    Of a changed row those whose value changes, of a deleted one those that hold one.
    """
    if before is None:
        return "null::pg_catalog.text[]"
    cases = []
    patterns: dict[str, str] = dict.fromkeys(current().secrets, "")
    for name, pattern in sorted((patterns | dict(current().sensitive)).items()):
        if name not in table.columns:
            continue
        old = f"{before}.{column(name)}::pg_catalog.text"
        test = f"{old} operator(pg_catalog.<>) {_text('')}"
        if pattern:
            test = matches(before, name, pattern)
        if after is not None:
            new = f"{after}.{column(name)}::pg_catalog.text"
            changed = (
                f"row({old})::pg_catalog.record operator(pg_catalog.*<>) "
                f"row({new})::pg_catalog.record"
            )
            if pattern:
                changed += f" and ({test} or {matches(after, name, pattern)})"
            test = changed
        cases.append(f"case when {test} then {_text(name)} end")
    if not cases:
        return "null::pg_catalog.text[]"
    return f"pg_catalog.array_remove(array[{', '.join(cases)}], null)"


def key_object(key: Iterable[str], row: str) -> str:
    """The key of a row as jsonb."""
    pairs = ", ".join(f"{_text(name)}, {row}.{column(name)}" for name in key)
    return f"pg_catalog.jsonb_build_object({pairs})"


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
            %(run)s, {step}, {check}, {_text(relation.schema)}, {_text(relation.name)},
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
