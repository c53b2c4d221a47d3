"""Whether a database has what a project file declares, by the nearest right names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg import errors

from sexton import condition
from sexton.catalog.identifiers import identifier
from sexton.catalog.relations import SAFE_PATH, Relation, expose, quoted, resolve
from sexton.database import Connection, rows, settings
from sexton.declarations import column_types
from sexton.declarations.column_types import COLUMNS
from sexton.declarations.place import located
from sexton.errors import UsageError
from sexton.reference import Declarations
from sexton.reference import table as named
from sexton.text.nearest import did_you_mean
from sexton.text.printable import shown

# By table: the columns that a revision is to add, with their types as SQL.
Coming = Mapping[str, Mapping[str, str]]

TABLES = f"""
    select
        c.oid::pg_catalog.int8 as oid,
        {COLUMNS} as columns,
        array(
            select pg_catalog.jsonb_build_object(
                'primary', i.indisprimary,
                'columns', array(
                    select a.attname::pg_catalog.text
                    from pg_catalog.generate_series(
                        0, i.indnkeyatts::pg_catalog.int4 - 1
                    ) as k (n)
                    join pg_catalog.pg_attribute a
                      on a.attrelid = c.oid
                     and a.attnum = (i.indkey::pg_catalog.int2[])[k.n]
                    order by k.n
                ),
                'many', i.indnkeyatts
            )
            from pg_catalog.pg_index i
            where i.indrelid = c.oid and i.indisunique and i.indisvalid
              and i.indpred is null
            order by i.indisprimary desc, i.indexrelid
        ) as keys
    from pg_catalog.pg_class c
    where c.oid = any (%s::pg_catalog.int8[]::pg_catalog.oid[])
"""  # noqa: S608 - names of the catalogs


def require(
    connection: Connection, declared: Declarations, file: Path, coming: Coming | None = None
) -> None:
    """Insist on the tables, columns, keys and conditions of a file; raises UsageError.

    `coming` are columns that a revision is to add: as good as there.
    """
    coming = coming or {}
    wanted = declared.tables()
    if not wanted:
        return
    # Whoever reads the tables refuses them, each check its own.
    relations = resolve(connection, wanted, judged=False)
    for table, columns in wanted.items():
        if table not in relations:
            path = next(iter(columns.values()), "")
            raise _absent_table(connection, file, table, path)
    spelt: dict[int, str] = {}
    for table, relation in relations.items():
        if (other := spelt.setdefault(relation.oid, table)) != table:
            raise UsageError(
                f"{shown(file)}: {other} and {table} are one table: write it in one way",
                hint=HINT,
            )
    found = {
        row["oid"]: row
        for row in rows(connection, TABLES, [r.oid for r in relations.values()])
    }
    known = {table: found[relation.oid] for table, relation in relations.items()}
    types = {
        table: {column["name"]: column for column in row["columns"]}
        for table, row in known.items()
    }
    for table, columns in wanted.items():
        for column, path in columns.items():
            if column not in (*types[table], *coming.get(table, ())):
                near = did_you_mean(column, types[table])
                raise UsageError(
                    located(file, f"{path}: {table} has no column {column}{near}"),
                    hint=HINT if near or not path.startswith("soft_delete") else TO_ADD,
                )
    for table, _ in declared.entries():
        id = declared.id(table)
        _require_id(file, table, id, known[table]["keys"], types[table])
    column_types.require(connection, declared, file, types)
    exposed: dict[str, Relation | str] = {**relations}
    for table, new in coming.items():
        more = "".join(f", null::{type} as {quoted(c)}" for c, type in new.items())
        exposed[table] = f"select *{more} from {relations[table].sql}"  # noqa: S608
    for table, relation in relations.items():
        if relation.refusal():
            del exposed[table]
    _require_conditions(connection, declared, file, exposed)


# What the server may have against a condition.
UNREADABLE = (
    *(errors.ProgrammingError, errors.DataError, errors.NotSupportedError),
    *(errors.StatementTooComplex, errors.TooManyArguments),
)
HINT = "correct the project file, or connect to the database that it is about"
TO_ADD = "sexton revision writes the migration that adds it"


def _absent_table(connection: Connection, file: Path, table: str, path: str) -> UsageError:
    found = rows(
        connection,
        """
        select n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind = any (array['r', 'p', 'v', 'm', 'f']::pg_catalog."char"[])
          and n.nspname <> all (array['pg_catalog', 'information_schema']
              ::pg_catalog.name[])
        """,
    )
    names = [row["name"] for row in found if "." not in table]
    names += [f"{row['schema']}.{row['name']}" for row in found]
    elsewhere = [n for n in names if n.endswith(f".{table}")]
    near = f"; did you mean {elsewhere[0]}?" if elsewhere else did_you_mean(table, names)
    return UsageError(
        located(file, f"{path}: {connection.info.dbname} has no table {table}{near}"),
        hint=HINT,
    )


def _require_id(
    file: Path,
    table: str,
    id: tuple[str, ...],
    unique: Sequence[Mapping[str, Any]],
    columns: Iterable[str],
) -> None:
    """Insist that the columns which tell rows apart do so."""
    keys = [key["columns"] for key in unique if len(key["columns"]) == key["many"]]
    if any(set(key) <= set(id) for key in keys) and set(id) <= set(columns):
        return
    better = ", ".join(f'"{column}"' for column in keys[0]) if keys else ""
    why = f"no unique key within ({', '.join(id)})"
    raise UsageError(
        f"{shown(file)}: {table} has {why}, so its rows cannot be told apart",
        hint=f"write id = [{better}] in one of its entries"
        if keys
        else f"give {table} a primary key",
    )


def _require_conditions(
    connection: Connection,
    declared: Declarations,
    file: Path,
    relations: Mapping[str, Relation | str],
) -> None:
    """Let the server read every condition over its own table; it looks at no row."""
    asked: dict[tuple[str, str], str] = {}
    for n, soft in enumerate(declared.soft_delete):
        path = declared.path("soft_delete", n)
        if soft.live is not None:
            asked.setdefault((named(soft.table), soft.live), f"{path}.live")
        for value in soft.assigned.values():
            asked.setdefault((named(soft.table), f"({value}) is null"), f"{path}.set")
    for n, ref in enumerate(declared.reference):
        path = declared.path("reference", n)
        for name, table, text in (
            ("live", ref.source.table, ref.live),
            ("parent_live", ref.target.table, ref.parent_live),
        ):
            if text:
                asked.setdefault((table, text), f"{path}.{name}")
    for n, (table, flag) in enumerate(declared.defaults()):
        if flag.among:
            path = declared.path("default", n)
            asked.setdefault((table, flag.among), f"{path}.among")
    for n, unique in enumerate(declared.unique):
        path = f"{declared.path('unique', n)}.columns"
        for text in unique.expressions:
            asked.setdefault((named(unique.table), f"({text}\n) is null"), path)
    asked = {entry: path for entry, path in asked.items() if entry[0] in relations}
    for (table, text), path in asked.items():
        if beyond := condition.beyond(connection, text):
            raise UsageError(
                located(file, f"{path}: {text!r}, over {table}, {beyond}"),
                hint=condition.HINT,
            )
    if not asked:
        return
    try:
        _read(connection, list(asked), relations)
    except errors.Error:
        locked = set[str]()  # another session's lock costs the checks of its table alone
        for (table, text), path in asked.items():
            try:
                if table not in locked:
                    _read(connection, [(table, text)], relations)
            except errors.LockNotAvailable:
                locked.add(table)
            except UNREADABLE as error:
                raise UsageError(
                    located(
                        file,
                        f"{path}: {text!r} is no condition over {table}: "
                        f"{error.diag.message_primary}",
                    ),
                    hint="name the table's own columns; write types, functions and "
                    "operators that do not lie in pg_catalog with their schema",
                ) from None
        if not locked:
            raise


def _read(
    connection: Connection,
    conditions: list[tuple[str, str]],
    relations: Mapping[str, Relation | str],
) -> None:
    parts = [
        f"exists (select from {identifier(table)} where (\n{text}\n))"
        for table, text in conditions
    ]
    query: Any = expose(f"select 1 where false and ({' or '.join(parts)})", relations)
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        connection.execute(query.replace("%", "%%"), ())
