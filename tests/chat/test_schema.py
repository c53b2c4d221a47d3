"""A database that is not as the product's should be is told."""

from tests.support.tools import Cli

MISSING = "00000000-0000-0000-0000-000000000000"


def test_an_empty_database_is_the_wrong_schema(database, capfd):
    for command in ("status", "audit", "repair"):
        result = Cli(database("empty"), capfd)(command)
        assert result.code == 4
        assert "no table chat_providers" in result.stderr
        # It may be the wrong one, where nobody wants the product's tables.
        assert "next: check the database's name" in result.stderr
        assert "sexton upgrade" not in result.stderr


def test_no_tombstones_yet_is_the_wrong_schema(database, capfd):
    before = Cli(database("0001"), capfd)
    for command in (["provider", "delete", "openai"], ["model", "promote", MISSING]):
        result = before(*command)
        assert result.code == 4
        assert "no tombstones yet" in result.stderr


def test_the_key_must_be_gone_before_a_provider_goes(database, capfd):
    before = Cli(database("0003"), capfd)
    result = before("provider", "delete", "openai")
    assert result.code == 5
    assert "chat_model_configs_provider_fkey still stands" in result.stderr
