"""An operation is previewed or made, journalled, and the product warned."""

import json

from sexton.database import scalar
from tests.support.tools import add_model, add_provider


def test_a_change_from_outside_warns_of_the_products_caches(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert "10 s" not in sexton("provider", "delete", "openai", "--dry-run").stderr
    result = sexton("provider", "delete", "openai", "--format=json")
    assert "10 s" in result.stderr
    assert json.loads(result.stdout)["provider"] == "openai"


def test_the_journal_knows_the_actor(sexton, connection):
    add_provider(connection, "openai")
    sexton("provider", "delete", "openai", "--actor", "ada")
    assert scalar(connection, "select actor from sexton.runs") == "ada"


def test_without_a_journal_nothing_of_ours_is_made(sexton, connection):
    add_provider(connection, "openai")
    assert sexton("provider", "delete", "openai", "--no-journal").code == 0
    assert scalar(connection, "select to_regclass('sexton.runs')") is None
