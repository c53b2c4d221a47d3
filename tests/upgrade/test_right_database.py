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
from tests.support.tools import Cli, add_provider
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


DROP = "alter table chat_model_configs drop constraint chat_model_configs_provider_fkey"
RESTORE = """
    alter table chat_model_configs add constraint chat_model_configs_provider_fkey
        foreign key (provider) references chat_providers (provider) on delete cascade
"""


@pytest.mark.parametrize("records", [("adopt", "--apply"), ("upgrade",)])
def test_what_the_product_did_itself_is_recorded(product, capfd, records):
    connection, url = product
    sexton = Cli(url, capfd)
    connection.execute(DROP)
    for command in (("status",), ("audit", "schema_drift")):
        said = sexton(*command)
        assert said.code == 1
        assert "0003 is recorded, but the schema is that of 0004" in said.stdout
        assert "sexton adopt --apply" in said.stdout
    assert sexton("adopt").code == 0
    assert sexton("upgrade", "--plan").code == 1
    done = sexton(*records)
    assert done.code == 0, done.stderr
    assert schema.revision(connection) == "0004"
    for command in (("status",), ("audit", "schema_drift"), ("adopt",), ("upgrade",)):
        assert sexton(*command).code == 0


def test_what_the_product_took_back_is_recorded(product, capfd):
    connection, url = product
    sexton = Cli(url, capfd)
    connection.execute(DROP)
    assert sexton("adopt", "--apply").code == 0
    connection.execute(RESTORE)
    # To drop the key again would fail the product's next migration.
    refused = sexton("upgrade")
    assert refused.code == 5
    assert "fails if the key is gone" in refused.stderr
    assert "0004 is recorded, but the schema is that of 0003" in sexton("status").stdout
    assert sexton("adopt", "--apply").code == 0
    assert schema.revision(connection) == "0003"
    assert sexton("audit", "schema_drift").code == 0


def test_two_migrations_of_the_products_are_recorded_at_once(database, capfd):
    url = database("0002")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("create table schema_migrations (version bigint, dirty boolean)")
        sexton = Cli(url, capfd)
        connection.execute(
            "drop index idx_chat_model_configs_single_default;"
            "create unique index idx_chat_model_configs_single_default "
            "on chat_model_configs ((1)) where is_default = true and deleted = false"
        )
        connection.execute(DROP)
        assert sexton("adopt", "--apply").code == 0
        assert schema.revision(connection) == "0004"
        assert sexton("status").code == 0


def test_no_hint_leads_to_the_upgrade_that_is_refused(product, capfd):
    connection, url = product
    sexton = Cli(url, capfd)
    add_provider(connection, "openai")
    assert "upgrade the product instead" in sexton("status").stdout
    refused = sexton("provider", "delete", "openai", "--yes")
    assert refused.code == 5
    assert "next: upgrade the product to v2.33" in refused.stderr


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
