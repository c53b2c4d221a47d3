"""Adopt recognises a database by its catalog, and guesses nothing."""

import contextlib

import pytest

from sexton.catalog import schema
from sexton.database import connect
from sexton.upgrade.adopt import adopt
from sexton.upgrade.drift import drift
from sexton.upgrade.run import upgrade
from tests.support.project import HEAD, REVISIONS, above
from tests.support.tools import Cli
from tests.support.upstream import build_upstream as build_product

FORGET = "drop schema sexton cascade"
INDEX = "idx_chat_model_configs_single_default"
HALF_WAY = {
    "key dropped, index old": (
        "0002",
        """
        alter table chat_model_configs drop constraint chat_model_configs_provider_fkey
        """,
        "0002",
    ),
    "key dropped, columns missing": (
        "0001",
        """
        alter table chat_model_configs drop constraint chat_model_configs_provider_fkey
        """,
        "0001",
    ),
    "index gone": ("0003", f"drop index {INDEX}", "0002"),
    "index invalid": (
        "0003",
        f"update pg_index set indisvalid = false where indexrelid = '{INDEX}'::regclass",
        "0002",
    ),
    "key not valid": (
        "0003",
        """
        alter table chat_model_configs drop constraint chat_model_configs_provider_fkey;
        alter table chat_model_configs add constraint other foreign key (provider)
            references chat_providers (provider) on delete cascade not valid
        """,
        "0003",
    ),
}


@pytest.fixture
def opened(database):
    """Open a database at a revision."""
    with contextlib.ExitStack() as stack:

        def make(revision: str):
            url = database(revision)
            return stack.enter_context(contextlib.closing(connect(url, name="tests"))), url

        yield make


@pytest.mark.parametrize("revision", REVISIONS)
def test_it_recognises_ours_at_every_revision(opened, revision):
    connection, _ = opened(revision)
    connection.execute(FORGET)
    document = adopt(connection)
    assert document["recognised"]
    assert document["revision"] == revision
    assert document["notes"] == []


@pytest.mark.parametrize(("key", "revision"), [(True, "0003"), (False, "0004")])
def test_it_recognises_the_product_before_and_after_its_change(opened, key, revision):
    connection, _ = opened("empty")
    build_product(connection, provider_key=key)
    document = adopt(connection)
    assert (document["recognised"], document["revision"]) == (True, revision)
    assert schema.revision(connection) is None


def test_apply_stamps_and_the_upgrade_goes_on_from_there(opened, capfd):
    connection, url = opened("empty")
    build_product(connection, provider_key=True)
    sexton = Cli(url, capfd)
    refused = sexton("upgrade")
    assert (refused.code, "next: sexton adopt" in refused.stderr) == (4, True)
    assert "sexton adopt --apply" in sexton("adopt").stdout
    assert schema.revision(connection) is None
    assert sexton("adopt", "--apply").code == 0
    assert sexton("adopt", "--apply").code == 0
    assert schema.revision(connection) == "0003"
    assert (
        sexton("upgrade").stdout
        == "".join(f"applied {n}\n" for n in above("0003")) + f"now at {HEAD}\n"
    )
    assert drift(connection) == []


@pytest.mark.parametrize("state", HALF_WAY)
def test_half_way_by_hand_is_brought_to_the_end_by_the_upgrade(opened, capfd, state):
    begun, hand, revision = HALF_WAY[state]
    connection, url = opened(begun)
    connection.execute(FORGET)
    connection.execute(hand)
    document = adopt(connection)
    assert (document["recognised"], document["revision"]) == (True, revision)
    assert document["notes"]
    assert Cli(url, capfd)("adopt", "--apply").code == 0
    upgrade(connection)
    assert drift(connection) == []


@pytest.mark.parametrize(
    ("hand", "said"),
    [
        (
            "alter table chat_model_configs alter column deleted drop default",
            "deleted is not boolean not null default false",
        ),
        ("alter table chat_model_configs add column ai_provider_id uuid", "does not know"),
        ("drop table chat_providers cascade", "there is no table chat_providers"),
    ],
)
def test_what_it_does_not_know_it_does_not_stamp(opened, capfd, hand, said):
    connection, url = opened(HEAD)
    connection.execute(FORGET)
    connection.execute(hand)
    result = Cli(url, capfd)("adopt", "--apply")
    assert result.code == 4
    assert said in result.stdout + result.stderr
    assert schema.revision(connection) is None


def test_a_database_without_the_tables_is_not_recognised(opened, capfd):
    _, url = opened("empty")
    assert Cli(url, capfd)("adopt", "--format", "json").json["recognised"] is False
