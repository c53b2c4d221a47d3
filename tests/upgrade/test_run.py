"""Up and down again, and nothing is lost."""

import contextlib
import threading

import psycopg
import pytest

from sexton.database import connect, rows, scalar
from sexton.errors import Incomplete, WrongServer
from sexton.upgrade.drift import drift
from sexton.upgrade.run import Options, downgrade, upgrade
from tests.support.project import REVISIONS, down_to
from tests.support.tools import login, table

DISABLE = Options(choices=frozenset({"tombstones=disable"}))


def test_all_the_way_down_and_up_gives_back_every_row(connection, url, history):
    before = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert downgrade(connection, "0001", DISABLE) == down_to("0001")
    [config] = rows(connection, "select * from chat_model_configs where id = %s", history)
    assert config["enabled"] is False
    assert "deleted" not in config
    upgrade(connection)
    after = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert after == before
    ours = rows(
        connection,
        "select tablename from pg_tables where schemaname = 'sexton' order by tablename",
    )
    assert [row["tablename"] for row in ours] == ["alembic_version", "changes", "runs"]


def test_settings_of_role_or_database_do_not_matter(database, administrator):
    url = database("empty")
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    for setting in (
        "quote_all_identifiers = on",
        "idle_session_timeout = '700ms'",
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '20s'",
        "row_security = on",
    ):
        administrator.execute(f"alter database {name} set {setting}")
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert upgrade(connection) == REVISIONS
        assert drift(connection) == []
        with (
            contextlib.closing(connect(url, name="idle")) as idle,
            idle.transaction(),
        ):
            idle.execute("set local idle_in_transaction_session_timeout = 0")
            idle.execute("update chat_providers set enabled = enabled")
            ended = []

            def go():
                with contextlib.closing(connect(url, name="tests")) as own:
                    ended.append(downgrade(own, "0003", Options(max_stall=0.1)))

            going = threading.Thread(target=go)
            going.start()
            held = "select count(*) from pg_locks where locktype = 'advisory'"
            while going.is_alive() and not scalar(connection, held):
                going.join(0.01)
            going.join(2.5)  # longer than the timeouts of the database
            assert scalar(connection, held) == 1
        going.join(60)
        assert ended == [down_to("0003")]


def test_an_interrupt_says_where_the_database_stands(database):
    url = database("0003")

    def interrupt(_line):
        raise KeyboardInterrupt

    with (
        contextlib.closing(connect(url, name="tests")) as connection,
        contextlib.closing(connect(url, name="idle")) as idle,
        idle.transaction(),
    ):
        idle.execute("select from chat_providers")
        with pytest.raises(Incomplete, match="the database is at 0003") as raised:
            upgrade(connection, options=Options(max_stall=0.1, say=interrupt))
        assert "run the same command again to resume" in raised.value.message
        assert raised.value.code == 3


def test_what_is_refused_before_the_first_step_says_that_nothing_was_changed(
    database, administrator
):
    url = database("0003")
    with contextlib.closing(connect(url, name="tests")) as connection:
        role = f"stranger_{scalar(connection, 'select pg_backend_pid()')}"
        administrator.execute(
            f"create role {role} {login(administrator)} in role pg_read_all_data"
        )
        try:
            with (
                contextlib.closing(connect(f"{url} user={role}", name="tests")) as stranger,
                pytest.raises(WrongServer, match="does not own") as raised,
            ):
                upgrade(stranger)
        finally:
            administrator.execute(f"drop role {role}")
        said = raised.value.message.splitlines()[1:]
        assert said == ["  the database is at 0003; nothing was changed"]
