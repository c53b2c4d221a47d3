"""Who is in the way: named, also where little may be seen, and never as SQL."""

import contextlib
import os
import time

import pytest

from sexton.database import connect
from sexton.ddl.holders import LockSampler, advice
from sexton.ddl.options import Options
from sexton.errors import Busy
from sexton.upgrade.run import upgrade
from tests.support.project import above
from tests.support.tools import Cli, login
from tests.support.waiting import Working


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


def test_without_the_right_to_see_it_says_so_and_what_to_grant(
    database, administrator, capfd
):
    url, role = database("0003"), f"blind_{os.getpid()}"
    administrator.execute(f"create role {role} {login(administrator)}")
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
                said: list[str] = []
                options = Options(0.1, 0.5, 0.1, say=said.append)
                with (
                    contextlib.closing(connect(f"{url} user={role}", name="t")) as blind,
                    pytest.raises(Busy, match="hidden from this role") as raised,
                ):
                    upgrade(blind, options=options)
                assert 'grant "pg_read_all_stats"' in str(raised.value.hint)
                # What was asked for cannot be done.
                assert any("to end those that are idle" in line for line in said)
    finally:
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(f"reassign owned by {role} to postgres")
            connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_a_prepared_transaction_is_seen_and_named(keyed, application):
    application.execute("begin")
    application.execute("update chat_providers set enabled = enabled")
    application.execute("prepare transaction 'left behind'")
    try:
        sampler = LockSampler(application, ["chat_providers"], "access exclusive")
        [holder] = [h for h in sampler.sample() if h.gid]
        assert (holder.gid, holder.pid) == ("left behind", None)
        working = Working(keyed, max_stall=0.1, deadline=0.7)
        with pytest.raises(Busy, match="prepared transaction 'left behind'") as raised:
            working.result()
        assert "rollback prepared 'left behind'" in raised.value.hint
    finally:
        application.execute("rollback prepared 'left behind'")
    assert Working(keyed).result() == above("0003")


def test_a_role_without_statistics_still_sees_that_somebody_is_there(keyed, application):
    application.execute("create role plain_role")
    application.execute("grant usage on schema public to plain_role")
    try:
        with (
            contextlib.closing(connect(keyed, name="plain")) as plain,
            application.transaction(),
        ):
            plain.execute("set role plain_role")
            application.execute("select from chat_providers")
            sampler = LockSampler(plain, ["chat_providers"], "access exclusive")
            assert [holder.pid for holder in sampler.sample()] == [
                application.info.backend_pid
            ]
            time.sleep(0.05)
            [holder] = sampler.sample()
            assert holder.since is None
            assert holder.age >= 0.05
    finally:
        application.execute("drop owned by plain_role; drop role plain_role")
