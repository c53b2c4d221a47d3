"""Everything that a step would refuse is asked before the first."""

import contextlib

import pytest

from sexton.catalog import schema
from sexton.database import connect, scalar
from sexton.errors import SchemaDrift
from sexton.upgrade.run import upgrade
from tests.support.project import HEAD
from tests.support.tools import Cli, add_model, add_provider, table


@pytest.mark.usefixtures("history")
def test_down_to_0001_without_a_choice_is_refused(sexton, connection):
    assert sexton("downgrade", "0002").code == 0
    result = sexton("downgrade", "0001")
    assert result.code == 5
    assert "tombstones would come back to life" in result.stderr
    assert "openai/b" in result.stderr
    assert "--tombstones disable" in result.stderr
    assert schema.revision(connection) == "0002"
    assert scalar(connection, "select count(*) from chat_model_configs where deleted") == 1


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            "update chat_model_configs set provider = 'legacy-removed' where deleted",
            "'legacy-removed' (",
        ),
        (
            "update chat_model_configs set provider = ' OpenAI' where deleted",
            "; did it mean 'openai'?)",
        ),
        (
            "alter table chat_providers drop constraint chat_providers_provider_key",
            "chat_providers.provider is not unique",
        ),
        (
            "alter table chat_providers add column region text; "
            "update chat_providers set region = ''; "
            "alter table chat_providers alter column region set not null",
            "have no default (region)",
        ),
    ],
)
def test_preflight_of_a_downgrade_says_what_would_make_it_fail(
    sexton, connection, prepare, said
):
    connection.execute(prepare)
    before = table(connection, "chat_providers")
    planned = sexton("downgrade", "0003", "--plan")
    assert planned.code == 5
    assert said in planned.stdout
    result = sexton("downgrade", "0003")
    assert result.code == 5
    assert said in result.stderr
    assert schema.revision(connection) == HEAD
    assert table(connection, "chat_providers") == before


def test_preflight_of_an_upgrade_warns_of_orphans_and_half_tombstones(database, sexton):
    sexton.url = database("0003")
    with contextlib.closing(connect(sexton.url, name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai", deleted=True)
        connection.execute(
            """
            alter table chat_model_configs
                drop constraint chat_model_configs_provider_fkey
            """
        )
        add_model(connection, "gone")
    result = sexton("upgrade", "--plan")
    assert "live model configs without a provider: 1, of 'gone'" in result.stdout
    assert "tombstones that are half set: 1" in result.stdout


NAME = "idx_chat_model_configs_single_default"


def test_a_heal_that_the_data_refuses_is_drift_with_the_reason(connection, url, capfd):
    add_provider(connection, "openai")
    connection.execute(f"drop index {NAME}")
    for _ in range(2):
        add_model(connection, "openai", is_default=True)
    with pytest.raises(SchemaDrift, match="there are 2 defaults") as raised:
        upgrade(connection)
    assert raised.value.hint == "sexton repair default_ambiguous"
    assert Cli(url, capfd)("upgrade", "--plan").code == 1


def test_a_downgrade_asks_everything_before_its_first_step(populated, url, capfd):
    before = [table(populated, name) for name in ("chat_model_configs", "chat_providers")]
    for target in ("0001", "base"):
        result = Cli(url, capfd)("downgrade", target)
        assert result.code == 5
        assert "nothing was changed" in result.stderr
        assert schema.revision(populated) == HEAD
    assert "delete them first" not in result.stderr
    after = [table(populated, name) for name in ("chat_model_configs", "chat_providers")]
    assert after == before
