"""Privileges: what a role may not do. Queries expect a safe search path."""

import json
from collections.abc import Sequence

from sexton.postgres.connect import Connection
from sexton.postgres.session import rows
from sexton.text.printable import printable

VERBS = {"insert": "insert into", "update": "update", "delete": "delete from"}
UNABLE = """
    select distinct w.kind, t.relname::text as name
    from rows from (
        unnest(%s::int8[]::oid[]), unnest(%s::text[]), unnest(%s::text[])
    ) as w (relation, kind, columns)
    join pg_class t on t.oid = w.relation
    left join pg_roles r on r.rolname::text = coalesce(%s, current_user::text)
    where case w.kind
        when 'delete' then has_table_privilege(r.oid, t.oid, 'delete')
        when 'insert' then has_any_column_privilege(r.oid, t.oid, 'insert')
        else has_any_column_privilege(r.oid, t.oid, 'update') and not exists (
            select from jsonb_array_elements_text(w.columns::jsonb) as c (name)
            where not has_column_privilege(r.oid, t.oid, c.name, 'update')
        )
    end is not true
    order by name, w.kind
"""


def unable(
    connection: Connection,
    role: str | None,
    needs: Sequence[tuple[int, str, Sequence[str]]],
) -> list[str]:
    """What a role, which may be gone, may not do of what it needs, in words.

    None is the role at work.

    A need is the oid of a table, `insert`, `update` or `delete`, and the columns of an
    update. Reads only.
    """
    oids, kinds = [need[0] for need in needs], [need[1] for need in needs]
    columns = [json.dumps(list(need[2])) for need in needs]
    found = rows(connection, UNABLE, oids, kinds, columns, role)
    return [printable(f"{VERBS[row['kind']]} {row['name']}") for row in found]
