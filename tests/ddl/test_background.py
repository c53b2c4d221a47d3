"""Work beside the others waits for them, and says for whom."""

import contextlib
import time

import pytest

from sexton.database import connect
from sexton.ddl import background
from sexton.ddl.options import Options
from sexton.ddl.sending import Sender
from sexton.errors import Busy
from sexton.upgrade.run import downgrade


def test_a_concurrent_step_ends_the_idle_where_it_is_asked(database):
    url = database("0003")
    with (
        contextlib.closing(connect(url, name="tests")) as connection,
        contextlib.closing(connect(url, name="nightly-report")) as idle,
    ):
        idle.execute("begin; update chat_model_configs set enabled = enabled")
        idle.execute("lock table chat_model_configs in row exclusive mode")
        # What the first try leaves half built, the second has to drop.
        for what in ("create unique index", "drop index"):
            with pytest.raises(Busy, match=f"^{what} concurrently did not end within"):
                downgrade(connection, "0002", Options(deadline=0.3))
        said: list[str] = []
        options = Options(terminate_idle_older_than=0.3, deadline=20, say=said.append)
        assert downgrade(connection, "0002", options) == ["0003"]
        assert any(line.startswith("ended pid") for line in said)


def test_a_concurrent_step_names_the_prepared_transaction_it_waits_for(from_nothing):
    sexton, connection = from_nothing
    assert sexton("upgrade", "0002").code == 0
    with contextlib.closing(connect(sexton.url, name="tests")) as other:
        other.execute("begin; update chat_model_configs set model = model")
        other.execute("insert into chat_providers (provider) values ('openai')")
        other.execute("lock table chat_model_configs in row exclusive mode")
        other.execute("prepare transaction 'left over'")
    try:
        result = sexton("upgrade", "0003", "--deadline", "3s")
    finally:
        connection.execute("rollback prepared 'left over'")
    assert result.code == 6
    assert "waits for prepared transaction 'left over' of " in result.stderr
    assert "pid 0" not in result.stderr


def test_the_deadline_ends_also_what_is_between_two_statements(connection):
    options = Options(deadline=0.2)

    class Pausing(Sender):
        def __call__(self, driver, statement):
            time.sleep(0.5)
            driver.execute(statement)

    send = Pausing(None, options, "7 of 9 rows")
    with pytest.raises(Busy, match="did not end within 200 ms: 7 of 9 rows"):
        background.run(connection, ["select pg_sleep(4)"], "pg_catalog", options, send)
