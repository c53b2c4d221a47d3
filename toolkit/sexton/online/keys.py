"""Steps for constraints: drop one, or make a foreign key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sexton.catalog.relations import bind, column_names, literal, quoted, resolve
from sexton.database import rows
from sexton.ddl.begun import was_made
from sexton.ddl.row_changes import RowChange
from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.online.tables import Table, array, column_where, names, partitioned, said
from sexton.postgres.enforced import ENFORCED

ACTIONS = {
    "NO ACTION": "a",
    "RESTRICT": "r",
    "CASCADE": "c",
    "SET NULL": "n",
    "SET DEFAULT": "d",
}
ORPHANS = ("refuse", "null", "delete")
# Arguments of an operation: how a key acts, and with which others its drop describes it.
OPTIONS = ("ondelete", "onupdate", "deferrable", "initially", "orphans", "cascades")
DESCRIPTION = ("referent_table", "referent_schema", "local_cols", "remote_cols", *OPTIONS)


@dataclass(frozen=True)
class Key:
    """A foreign key to be: `source(local_cols)` to `referent(remote_cols)`."""

    name: str
    source: Table
    referent: Table
    local_cols: tuple[str, ...]
    remote_cols: tuple[str, ...]
    ondelete: str = "NO ACTION"
    onupdate: str = "NO ACTION"
    deferrable: bool = False
    initially: str = "IMMEDIATE"
    orphans: str = "refuse"
    cascades: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError where it says what no key can be."""
        if self.orphans not in ORPHANS:
            raise UsageError(
                f"orphans cannot be {self.orphans!r}", hint=f"one of {', '.join(ORPHANS)}"
            )
        for action in (self.ondelete, self.onupdate):
            if action not in ACTIONS:
                raise UsageError(
                    f"a foreign key cannot {action!r}", hint=f"one of {', '.join(ACTIONS)}"
                )
        if self.initially not in ("IMMEDIATE", "DEFERRED"):
            raise UsageError(f"initially cannot be {self.initially!r}")
        if not self.local_cols or len(self.local_cols) != len(self.remote_cols):
            raise UsageError(f"{self.name}: as many local as remote columns, at least one")

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of `op.create_foreign_key_online` that make it."""
        return {
            "constraint_name": self.name,
            "source_table": self.source.name,
            "referent_table": self.referent.name,
            "local_cols": self.local_cols,
            "remote_cols": self.remote_cols,
            "source_schema": self.source.schema,
            "referent_schema": self.referent.schema,
            "ondelete": None if self.ondelete == "NO ACTION" else self.ondelete,
            "onupdate": None if self.onupdate == "NO ACTION" else self.onupdate,
            "deferrable": self.deferrable,
            "initially": None if self.initially == "IMMEDIATE" else self.initially,
            "orphans": self.orphans,
            "cascades": self.cascades,
        }


def drop_constraint(
    driver: Driver | None,
    name: str,
    table: Table,
    key: Key | None = None,
    *,
    if_exists: bool = False,
) -> list[Step]:
    """The steps that drop a constraint; a foreign key's parent is locked first.

    If no constraint has the name, a foreign key that fits the description `key` is
    dropped, whatever it is called here. Refused if there is neither, unless `if_exists`.
    """
    table = table.found(driver)
    calls = _called(driver, name, table, key)
    return [_drop(driver, one, name, table, key, if_exists) for one in calls or [name]]


def _drop(
    driver: Driver | None,
    called: str,
    name: str,
    table: Table,
    key: Key | None,
    if_exists: bool,
) -> Step:
    mine = f"k.conrelid = {table.oid} and k.conname = {literal(called)}"
    inherited = f"select from pg_constraint k where {mine} and k.coninhcount > 0"
    parents = parents_of(driver, called, table)
    if driver is None and key:
        parents = [key.referent.step_name]
    return Step(
        _title(called, name, table),
        lock="access exclusive",
        tables=tuple(dict.fromkeys([*parents, table.step_name])),
        done=f"select not exists (select from pg_constraint k where {mine})",  # noqa: S608
        refuse=((inherited, said(f"{called} is inherited: drop it at the parent")),),
        absent=() if if_exists else (_absent(called, table, key),),
        sql=(f"alter table {table.sql} drop constraint {quoted(called)}",),
        hint="name it as the table does, or describe the foreign key: referent_table, "
        "local_cols, remote_cols; or if_exists=True if it may be missing",
    )


def _title(called: str, name: str, table: Table) -> str:
    other = "" if called == name else f", as {name} is called here"
    return f"drop the constraint {called} of {table.name}{other}"


def _called(driver: Driver | None, name: str, table: Table, key: Key | None) -> list[str]:
    """What the constraint is called here: by its name, else by its description."""
    if driver is None:
        return [name]
    found = rows(
        driver,
        bind(
            f"select k.conname::text as name from pg_constraint k "  # noqa: S608
            f"where k.conrelid = {table.oid} and k.conname = {literal(name)}",
            resolve(driver, [table.step_name]),
        ),
    )
    if found or key is None:
        return [name]
    parent = key.referent.step_name
    there = resolve(driver, [table.step_name, parent])
    # Another key that fits may be a new one, which the same revision made.
    if parent not in there or was_made(driver, None, _title(name, name, table)):
        return [name]
    fits = f"""
        select k.conname::text as name from pg_constraint k
        where k.conrelid = {table.oid} and k.confrelid = {key.referent.oid}
          and k.contype = 'f' and k.conparentid = 0
          and {column_names("k.conrelid", "k.conkey")} = {array(key.local_cols)}
          and {column_names("k.confrelid", "k.confkey")} = {array(key.remote_cols)}
        order by 1
    """  # noqa: S608
    return [row["name"] for row in rows(driver, bind(fits, there))]


def _absent(name: str, table: Table, key: Key | None) -> tuple[str, str]:
    """The question what the table has in place of a constraint, and the sentence."""
    which = "k.contype <> 'n'"
    if key:
        # Of a key that is described, only others over the same columns speak against it.
        local = array(sorted(key.local_cols))
        same = f"""
            (
                select array_agg(c.name order by c.name collate "C")
                from unnest({column_names("k.conrelid", "k.conkey")}) c (name)
            ) = {local}
        """  # noqa: S608
        which = f"k.contype = 'f' and {same}"
        missing = " and ".join(f"{column_where(table, c)}" for c in key.local_cols)
        had = f"having count(*) > 0 or not ({missing})"
    else:
        had = ""
    query = f"""
        select coalesce(
            string_agg(k.conname::text, ', ' order by k.conname), 'none that fits'
        ) as names
        from pg_constraint k where k.conrelid = {table.oid} and {which} {had}
    """  # noqa: S608
    what = f"{table.name} has no constraint {name}"
    if key:
        what += f", and no foreign key ({', '.join(key.local_cols)}) to {key.referent.name}"
        what += f" ({', '.join(key.remote_cols)})"
    return query, said(what) + "; it has: {names}"


def parents_of(driver: Driver | None, name: str, table: Table) -> list[str]:
    """The table that a foreign key refers to, as steps name it; none for others."""
    if driver is None:
        return []
    found = rows(
        driver,
        """
        select n.nspname::pg_catalog.text as schema, p.relname::pg_catalog.text as name
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_class c on c.oid = k.conrelid
        join pg_catalog.pg_namespace s on s.oid = c.relnamespace
        join pg_catalog.pg_class p on p.oid = k.confrelid
        join pg_catalog.pg_namespace n on n.oid = p.relnamespace
        where k.conname::pg_catalog.text = %s
          and c.relname::pg_catalog.text = %s and s.nspname::pg_catalog.text = %s
        """,
        name,
        table.name,
        table.schema,
    )
    return [Table(**row).step_name for row in found]


def create_key(driver: Driver | None, key: Key) -> list[Step]:
    """The steps that make a foreign key: NOT VALID, what becomes of orphans, VALIDATE."""
    child, parent = key.source.found(driver), key.referent.found(driver)
    tables = tuple(dict.fromkeys([parent.step_name, child.step_name]))
    there = _there(key, child, parent)
    valid = f"exists ({there} and k.convalidated)"
    orphans = _orphans(key, child.rows, parent.rows)
    look = Step(
        f"look for orphans of {key.name}",
        done=f"select {valid}",
        refuse=(
            (
                f"select from {orphans} limit 1",
                said(f"rows of {child.name} refer to no row of {parent.name}"),
            ),
        ),
        scans=tables,
        hint="repair them, or say what becomes of them: orphans='null' or 'delete'",
    )
    other = f"""
        select from pg_constraint k
        where k.conrelid = {child.oid} and k.conname = {literal(key.name)}
          and not exists ({there})
    """
    add = Step(
        f"add the foreign key {key.name} to {child.name}, not valid yet",
        lock="share row exclusive",
        tables=tables,
        done=f"select exists ({there})",
        refuse=(
            (other, said(f"{child.name} has another constraint {key.name}")),
            (
                partitioned(child, below=180000),
                said(f"{child.name} is partitioned: a key NOT VALID needs PostgreSQL 18"),
            ),
        ),
        sql=(_sql(key, child, parent),),
    )
    validate = Step(
        f"validate the foreign key {key.name}",
        lock="share update exclusive",
        tables=tables,
        outside_transaction=True,
        scans=tables,
        done=f"select {valid}",
        sql=(f"alter table {child.sql} validate constraint {quoted(key.name)}",),
    )
    if key.orphans == "refuse":
        return [look, add, validate]
    return [add, _clear(key, child, parent, orphans, valid), validate]


def _clear(key: Key, child: Table, parent: Table, orphans: str, valid: str) -> Step:
    where = _orphan(key, parent.sql, "this")
    kind = "update" if key.orphans == "null" else "delete"
    gone = dict.fromkeys(key.local_cols, "null") if kind == "update" else {}
    # The key is there, though not valid: nobody can make a new orphan meanwhile.
    change = RowChange(
        kind, child.step_name, where, gone, batched=True, cascades=key.cascades
    )
    tables = tuple(dict.fromkeys([parent.step_name, child.step_name]))
    refuse = [
        (
            _differing(local, remote, child, parent),
            said(f"{local} and {remote} differ in type: mind the orphans yourself"),
        )
        for local, remote in zip(key.local_cols, key.remote_cols, strict=True)
    ]
    refuse += [
        (
            f"select where {column_where(child, local, 'a.attnotnull')}",
            said(f"{local} of {child.name} is NOT NULL: no orphan's can be emptied"),
        )
        for local in gone
    ]
    return Step(
        f"{key.orphans} the orphans of {key.name}",
        lock="row exclusive",
        tables=tables,
        outside_transaction=True,
        scans=tables,
        done=f"""
            select case when {valid} then true
                        else not exists (select from {orphans}) end
        """,  # noqa: S608
        refuse=tuple(refuse),
        sql=(change,),
        irreversible=f"no downgrade restores what the orphans of {key.name} held; "
        "sexton undo of its run does, once the key is dropped",
        hint="orphans='refuse', after repairing them",
    )


def _orphan(key: Key, parent: str, row: str = "c") -> str:
    pairs = zip(key.local_cols, key.remote_cols, strict=True)
    same = " and ".join(
        f"p.{quoted(remote)} operator(pg_catalog.=) {row}.{quoted(local)}"
        for local, remote in pairs
    )
    given = " and ".join(f"{row}.{quoted(column)} is not null" for column in key.local_cols)
    return f"{given} and not exists (select from {parent} as p where {same})"


def _orphans(key: Key, child: str, parent: str) -> str:
    return f"{child} as c where {_orphan(key, parent)}"


def _differing(local: str, remote: str, child: Table, parent: Table) -> str:
    # The key compares by the parent's index, which may not be pg_catalog's `=`: rows are
    # taken for orphans only where both are known to be the same.
    return f"""
        select
        from pg_attribute f, pg_attribute p
        join pg_type t on t.oid = p.atttypid
        where f.attrelid = {child.oid} and f.attname = {literal(local)}
          and p.attrelid = {parent.oid} and p.attname = {literal(remote)}
          and not (
              f.atttypid = p.atttypid and f.attcollation = p.attcollation
              and (t.typnamespace = 'pg_catalog'::regnamespace or t.typtype = 'e')
              or f.atttypid in (20, 21, 23) and p.atttypid in (20, 21, 23)
              or f.atttypid in (25, 1043) and p.atttypid in (25, 1043)
                 and f.attcollation = p.attcollation
          )
    """  # noqa: S608


def _there(key: Key, child: Table, parent: Table) -> str:
    deferred = key.initially == "DEFERRED"
    return f"""
        select from pg_constraint k
        where k.conrelid = {child.oid} and k.confrelid = {parent.oid}
          and k.contype = 'f' and k.conname = {literal(key.name)}
          and {column_names("k.conrelid", "k.conkey")} = {array(key.local_cols)}
          and {column_names("k.confrelid", "k.confkey")} = {array(key.remote_cols)}
          and k.confdeltype = '{ACTIONS[key.ondelete]}'
          and k.confupdtype = '{ACTIONS[key.onupdate]}'
          and k.condeferrable = {str(key.deferrable or deferred).lower()}
          and k.condeferred = {str(deferred).lower()}
          and k.confmatchtype = 's'
          and {ENFORCED}
    """


def _sql(key: Key, child: Table, parent: Table) -> str:
    said = f"alter table {child.sql} add constraint {quoted(key.name)} "
    said += f"foreign key ({names(key.local_cols)}) "
    said += f"references {parent.sql} ({names(key.remote_cols)})"
    for event, action in (("delete", key.ondelete), ("update", key.onupdate)):
        if action != "NO ACTION":
            said += f" on {event} {action.lower()}"
    if key.deferrable or key.initially == "DEFERRED":
        said += f" deferrable initially {key.initially.lower()}"
    return said + " not valid"


def upper(action: str | None) -> str:
    """An action as it is compared: upper case, one space; NO ACTION for none."""
    return " ".join((action or "no action").upper().split())


def key_of(
    name: str,
    tables: tuple[Table, Table],
    columns: tuple[Sequence[str], Sequence[str]],
    **options: object,
) -> Key:
    """A key from the arguments of an operation; raises UsageError."""
    local, remote = columns
    return Key(
        name,
        *tables,
        tuple(local),
        tuple(remote),
        ondelete=upper(_text(options.get("ondelete"))),
        onupdate=upper(_text(options.get("onupdate"))),
        deferrable=bool(options.get("deferrable")),
        initially=upper(_text(options.get("initially")) or "immediate"),
        orphans=_text(options.get("orphans")) or "refuse",
        cascades=bool(options.get("cascades")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
