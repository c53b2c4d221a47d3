"""The steps of one table of a guard: its marker, and what keeps it."""

from typing import Any

from sexton.catalog.relations import literal, quoted
from sexton.ddl.row_loop import block, row_loop
from sexton.ddl.steps import Step
from sexton.guard.side import SAFE, Side


def step(**parts: Any) -> Step:
    """A step of these parts."""
    return Step.of(parts)


def listed(columns: tuple[str, ...]) -> str:
    """Columns as a list in SQL."""
    return ", ".join(map(quoted, columns))


def side_steps(side: Side) -> list[Step]:
    """The steps of one table: its marker, and what keeps it."""
    name, table = side.table.name, side.table.sql
    add_check = [
        f"alter table {table} drop constraint if exists {quoted(side.check)}",
        f"alter table {table} add constraint {quoted(side.check)} "
        f"check ({side.check_sql}) not valid",
    ]
    valid = step(
        title=f"validate the CHECK on {name}.{side.marker}",
        lock="share update exclusive",
        tables=[side.table.called],
        outside_transaction=True,
        scans=[side.table.called],
        done=side.check_valid,
        sql=[validate(side, side.checks)],
    )
    if side.mark is None:
        return [
            step(
                title=f"add the column {side.marker} to {name}, always true",
                lock="access exclusive",
                tables=[side.table.called],
                done=f"select ({side.column_there}) and exists (select {side.checks})",
                sql=[
                    f"alter table {table} "
                    f"add column if not exists {side.marker} boolean not null default true",
                    f"alter table {table} alter {side.marker} set default true, "
                    f"alter {side.marker} set not null",
                    *add_check,
                ],
            ),
            valid,
        ]
    return [
        _trigger(side),
        _mark(side),
        step(
            title=f"add the CHECK that keeps {name}.{side.marker}, not yet valid",
            lock="access exclusive",
            tables=[side.table.called],
            done=f"select exists (select {side.checks})",
            sql=[*_safely(side), *add_check],
        ),
        valid,
    ]


def _trigger(side: Side) -> Step:
    table = side.table.sql
    return step(
        title=f"add the column {side.marker} to {side.table.name}, "
        "and the trigger that keeps it",
        lock="access exclusive",
        tables=[side.table.called],
        refuse=function_refusals(side),
        done=f"select ({side.column_there}) and ({side.trigger_there})",
        sql=[
            f"alter table {table} "
            f"add column if not exists {side.marker} boolean default true",
            f"alter table {table} alter {side.marker} set default true, "
            f"alter {side.marker} drop not null",
            *drop_trigger(side),
            *create_trigger(side),
        ],
    )


def function_refusals(side: Side) -> list[tuple[str, str]]:
    """What stands in the way of the trigger's function."""
    return [
        (
            side.strangers,
            "the function {function} belongs to {owner}, who may change what it does: "
            "drop it first",
        ),
        (
            _no_schema_right(side),
            "the role {role} may not create a function in the schema {schema}: "
            "grant create on schema {schema} to {role}",
        ),
    ]


def create_trigger(side: Side) -> list[str]:
    """Make the trigger that keeps the marker, and its function."""
    table, trigger = side.table.sql, quoted(side.trigger)
    function = f"{side.table.in_same_schema(side.trigger)}()"
    return [
        # Never `or replace`: what stands there may be a stranger's, and stay so.
        f"create function {function} returns trigger language plpgsql "
        f"set search_path = {SAFE} as {literal(side.body)}",
        _give_to_owner(side),
        *_safely(side),
        # It is called only where the marker is wrong: live rows have their default.
        f"create trigger {trigger} before insert or update "
        f"of {listed(side.watched)} on {table} for each row "
        f"when ({side.when}) execute function {function}",
        # Also for rows that a replication worker writes.
        f"alter table {table} enable always trigger {trigger}",
    ]


def drop_trigger(side: Side) -> list[str]:
    """Drop the trigger, and its function unless it is a stranger's."""
    return [
        f"drop trigger if exists {quoted(side.trigger)} on {side.table.sql}",
        _drop_function(side),
    ]


def _safely(side: Side) -> list[str]:
    """Let no operator of the table's schema be meant by a condition."""
    assert side.mark is not None
    return [] if side.mark.simple else [f"set local search_path = {SAFE}"]


def _no_schema_right(side: Side) -> str:
    """Who lacks the right: the role at work, or the owner, who will have the function."""
    return f"""
        select pg_catalog.quote_ident(r.rolname::text) as role,
               pg_catalog.quote_ident(n.nspname::text) as schema
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_roles m on m.rolname = current_user
        join pg_catalog.pg_roles r on r.oid = m.oid or r.oid = c.relowner
        where c.oid = {side.table.regclass}::pg_catalog.oid and not m.rolsuper
          and not pg_catalog.has_schema_privilege(r.oid, n.oid, 'create'::text)
        order by r.oid = m.oid desc limit 1
    """


def _drop_function(side: Side) -> str:
    return block(
        f"""
        begin
            if not exists ({side.strangers}) then
                drop function if exists {side.table.in_same_schema(side.trigger)}();
            end if;
        end
        """
    )


def _give_to_owner(side: Side) -> str:
    """Make the table's owner the function's: whoever owns it may change what it does."""
    function = side.table.in_same_schema(side.trigger).replace("%", "%%")
    command = f"alter function {function}() owner to %I"
    return block(
        f"""
        begin
            execute pg_catalog.format({literal(command)}::text, (
                select pg_catalog.pg_get_userbyid(c.relowner)::text
                from pg_catalog.pg_class c
                where c.oid = {side.table.regclass}::pg_catalog.oid
            ));
        end
        """
    )


def _path(side: Side, path: str) -> str:
    """Set the search_path; not where the session alone knows where the table is."""
    if side.table.schema is None:
        return ""
    return f"perform pg_catalog.set_config('search_path', {literal(path)}, true);"


def _known(side: Side) -> str:
    """Set the path that the table's own triggers, and the database's, may expect."""
    return _path(side, f"{quoted(side.table.schema or '')}, pg_temp")


def _mark(side: Side) -> Step:
    """Mark the rows that do not count and are there already.

    Some at a time, around those that somebody is writing, until none is left. Rows are
    found on the safe path; they are written on one that their own triggers know.
    """
    left = f"select from {side.table.rows} where {side.wrong}"
    return step(
        title=f"mark the rows of {side.table.name} that do not count: "
        f"{side.marker} is null",
        lock="row exclusive",
        tables=[side.table.called],
        outside_transaction=True,
        scans=[side.table.called],
        done=f"select ({side.check_valid}) or not exists ({left})",
        sql=[_marking(side)],
    )


def _marking(side: Side) -> str:
    return row_loop(
        side.table.sql,
        side.wrong,
        f"update {side.table.sql} as this set {side.marker} = null",
        finding=_path(side, SAFE),
        writing=_known(side),
    )


def validate(side: Side, constraints: str) -> str:
    """Validate the constraints of a table that a query finds, `k`."""
    command = f"alter table {side.table.sql.replace('%', '%%')} validate constraint %I"
    return block(
        f"""
        declare
            one text;
            found text[];
        begin
            {_path(side, SAFE)}
            found := array(
                select k.conname::text {constraints} and not k.convalidated
            );
            {_known(side)}
            foreach one in array found loop
                execute pg_catalog.format({literal(command)}::text, one);
            end loop;
        end
        """
    )
