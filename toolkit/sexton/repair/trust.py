"""Trust: what a run's journal may say, for whoever can write into it is not believed.

A row of the journal says which table, which columns and which values, never SQL; and only
what the project declares that Sexton writes is written again.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from psycopg.rows import dict_row

from sexton.catalog.tables import Table
from sexton.catalog.triggers import USERS
from sexton.check import Check
from sexton.database import Connection, rows
from sexton.errors import Incomplete, Refused
from sexton.journal.images import JSON_NULLS
from sexton.project import current
from sexton.repair import proposals
from sexton.repair.plan import Limit
from sexton.text.printable import printable

WRITER = "writer"
TABLE = "table"
HISTORY = "sexton history {run}"

TOUCHED = """
    select
        c.table_schema as schema, c.table_name as name,
        c.before is null as inserted, c.after is null as deleted,
        pg_catalog.max(c.relation::pg_catalog.int8) as relation,
        pg_catalog.count(distinct c.relation) as relations,
        pg_catalog.count(*) as rows,
        pg_catalog.array_agg(distinct k.name) filter (where k.name is not null) as columns,
        pg_catalog.array_agg(distinct k.name) filter (where k.changed) as changed
    from sexton.changes c
    left join lateral (
        select e.name, b.value is distinct from a.value as changed
        from (
            select pg_catalog.jsonb_object_keys(c.before) as name
            union select pg_catalog.jsonb_object_keys(c.after)
            union select pg_catalog.jsonb_object_keys(c.key)
        ) e
        cross join lateral (
            values (c.before operator(pg_catalog.->) e.name)
        ) as b (value)
        cross join lateral (values (c.after operator(pg_catalog.->) e.name)) as a (value)
    ) k on true
    where c.run = %s::pg_catalog.int8
    group by c.table_schema, c.table_name, c.before is null, c.after is null
    order by c.table_schema, c.table_name, inserted, deleted
"""


def read_touched(
    connection: Connection,
    run: Mapping[str, Any],
    touchable: Mapping[str, set[str]],
    by_name: Mapping[str, Table],
) -> tuple[dict[tuple[str | None, str], Table], list[dict[str, Any]]]:
    """The tables of a run by schema and name, and what it did to which columns of them.

    `touchable` are the tables that may be written, with their columns, and `by_name` those
    of them that are there. Reads only, on a search path that is safe.

    Raises Refused where a row was written by another role or in another transaction, for
    a table or column that nothing declared writes, and for one that is gone.
    """
    number = run["run"]
    _require_one_writer(connection, run)
    found = rows(connection, TOUCHED, number)
    tables: dict[tuple[str | None, str], Table] = {}
    for row in found:
        name, table = _meant(number, row, touchable, by_name)
        if row["inserted"] and row["deleted"]:
            raise Refused(
                f"run {number} says of a row of {printable(name)} neither what it was nor "
                "what it became: Sexton writes no such entry",
                hint="no option lifts this; " + HISTORY.format(run=number),
            )
        tables[row["schema"], row["name"]] = table
        row["columns"] = [c for c in row["columns"] or () if c != JSON_NULLS]
        row["allowed"], row["oid"] = touchable[name], table.relation.oid
        _require_columns(number, row, table, touchable[name])
    return tables, found


def _meant(
    number: int,
    row: Mapping[str, Any],
    touchable: Mapping[str, set[str]],
    by_name: Mapping[str, Table],
) -> tuple[str, Table]:
    """The declared table that the journal speaks of, and its name."""
    shown, hint = printable(row["name"]), HISTORY.format(run=number)
    here = [e for e in by_name.items() if e[1].relation.name == row["name"]]
    if not here and row["name"] not in {n.rpartition(".")[2] for n in touchable}:
        raise Refused(
            f"run {number} says that it changed {shown}, and nothing that is declared here "
            "changes that table: somebody else wrote the journal, or a project or a check "
            "that is not loaded",
            hint=hint,
        )
    for name, table in here:
        if row["schema"] in (None, table.relation.schema):
            return name, table
    where = f"in the schema {printable(row['schema'])}" if row["schema"] else "there"
    there = "that table is gone"
    if here:
        there = f"here it is the one in {printable(here[0][1].relation.schema)}"
    raise Refused(
        f"run {number} changed {shown} {where}; {there}",
        hint=f"check --url and search_path; what was there, says {hint}",
    )


def _require_columns(
    number: int, row: Mapping[str, Any], table: Table, allowed: set[str]
) -> None:
    shown, hint = printable(row["name"]), HISTORY.format(run=number)
    if gone := [c for c in row["columns"] if c not in table.columns]:
        raise Refused(
            f"run {number} changed {shown}, which has no column {printable(gone[0])} any "
            "more: the schema moved on, and the rows cannot come back as they were",
            hint=hint,
        )
    changed = set(row["changed"] or ()) - {JSON_NULLS}
    wrong = changed - allowed
    # A trigger may have set a column of its own beside ours: that one is left as it is.
    if not (row["inserted"] or row["deleted"]) and allowed and wrong and wrong == changed:
        raise Refused(
            f"run {number} says that it changed {printable(min(wrong))} of {shown}, and "
            "nothing that is declared here changes that column",
            hint=hint,
        )


def _require_one_writer(connection: Connection, run: Mapping[str, Any]) -> None:
    strangers = rows(
        connection,
        """
        select c.step, c.role
        from sexton.changes c
        join sexton.runs r on r.run = c.run
        where r.run = %s::pg_catalog.int8
          and (
              coalesce(c.role, r.role) <> r.role
              or (not r.batched and c.txid is distinct from r.txid)
          )
        order by c.step
        limit 1
        """,
        run["run"],
    )
    for row in strangers:
        raise Refused(
            f"step {row['step']} of run {run['run']} was not written by that run: the role "
            f"{printable(str(row['role']))} added it afterwards",
            hint="no option lifts this; " + HISTORY.format(run=run["run"]),
        )


def touchable_tables(known: Mapping[str, Check]) -> dict[str, set[str]]:
    """The tables that Sexton may write, with their columns; an empty set means all."""
    found: dict[str, set[str]] = {}
    whole = {n for n, columns in current().writable.items() if not columns}
    for name, columns in current().writable.items():
        found.setdefault(name, set()).update(columns)
    for check in known.values():
        for target in proposals.targets(check):
            found.setdefault(target.table, set()).update(target.columns)
            found[target.table].add(current().updated_at)
    if declared := current().declared:  # by `sexton delete`
        for name, written in declared.deletable().items():
            found.setdefault(name, set()).update(written, {current().updated_at})
            if not written:
                whole.add(name)
    for name in whole:
        found[name] = set()
    return found


def writer_limit(
    connection: Connection,
    run: Mapping[str, Any],
    touched: Iterable[Mapping[str, Any]],
    allow: Collection[str],
) -> list[Limit]:
    """The limit that whoever wrote a run could not have made its changes. Reads only.

    Who may write the journal and not the tables could otherwise have them written by
    whoever undoes the run.
    """
    role = printable(str(run["role"]))
    return [
        Limit(
            WRITER,
            f"the role {role} wrote run {run['run']}, and may not {verb}: the run may have "
            f"been put into the journal, or the role lost the right (grant {grant})",
            f"--allow-{WRITER}",
            lifted=WRITER in allow,
        )
        for verb, grant in lacking(connection, str(run["role"]), touched, back=False)
    ]


def table_limits(
    run: Mapping[str, Any], touched: Iterable[Mapping[str, Any]], allow: Collection[str]
) -> list[Limit]:
    """The limit that a run changed other tables than those that now have their names."""
    return [
        Limit(
            TABLE,
            f"run {run['run']} changed a table {printable(row['name'])} with the oid "
            f"{row['relation']}, and the table of that name has the oid {row['oid']}: it "
            "was put in its place, or the database was restored from a dump",
            f"--allow-{TABLE}",
            lifted=TABLE in allow,
        )
        for row in touched
        if row["relation"] is not None
        and (row["relations"] > 1 or row["relation"] != row["oid"])
    ]


def recorded_tables(
    connection: Connection, run: Mapping[str, Any]
) -> Mapping[str, set[str]]:
    """The tables of a run that its role owns, or a superuser wrote: it may change them all.

    For the rows that a revision changed, which no project file has to declare.
    """
    found = rows(
        connection,
        """
        select distinct c.table_schema as schema, c.table_name as name
        from sexton.changes c
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = c.table_schema
        join pg_catalog.pg_class t
          on t.relnamespace = n.oid and t.relname::pg_catalog.text = c.table_name
        join pg_catalog.pg_roles r on r.rolname::pg_catalog.text = %s::pg_catalog.text
        where c.run = %s::pg_catalog.int8
          and (
              r.rolsuper
              or pg_catalog.pg_has_role(r.oid, t.relowner, 'usage'::pg_catalog.text)
          )
        """,
        str(run["role"]),
        run["run"],
    )
    return {f"{row['schema']}.{row['name']}": set() for row in found}


def require_rights(connection: Connection, touched: Iterable[Mapping[str, Any]]) -> None:
    """Insist that this role may take a run back; raises Incomplete, naming the GRANT."""
    [row] = rows(connection, "select current_user::pg_catalog.text as role")
    for verb, grant in lacking(connection, row["role"], touched, back=True):
        raise Incomplete(
            f"the role {printable(row['role'])} may not {verb}; nothing was changed",
            hint=f"let the table's owner, or a superuser, type: grant {grant}",
        )


def lacking(
    connection: Connection,
    role: str,
    touched: Iterable[Mapping[str, Any]],
    *,
    back: bool,
) -> list[tuple[str, str]]:
    """What a role may not do of what a run did: in words, and what a GRANT would say.

    With `back`, of what takes it back. Where a trigger may have set a column, the right
    to one of the changed columns is enough.
    """
    wanted = []
    for row in touched:
        kind = "update"
        if row["inserted"]:
            kind = "delete" if back else "insert"
        elif row["deleted"]:
            kind = "insert" if back else "delete"
        changed = set(row["changed"] or ()) - {JSON_NULLS}
        changed &= row["allowed"] or changed
        wanted.append((row["oid"], kind, sorted(changed) if kind == "update" else []))
    given = {
        "role": role,
        "oids": [oid for oid, _, _ in wanted],
        "kinds": [kind for _, kind, _ in wanted],
        "columns": [json.dumps(columns) for _, _, columns in wanted],
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(LACKING, given).fetchall()
    said = []
    for row in found:
        some = f" ({', '.join(row['columns'])})" if row["columns"] else ""
        words = f"{row['kind']}{some} {VERBS[row['kind']]} {row['name']}"
        said.append((printable(words), printable(row["grant"])))
    return said


VERBS = {"insert": "into", "update": "of", "delete": "from"}
LACKING = f"""
    select
        w.kind, m.columns, t.relname::pg_catalog.text as name,
        pg_catalog.concat(
            w.kind,
            case when pg_catalog.cardinality(m.columns) > 0 then pg_catalog.concat(
                ' (', pg_catalog.array_to_string(m.quoted, ', '::pg_catalog.text), ')'
            ) end,
            ' on ', t.oid::pg_catalog.regclass, ' to ',
            pg_catalog.quote_ident(%(role)s::pg_catalog.text)
        ) as "grant"
    from rows from (
        pg_catalog.unnest(%(oids)s::pg_catalog.int8[]::pg_catalog.oid[]),
        pg_catalog.unnest(%(kinds)s::pg_catalog.text[]),
        pg_catalog.unnest(%(columns)s::pg_catalog.text[])
    ) as w (relation, kind, named)
    join pg_catalog.pg_class t on t.oid = w.relation
    left join pg_catalog.pg_roles r
      on r.rolname::pg_catalog.text = %(role)s::pg_catalog.text
    cross join lateral (
        select
            pg_catalog.count(*) as given,
            coalesce(pg_catalog.array_agg(e.name order by e.name) filter (
                where e.lacks), '{{}}'::pg_catalog.text[]) as columns,
            pg_catalog.array_agg(pg_catalog.quote_ident(e.name) order by e.name) filter (
                where e.lacks) as quoted
        from (
            select j.name, pg_catalog.has_column_privilege(
                r.oid, w.relation, j.name, 'update'::pg_catalog.text
            ) is not true as lacks
            from pg_catalog.jsonb_array_elements_text(w.named::pg_catalog.jsonb)
                as j (name)
        ) e
    ) m
    where case w.kind
        when 'delete' then pg_catalog.has_table_privilege(
            r.oid, w.relation, 'delete'::pg_catalog.text) is not true
        when 'insert' then pg_catalog.has_any_column_privilege(
            r.oid, w.relation, 'insert'::pg_catalog.text) is not true
        else case
            when m.given = 0 then pg_catalog.has_any_column_privilege(
                r.oid, w.relation, 'update'::pg_catalog.text) is not true
            when exists (
                select from pg_catalog.pg_trigger t
                where t.tgrelid = w.relation and {USERS}
            ) then pg_catalog.cardinality(m.columns) = m.given
            else pg_catalog.cardinality(m.columns) > 0
        end
    end
    order by t.relname, w.kind
"""  # noqa: S608 - a condition of ours
