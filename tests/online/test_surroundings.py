"""Plain `alembic` writes the journal where its schema is there, and makes none."""

import contextlib

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from sexton import journal
from sexton.catalog import schema
from sexton.database import connect, scalar
from sexton.project import current
from tests.support.own_environment import TABLES, Environment
from tests.support.tools import Cli, Result, login

SAY = "import sys\nsys.stderr.write('at work')\nop.add_soft_delete('customers')"


@pytest.fixture
def team(database, tmp_path, monkeypatch, capfd):
    """The environment, plain Alembic's config of it, its commands, and a connection."""
    url = database("empty")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    made = Environment(tmp_path)
    made.add("0001", None, SAY)
    made.add("0002", "0001", "pass")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        yield made, Config("alembic.ini"), Cli(url, capfd), connection


def runs(connection):
    return [
        (run["kind"], run["options"]["moves"], run["finished"])
        for run in reversed(journal.list_runs(connection))
    ]


def test_a_database_without_the_schema_gets_none(team):
    _, config, _, connection = team
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    assert not scalar(connection, "select to_regnamespace('sexton') is not null")


def test_where_the_schema_is_there_each_run_is_in_the_history(team):
    made, config, sexton, connection = team
    connection.execute("create schema sexton")
    command.upgrade(config, "head")
    command.upgrade(config, "head")
    command.stamp(config, "0001")
    command.downgrade(config, "base")
    made.add("0002", "0001", "op.add_soft_delete('nothing')")
    with pytest.raises(CommandError, match="there is no table nothing"):
        command.upgrade(config, "head")
    assert runs(connection) == [
        ("upgrade", ["0001", "0002"], True),
        ("stamp", ["0002"], True),
        ("downgrade", ["0001"], True),
        ("upgrade", ["0001"], False),
    ]
    assert "next: sexton downgrade base\n" in sexton("undo", "1").stderr
    assert "next: sexton history 2\n" in sexton("undo", "2").stderr
    made.add("0002", "0001", "pass")
    assert sexton("upgrade").code == 0  # which writes it once, not twice
    assert len(runs(connection)) == 5


def test_a_role_that_may_not_write_it_is_told_before_the_first_step(
    team, administrator, capfd
):
    _, config, sexton, connection = team
    role = f"owner_{scalar(connection, 'select pg_backend_pid()')}"
    administrator.execute(f"create role {role} {login(administrator)}")
    try:
        connection.execute(
            f"create schema sexton; grant create on schema public to {role};"
            f"alter table customers owner to {role}; alter table invoices owner to {role}"
        )
        url = f"{sexton.url} user={role}"
        for upgrade in (
            lambda: Cli(url, capfd)("upgrade", "0001"),
            lambda: _plainly(config, url, capfd),
        ):
            result = upgrade()
            assert result.code == 0, result
            # Looking says it too, and then the work itself.
            told, _, _ = result.stderr.rpartition("at work")
            assert "this will not be in the journal: " in told
            assert f"grant usage, create on schema sexton to {role}" in told
            assert "journal" not in upgrade().stderr  # there is nothing to do any more
            assert runs(connection) == []
            connection.execute(
                "alter table customers drop column deleted, drop column deleted_at;"
                "drop table alembic_version"
            )
    finally:
        connection.execute(f"reassign owned by {role} to postgres; drop owned by {role}")
        administrator.execute(f"drop role {role}")


def _plainly(config, url, capfd):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        command.upgrade(config, "0001")
    return Result(0, *capfd.readouterr())


def test_the_product_by_plain_alembic_is_in_the_history_too(database, monkeypatch):
    url = database("empty")
    monkeypatch.setenv("DATABASE_URL", url)
    config = Config()
    config.set_main_option("script_location", str(current().migrations))
    command.upgrade(config, "0003")
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert runs(connection) == [("upgrade", ["0001", "0002", "0003"], True)]
        assert schema.revision(connection) == "0003"
