"""The right database, and what in it was there before Sexton."""

import contextlib
import os
import subprocess
import sys

import pytest

from sexton.catalog import schema
from sexton.chat.releases import newer
from sexton.database import connect, rows, scalar
from sexton.errors import Refused
from sexton.upgrade.adopt import adopt, stamp
from sexton.upgrade.run import downgrade, upgrade
from tests.support.tools import Cli
from tests.support.upstream import build_upstream


@pytest.fixture
def shop(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("create table orders (id int); create table customers (id int)")
        yield connection, url


def test_tables_are_made_in_an_empty_database_or_where_it_is_asked(shop, capfd):
    connection, url = shop
    result = Cli(url, capfd)("upgrade")
    assert result.code == 5
    for word in (connection.info.dbname, "customers, orders", "as postgres", "--create"):
        assert word in result.stderr
    assert Cli(url, capfd)("upgrade", "--plan").code == 5
    assert scalar(connection, "select to_regclass('chat_providers')") is None
    assert Cli(url, capfd)("upgrade", "--create").code == 0


@pytest.fixture
def product(database):
    """The product's release before its own change, which records its migrations."""
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        build_upstream(connection, provider_key=True)
        connection.execute("create table schema_migrations (version bigint, dirty boolean)")
        stamp(connection, adopt(connection))
        yield connection, url


def test_the_products_own_migrations_are_seen(product, capfd):
    connection, url = product
    result = Cli(url, capfd)("upgrade")
    assert result.code == 5
    for word in (
        "schema_migrations",
        "fails if the key is gone",
        "downgrade 0003",
        "--force",
    ):
        assert word in result.stderr
    assert schema.revision(connection) == "0003"
    assert upgrade(connection, url, force=True) == ["0004"]
    assert downgrade(connection, url, "0003") == ["0004"]


def test_what_was_there_before_sexton_is_not_dropped_unasked(product):
    connection, url = product
    with pytest.raises(Refused, match="adopted at 0003") as raised:
        downgrade(connection, url, "0001")
    assert "0002 (Add `deleted` and `deleted_at` to model configs)" in raised.value.message
    assert "deleted" in schema.columns(connection, "chat_model_configs")
    assert downgrade(connection, url, "0001", force=True) == ["0003", "0002"]


def test_a_later_product_is_recognised_by_name_and_release(database, capfd):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(
            "create table ai_providers (id uuid);"
            "create table chat_model_configs (id uuid, ai_provider_id uuid)"
        )
        assert "v2.34 or later" in str(newer(connection))
        for command in ("status", "upgrade", "adopt"):
            result = Cli(url, capfd)(command)
            assert result.code == 4, command
            assert "v2.34 or later" in result.stdout + result.stderr
        assert Cli(url, capfd)("upgrade", "--plan").code == 4


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
                upgrade(connection, url)
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
    administrator.execute(f"create role {role} login")
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


def alembic(url, *arguments, cwd=None):
    parameters = dict(part.split("=", 1) for part in url.split())
    names = {"host": "PGHOST", "user": "PGUSER", "port": "PGPORT", "dbname": "PGDATABASE"}
    environment = os.environ | {names[key]: value for key, value in parameters.items()}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_plain_alembic_refuses_a_database_that_was_not_adopted(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        build_upstream(connection, provider_key=True)
        done = alembic(url, "upgrade", "head")
        assert done.returncode != 0
        assert "sexton adopt" in done.stdout + done.stderr
        assert schema.revision(connection) is None
