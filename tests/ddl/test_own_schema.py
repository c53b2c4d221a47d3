"""The schema that the version table lies in is nobody else's."""

import contextlib
import os

import pytest

from sexton.catalog import schema
from sexton.database import connect, rows
from sexton.errors import Refused
from sexton.upgrade.adopt import adopt, stamp
from sexton.upgrade.run import upgrade
from tests.support.tools import login
from tests.support.upstream import build_upstream

STRANGE = {
    "schema": "create schema sexton authorization stranger_{pid}",
    "table": "create schema sexton; create table sexton.alembic_version ("
    "version_num varchar(32) primary key); "
    "alter table sexton.alembic_version owner to stranger_{pid}",
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strangers_schema_is_refused(database, administrator, kind):
    url, pid = database("empty"), os.getpid()
    administrator.execute(f"create role stranger_{pid}")
    try:
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(STRANGE[kind].format(pid=pid))
            with pytest.raises(Refused, match=f"stranger_{pid}"):
                upgrade(connection)
            build_upstream(connection)
            with pytest.raises(Refused, match=f"stranger_{pid}"):
                stamp(connection, adopt(connection))
            connection.execute(f"drop owned by stranger_{pid}")
    finally:
        administrator.execute(f"drop role stranger_{pid}")


def test_a_role_that_may_make_nothing_adopts_into_a_schema_made_for_it(
    database, administrator
):
    url, role = database("empty"), f"app_{os.getpid()}"
    administrator.execute(f"create role {role} {login(administrator)}")
    try:
        with contextlib.closing(connect(url, name="tests")) as connection:
            build_upstream(connection)
            for row in rows(
                connection,
                "select tablename as name from pg_tables where schemaname = 'public'",
            ):
                connection.execute(f"alter table {row['name']} owner to {role}")
            connection.execute(
                f"revoke create on database {connection.info.dbname} from public;"
                f"create schema sexton authorization {role}"
            )
            with contextlib.closing(connect(f"{url} user={role}", name="app")) as app:
                stamp(app, adopt(app))
            assert schema.revision(connection) == "0004"
            connection.execute(f"reassign owned by {role} to postgres")
            connection.execute(f"drop owned by {role}")
    finally:
        administrator.execute(f"drop role {role}")
