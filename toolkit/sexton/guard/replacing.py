"""Another condition for a guard: the new one is made beside the old, then moves in.

Until then both hold, each by its own definition. So a write that both allow never fails,
and one that either refuses is refused: at no instant does the guard hold less than before.
"""

from sexton.catalog.relations import literal, quoted
from sexton.database import Connection
from sexton.ddl.row_loop import block
from sexton.ddl.steps import Step
from sexton.guard.definition import Guard
from sexton.guard.predicate import in_pg_catalog
from sexton.guard.side import Side, numbers
from sexton.guard.side_steps import (
    create_trigger,
    drop_trigger,
    function_refusals,
    step,
)
from sexton.guard.status import true
from sexton.guard.steps import add_steps, both, removal, remove_steps


def set_steps(connection: Connection, guard: Guard) -> list[Step]:
    """What sets a guard here, whatever stands in its place."""
    beside = guard.beside
    with in_pg_catalog(connection):
        differs = true(connection, guard.differs)
        left = true(connection, beside.anything)
        useless = left and (not differs or true(connection, beside.unlike))
    cleared = [_clear(beside)] if useless else []
    if not differs:
        return [*cleared, *add_steps(guard)]
    return [*cleared, *add_steps(beside), _move_in(guard)]


def clear_steps(connection: Connection, guard: Guard) -> list[Step]:
    """What takes a guard away, and what was begun beside it."""
    with in_pg_catalog(connection):
        left = true(connection, guard.beside.anything)
    return [*([_clear(guard.beside)] if left else []), *remove_steps(guard)]


def _clear(beside: Guard) -> Step:
    return step(
        title=f"take away what was begun of another guard of {beside.spec.label}",
        lock="access exclusive",
        tables=both(beside),
        done=_gone(beside),
        sql=removal(beside),
    )


def _gone(guard: Guard) -> str:
    return f"select not ({guard.anything})"


def _move_in(guard: Guard) -> Step:
    beside = guard.beside
    index = guard.parent.table.in_same_schema(beside.names.target_index)
    sides = [(guard.child, beside.child), (guard.parent, beside.parent)]
    kept = [(side, new) for side, new in sides if side.mark]
    return step(
        title=f"put it in the place of the guard of {guard.spec.label} that is there",
        lock="access exclusive",
        tables=both(guard),
        refuse=[refusal for side, _ in kept for refusal in function_refusals(side)],
        done=f"select not ({guard.differs}) and ({_gone(beside)})",
        sql=[
            *removal(guard),
            *(sql for _, new in kept for sql in drop_trigger(new)),
            *(sql for side, new in sides for sql in _renames(side, new)),
            f"alter table {guard.child.table.sql} rename constraint "
            f"{quoted(beside.names.key)} to {quoted(guard.names.key)}",
            # An index has names of its own for its columns.
            f"alter table {index} rename column {beside.names.target} "
            f"to {guard.names.target}",
            f"alter index {index} rename to {quoted(guard.names.target_index)}",
            *(sql for side, _ in kept for sql in create_trigger(side)),
        ],
    )


def _renames(side: Side, new: Side) -> list[str]:
    table = side.table.sql
    return [
        f"alter table {table} rename column {new.marker} to {side.marker}",
        f"alter table {table} rename constraint {quoted(new.check)} "
        f"to {quoted(side.check)}",
        *([] if side.mark else [_rename_not_null(side)]),
    ]


def _rename_not_null(side: Side) -> str:
    """PostgreSQL 18 has named the NOT NULL, by what the column was called."""
    command = f"alter table {side.table.sql.replace('%', '%%')} rename constraint %I to %I"
    return block(
        f"""
        declare
            one text;
        begin
            for one in
                select k.conname::text from pg_catalog.pg_constraint k
                where k.contype = 'n'
                  and k.conrelid = {side.table.regclass}::pg_catalog.oid
                  and k.conkey = {numbers(side.table, (side.marker,))}
            loop
                execute pg_catalog.format({literal(command)}::text, one,
                    pg_catalog.regexp_replace(
                        one, '_new_not_null[0-9]*$'::text, '_not_null'::text));
            end loop;
        end
        """
    )
