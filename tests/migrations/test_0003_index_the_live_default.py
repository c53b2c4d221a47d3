"""The index of the one live default is built beside the writers."""

import contextlib

import psycopg
import pytest

from sexton.database import connect, scalar
from sexton.errors import SextonError
from sexton.upgrade.drift import drift
from sexton.upgrade.run import upgrade
from tests.support.tools import add_model, add_provider


def test_an_index_left_invalid_is_dropped_and_rebuilt(database):
    url = database("0002")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        name = "idx_chat_model_configs_single_default_new"
        for _ in range(2):
            add_model(connection, "openai", "m")
        with contextlib.suppress(psycopg.errors.UniqueViolation):
            connection.execute(
                f"create unique index concurrently {name} on chat_model_configs ((1)) "
                "where is_default = true and deleted = false or model = 'm'"
            )
        invalid = "select count(*) from pg_index where not indisvalid"
        assert scalar(connection, invalid) == 1
        upgrade(connection)
        assert scalar(connection, invalid) == 0
        assert drift(connection) == []


def test_a_build_that_fails_on_the_data_is_refused_with_the_rows(database):
    url = database("0002")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        connection.execute("drop index idx_chat_model_configs_single_default")
        ids = [add_model(connection, "openai", "m", is_default=True) for _ in range(2)]
        with pytest.raises(SextonError, match="there are 2 defaults") as raised:
            upgrade(connection)
        assert raised.value.code == 5
        assert all(str(id) in raised.value.message for id in ids)
