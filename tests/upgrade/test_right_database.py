"""The right database, and what in it was there before Sexton."""

import contextlib

import pytest

from sexton.catalog import schema
from sexton.database import connect, scalar
from sexton.errors import Refused
from sexton.upgrade.adopt import adopt, stamp
from sexton.upgrade.run import downgrade, upgrade
from tests.support.environments import alembic
from tests.support.project import above, down_to
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
    assert upgrade(connection, force=True) == above("0003")
    assert downgrade(connection, "0003") == down_to("0003")


def test_what_was_there_before_sexton_is_not_dropped_unasked(product):
    connection, _ = product
    with pytest.raises(Refused, match="adopted at 0003") as raised:
        downgrade(connection, "0001")
    assert "0002 (Add `deleted` and `deleted_at` to model configs)" in raised.value.message
    assert "deleted" in schema.columns(connection, "chat_model_configs")
    assert downgrade(connection, "0001", force=True) == ["0003", "0002"]


def test_plain_alembic_refuses_a_database_that_was_not_adopted(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        build_upstream(connection, provider_key=True)
        done = alembic(url, "upgrade", "head")
        assert done.returncode != 0
        assert "sexton adopt" in done.stdout + done.stderr
        assert schema.revision(connection) is None
