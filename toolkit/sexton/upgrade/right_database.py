"""Whether this is the database that is meant, before anything is changed in it."""

from sexton.catalog.relations import resolve
from sexton.database import Connection, rows
from sexton.ddl import revisions
from sexton.errors import Refused
from sexton.project import current
from sexton.text.printable import printable
from sexton.upgrade.route import Route, known

# Tables of users: not the server's, an extension's, or Sexton's own.
USER_TABLES = """
    select n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind::pg_catalog.text = any (array['r', 'p', 'v', 'm', 'f'])
      and n.nspname::pg_catalog.text
          <> all (array['pg_catalog', 'information_schema', 'sexton'])
      and pg_catalog.strpos(n.nspname::pg_catalog.text, 'pg_toast'::text) <> 1
      and pg_catalog.strpos(n.nspname::pg_catalog.text, 'pg_temp'::text) <> 1
      and c.relname::pg_catalog.text <> all (%s::pg_catalog.text[])
      and not exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            and d.objid = c.oid and d.deptype = 'e'::"char"
      )
    order by 1, 2
"""


def where(connection: Connection) -> str:
    """Where we are connected, and as whom."""
    info = connection.info
    host = f" at {info.host}:{info.port}" if info.host else ""
    return printable(f"the database {info.dbname}{host}, as {info.user}")


def require_right_database(
    connection: Connection, route: Route, *, create: bool = False, force: bool = False
) -> None:
    """Raise Refused where this is likely the wrong database, or the wrong time.

    `create` makes the tables beside others' in it; `force` goes on although parts are not
    Sexton's to change, or others count on them.
    """
    if route.direction == "up" and route.start is None and route.moves and not create:
        _require_empty(connection)
    if force:
        return
    said = [*_adopted(connection, route)]
    said += current().objections(connection, route.direction, route.start, route.goal)
    if said:
        raise Refused(
            "\n  ".join(said), hint="if it is meant all the same: the same with --force"
        )


def _require_empty(connection: Connection) -> None:
    ours = revisions.tables(known())
    others = rows(connection, USER_TABLES, ours)
    if not others:
        return
    some = ", ".join(row["name"] for row in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise Refused(
        f"{where(connection)}, has tables of its own ({printable(some)}{more}) and none "
        f"of the project {current().name}: is it the wrong one?",
        hint="check --url (or DATABASE_URL) and the search_path; to make the tables in it "
        "all the same: sexton upgrade --create",
    )


ADOPTED = "adopted by sexton at revision "


def _adopted(connection: Connection, route: Route) -> list[str]:
    """What was there before Sexton, and would be taken away."""
    at = adopted_at(connection)
    numbers = [revision.number for revision in known()]
    if route.direction == "up" or at not in numbers:
        return []
    there = set(numbers[: numbers.index(at) + 1])
    taken = [
        f"{revision.number} ({revision.summary.rstrip('.')})"
        for revision in known()
        if revision.number in there.intersection(route.revisions)
    ]
    if not taken:
        return []
    return [
        f"this database was adopted at {at}, so what these revisions would take away was "
        f"there before Sexton: {', '.join(taken)}"
    ]


def adopted_at(connection: Connection) -> str | None:
    """The revision at which `adopt` recorded the database; None where Sexton made it."""
    name = "sexton.alembic_version"
    table = resolve(connection, [name]).get(name)
    if table is None:
        return None
    [row] = rows(
        connection,
        "select pg_catalog.obj_description(%s::pg_catalog.oid, 'pg_class'::name) as said",
        table.oid,
    )
    said = str(row["said"] or "")
    return said.removeprefix(ADOPTED) if said.startswith(ADOPTED) else None
