"""The steps of one table of a guard: its marker, and what keeps it."""

from typing import Any

from sexton.catalog.relations import literal, quoted
from sexton.ddl.row_loop import block, row_loop
from sexton.ddl.steps import Step
from sexton.guard.side import SAFE, Side, keepers, unused
from sexton.guard.table import Table


def step(**parts: Any) -> Step:
    """A step of these parts."""
    return Step.of(parts)


def listed(columns: tuple[str, ...]) -> str:
    """Columns as a list in SQL."""
    return ", ".join(map(quoted, columns))


def escaped(text: str) -> str:
    """A text with names in it, as a part of a sentence that is filled from a row."""
    return text.replace("{", "{{").replace("}", "}}")


def side_steps(side: Side) -> list[Step]:
    """The steps of one table: its marker, and what keeps it."""
    name, table = side.table.name, side.table.sql
    add_check = [
        f"alter table {table} drop constraint if exists {quoted(side.marker)}",
        f"alter table {table} add constraint {quoted(side.marker)} "
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
        refuse=_refusals(side),
        done=f"select ({side.column_there}) and ({side.trigger_there})",
        sql=[
            f"alter table {table} "
            f"add column if not exists {side.marker} boolean default true",
            f"alter table {table} alter {side.marker} set default true, "
            f"alter {side.marker} drop not null",
            _drop_trigger(side),
            *_create_trigger(side),
        ],
    )


def _refusals(side: Side) -> list[tuple[str, str]]:
    """What forbids the trigger or its function."""
    return [
        (
            side.later,
            "the trigger {trigger} on {on_table} would fire after the guard's and may "
            "change which rows count: give it a name that sorts before ~: "
            "alter trigger {trigger} on {on_table} rename to ...",
        ),
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


def _create_trigger(side: Side) -> list[str]:
    """Make the trigger that keeps the marker, and its function."""
    table, trigger = side.table.sql, quoted(side.trigger)
    function = f"{side.table.in_same_schema(side.marker)}()"
    return [
        # Never `or replace`: what stands there may be a stranger's, and stay so.
        f"create function {function} returns trigger language plpgsql "
        f"set search_path = {SAFE} as {literal(side.body)}",
        _give_to_owner(side),
        *_safely(side),
        # It is called only where the marker is wrong: live rows have their default. Of no
        # columns: a trigger before it may change others than the statement names.
        f"create trigger {trigger} before insert or update on {table} for each row "
        f"when ({side.when}) execute function {function}",
        # Also for rows that a replication worker writes.
        f"alter table {table} enable always trigger {trigger}",
    ]


# Who owns the table `c` or is a superuser; nobody else's function is dropped.
_OF_OWNER = """(f.proowner = c.relowner or exists (
        select from pg_catalog.pg_roles o where o.oid = f.proowner and o.rolsuper))"""


def _drop_keepers(table: Table, marker: str) -> str:
    """Drop the triggers that keep a marker, and their functions except a stranger's.

    To stand in a block with the variable `sexton_one`; `marker` is a text in SQL.
    """
    name = table.sql.replace("%", "%%")
    return f"""
        for sexton_one in
            select pg_catalog.format(
                       {literal(f"drop trigger %I on {name}")}::text, t.tgname) as trigger,
                   case when {_OF_OWNER} then pg_catalog.format(
                       'drop function %s()'::text,
                       pg_catalog.format('%I.%I'::text, n.nspname, f.proname))
                   end as function
            from pg_catalog.pg_trigger t
            join pg_catalog.pg_class c on c.oid = t.tgrelid
            join pg_catalog.pg_proc f on f.oid = t.tgfoid
            join pg_catalog.pg_namespace n on n.oid = f.pronamespace
            where t.tgrelid = {table.regclass}::pg_catalog.oid and {keepers(marker)}
        loop
            execute sexton_one.trigger;
            if sexton_one.function is not null then
                execute sexton_one.function;
            end if;
        end loop;
        for sexton_one in
            select pg_catalog.format(
                'drop function %I.%I()'::text, n.nspname, f.proname) as function
            from pg_catalog.pg_proc f
            join pg_catalog.pg_namespace n on n.oid = f.pronamespace
            join pg_catalog.pg_class c on c.relnamespace = n.oid
            where c.oid = {table.regclass}::pg_catalog.oid and f.pronargs = 0
              and f.proname::text = {marker} and {_OF_OWNER}
              and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = f.oid)
        loop
            execute sexton_one.function;
        end loop;"""


def _drop_trigger(side: Side) -> str:
    return block(
        f"""
        declare
            sexton_one record;
        begin
            {_path(side.table, SAFE)}
            {_drop_keepers(side.table, f"{literal(side.marker)}::text")}
            {_known(side.table)}
        end
        """
    )


def sweep(table: Table, keep: tuple[str, ...] = ()) -> str:
    """Drop the markers of a table that no key uses, and all that keeps them."""
    name = table.sql.replace("%", "%%")
    kept = f"and m.attname not in ({', '.join(map(literal, keep))})" if keep else ""
    return block(
        f"""
        declare
            sexton_marker text;
            sexton_one record;
        begin
            {_path(table, SAFE)}
            for sexton_marker in select m.attname::text {unused(table)} {kept} loop
                {_drop_keepers(table, "sexton_marker")}
                execute pg_catalog.format(
                    {literal(f"alter table {name} drop column %I")}::text, sexton_marker);
            end loop;
            {"" if keep else _drop_indexes(table)}
            {_known(table)}
        end
        """
    )


def _drop_indexes(table: Table) -> str:
    """Drop the indexes over markers that no key refers to."""
    return f"""
            for sexton_one in
                select pg_catalog.format(
                    'drop index %I.%I'::text, n.nspname, i.relname) as index
                from pg_catalog.pg_index k
                join pg_catalog.pg_class i on i.oid = k.indexrelid
                join pg_catalog.pg_namespace n on n.oid = i.relnamespace
                where k.indrelid = {table.regclass}::pg_catalog.oid
                  and pg_catalog.starts_with(i.relname::text, 'sexton_live_'::text)
                  and not exists (
                      select from pg_catalog.pg_constraint f
                      where f.conindid = k.indexrelid
                  )
            loop
                execute sexton_one.index;
            end loop;"""


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


def _give_to_owner(side: Side) -> str:
    """Make the table's owner the function's: whoever owns it may change what it does."""
    function = side.table.in_same_schema(side.marker).replace("%", "%%")
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


def _path(table: Table, path: str) -> str:
    """Set the search_path; not where the session alone knows where the table is."""
    if table.schema is None:
        return ""
    return f"perform pg_catalog.set_config('search_path', {literal(path)}, true);"


def _known(table: Table) -> str:
    """Set the path that the table's own triggers, and the database's, may expect."""
    return _path(table, f"{quoted(table.schema or '')}, pg_temp")


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
        finding=_path(side.table, SAFE),
        writing=_known(side.table),
    )


def validate(side: Side, constraints: str) -> str:
    """Validate the constraints of a table that a query finds, `k`."""
    return for_each(side, f"{constraints} and not k.convalidated", "validate constraint %I")


def for_each(side: Side, constraints: str, change: str) -> str:
    """Alter a table once for each of its constraints that a query finds, `k`."""
    command = f"alter table {side.table.sql.replace('%', '%%')} {change}"
    return block(
        f"""
        declare
            sexton_one text;
            sexton_found text[];
        begin
            {_path(side.table, SAFE)}
            sexton_found := array(select k.conname::text {constraints});
            {_known(side.table)}
            foreach sexton_one in array sexton_found loop
                execute pg_catalog.format({literal(command)}::text, sexton_one);
            end loop;
        end
        """
    )
