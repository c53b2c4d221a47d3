"""Standing: at which revision a database is, and what contradicts its word."""

from typing import Any

from sexton.catalog.relations import bind, named, resolve
from sexton.catalog.schema import visible_revision
from sexton.database import Connection, rows
from sexton.ddl.session import own_session
from sexton.project import current
from sexton.text.printable import printable
from sexton.upgrade.drift import broken_guards, drift
from sexton.upgrade.route import known


def standing(connection: Connection) -> dict[str, Any]:
    """{revision, head, drift[]}; revision and head are None where there are none.

    Of the team's own environment, if the project file names one. What it declares of keys
    and guards is asked as well as what revisions promise. Raises what its env.py does.
    """
    unfit = current().unfit
    # Tables that do not exist yet are no error here.
    if (error := unfit(connection)) and unfit(connection, schema_change=True):
        raise error
    revision, head = revision_and_head(connection)
    promised = drift if known() and current().alembic is None else broken_guards
    found = [*promised(connection), *_keys(connection)]
    return {"revision": revision, "head": head, "drift": found}


def revision_and_head(connection: Connection) -> tuple[str | None, str | None]:
    """The first two of these."""
    if current().alembic is not None:
        from sexton.upgrade.own import at_and_head

        return at_and_head(connection)
    return visible_revision(connection), known()[-1].number if known() else None


def _keys(connection: Connection) -> list[str]:
    """What the check of the declared keys says."""
    check = current().checks.get("declared_keys")
    if check is None:
        return []
    with own_session(connection):
        found = rows(connection, bind(check.find, resolve(connection, named(check.find))))
    return [printable(check.message.format_map(row)) for row in found]
