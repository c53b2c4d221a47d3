"""Who is in the way: named, also where little may be seen, and never as SQL."""

import contextlib
import os

import pytest

from sexton.database import connect
from sexton.ddl.holders import LockSampler, advice
from sexton.ddl.options import Options
from sexton.errors import Busy
from sexton.upgrade.run import downgrade, upgrade
from tests.support.tools import Cli


def test_a_gid_is_quoted_in_the_hint(connection):
    gid = "x'; alter role intruder superuser; --"
    connection.execute("begin; update chat_providers set enabled = enabled")
    connection.execute("prepare transaction 'x''; alter role intruder superuser; --'")
    try:
        holders = LockSampler(connection, ["chat_providers"], "access exclusive").sample()
        assert [holder.gid for holder in holders] == [gid]
        said = str(advice(connection, holders))
        assert said.startswith("commit prepared 'x''; alter role intruder superuser; --' ")
    finally:
        connection.execute("rollback prepared 'x''; alter role intruder superuser; --'")


def test_a_concurrent_step_ends_the_idle_where_it_is_asked(database):
    url = database("0003")
    with (
        contextlib.closing(connect(url, name="tests")) as connection,
        contextlib.closing(connect(url, name="nightly-report")) as idle,
    ):
        idle.execute("begin; update chat_model_configs set enabled = enabled")
        idle.execute("lock table chat_model_configs in row exclusive mode")
        said: list[str] = []
        options = Options(terminate_idle_older_than=0.3, deadline=20, say=said.append)
        assert downgrade(connection, url, "0002", options) == ["0003"]
        assert any(line.startswith("ended pid") for line in said)


def test_without_the_right_to_see_it_says_so_and_what_to_grant(
    database, administrator, capfd
):
    url, role = database("0003"), f"blind_{os.getpid()}"
    administrator.execute(f"create role {role} login")
    try:
        with (
            contextlib.closing(connect(url, name="tests")) as connection,
            contextlib.closing(connect(url, name="ops")) as other,
        ):
            connection.execute(
                f"alter table chat_providers owner to {role};"
                f"alter table chat_model_configs owner to {role};"
                f"grant all on schema sexton to {role};"
                f"grant all on all tables in schema sexton, public to {role};"
                f"alter schema sexton owner to {role};"
                f"alter table sexton.alembic_version owner to {role}"
            )
            with other.transaction():
                other.execute("select from chat_providers")
                run = Cli(f"{url} user={role}", capfd)
                planned = run("upgrade", "--plan")
                assert f"pid {other.info.backend_pid}, postgres (ops)" in planned.stdout
                assert f'grant "pg_read_all_stats" to "{role}"' in planned.stdout
                with (
                    contextlib.closing(connect(f"{url} user={role}", name="t")) as blind,
                    pytest.raises(Busy, match="hidden from this role") as raised,
                ):
                    upgrade(blind, f"{url} user={role}", options=Options(0.1, deadline=0.5))
                assert 'grant "pg_read_all_stats"' in str(raised.value.hint)
    finally:
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(f"reassign owned by {role} to postgres")
            connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")
