"""Connections: each leads to the server that was asked for, whatever the environment."""

import contextlib
import getpass
import os
from pathlib import Path

import psycopg
import pytest
from psycopg import _cursor_base, conninfo, generators, pq

from sexton.cli import run
from sexton.database import scalar
from sexton.embedded import Server
from sexton.errors import ConnectionFailed, WrongServer
from sexton.postgres.connect import (
    OwnConnection,
    another,
    closed_on_error,
    connect,
    parsed,
)
from tests.support.tools import add_model, add_provider

VARIABLES = {
    option.envvar.decode(): option.keyword.decode()
    for option in pq.Conninfo.get_defaults()
    if option.envvar
}
# libpq reads these too, and has no parameters for them.
OTHERS = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGSYSCONFDIR", "PGSERVICEFILE", "PGREQUIRESSL")
SYSTEM = "select system_identifier from pg_control_system()"
TABLE = "create table invoices (id bigint primary key, paid bool, note text)"
REVISION = """
from alembic import op
revision, down_revision = "a1", None
def upgrade():
    op.create_index_online("by_paid", "invoices", ["paid", "note"])
def downgrade():
    op.drop_index_online("by_paid", "invoices")
"""


@pytest.fixture(scope="module")
def other_server():
    """Another live server, with the same names of role and database."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        with Server(Path(directory) / "db", settings={"fsync": "off"}) as server:
            yield server


@pytest.fixture
def decoy(other_server, url):
    """The other server's database of the same name as the tests' own."""
    name = conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(other_server.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield other_server.url(name)
        connection.execute(f"drop database {name} with (force)")


def point_to(monkeypatch, address):
    """Set the variables that lead to an address."""
    for name, value in conninfo.conninfo_to_dict(address).items():
        [variable] = [v for v, keyword in VARIABLES.items() if keyword == name]
        monkeypatch.setenv(variable, str(value))


@pytest.fixture
def nonsense(monkeypatch):
    """Every variable of libpq's, set to what is no value of it."""
    for variable in (*VARIABLES, *OTHERS):
        monkeypatch.setenv(variable, "nonsense")


def test_an_interrupt_leaves_it_usable_or_closed(url, monkeypatch):
    def interrupted(pgconn):
        yield from generators.send(pgconn)
        raise KeyboardInterrupt

    with OwnConnection.connect(url, autocommit=True) as connection:
        with monkeypatch.context() as patched:
            patched.setattr(_cursor_base, "execute", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.execute("select pg_sleep(60)")
        assert connection.closed
    with psycopg.connect(url) as other:
        still = """
            select count(*) from pg_stat_activity
            where query like '%pg_sleep(60)%' and state = 'active'
              and pid <> pg_backend_pid()
        """
        assert other.execute(still).fetchone() == (0,)


def test_what_could_not_be_prepared_is_closed(url):
    connection = OwnConnection.connect(url)
    with pytest.raises(ZeroDivisionError), closed_on_error(connection):
        raise ZeroDivisionError
    assert connection.closed
    with OwnConnection.connect(url) as connection:
        with closed_on_error(connection):
            connection.execute("select 1")
        assert not connection.closed


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("left_out", [(), ("port",), ("host",), ("dbname",), ("user",)])
def test_another_connection_leads_to_the_same_place(
    url, decoy, monkeypatch, theirs, left_out
):
    parameters = conninfo.conninfo_to_dict(url)
    given = {name: parameters.pop(name) for name in left_out}
    for name, value in given.items():  # as PGPORT and its like complete an address
        [variable] = [v for v, keyword in VARIABLES.items() if keyword == name]
        monkeypatch.setenv(variable, str(value))
    address = conninfo.make_conninfo("", **parameters)
    first = psycopg.connect(address) if theirs else connect(address, name="tests")
    with contextlib.closing(first):
        wanted = first.execute("select pg_postmaster_start_time()").fetchone()
        point_to(monkeypatch, decoy)
        with contextlib.closing(another(first, name="second")) as second:
            query = "select pg_postmaster_start_time()"
            assert scalar(second, query) in (*wanted, *getattr(wanted, "values", tuple)())
            assert second.info.dbname == first.info.dbname
            assert second.info.user == first.info.user
            assert scalar(second, "select current_setting('application_name')") == "second"


def test_a_port_that_equals_libpqs_default_is_kept(tmp_path, decoy, monkeypatch, capfd):
    """Both servers' sockets are in one directory, and PGPORT names the second."""
    with Server(tmp_path / "first") as first:
        link = Path(first.sockets) / ".s.PGSQL.5499"
        other = Path(conninfo.conninfo_to_dict(decoy)["host"]) / ".s.PGSQL.5432"
        first.sockets.chmod(0o755)
        other.parent.chmod(0o755)
        link.symlink_to(other)
        decoy_name = conninfo.conninfo_to_dict(decoy)["dbname"]
        with psycopg.connect(first.url(), autocommit=True) as connection:
            connection.execute(f"create database {decoy_name}")
        for where in (first.url(decoy_name), decoy):
            with psycopg.connect(where) as connection:
                connection.execute(TABLE)
        (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/db\n")
        (tmp_path / "db/versions").mkdir(parents=True)
        (tmp_path / "db/env.py").write_text(
            "from alembic import context\nimport sexton.alembic\n"
            "sexton.alembic.run_migrations(context)\n"
        )
        (tmp_path / "db/versions/a1.py").write_text(REVISION)
        (tmp_path / "sexton.toml").write_text('project = "p"\nalembic = "alembic.ini"\n')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PGPORT", "5499")
        from sexton.project import afresh

        with afresh():
            code = run(["upgrade", "--url", first.url(decoy_name)])
        assert code == 0, capfd.readouterr()
        by_paid = "select to_regclass('by_paid')::text"
        with psycopg.connect(decoy) as connection:
            assert connection.execute(by_paid).fetchone() == (None,)
        with psycopg.connect(first.url(decoy_name)) as connection:
            assert connection.execute(by_paid).fetchone() == ("by_paid",)


def test_another_server_that_answers_is_refused_before_a_statement(url, decoy):
    with contextlib.closing(connect(url, name="tests")) as first:
        told = conninfo.conninfo_to_dict(decoy)
        first.sexton_place |= {"host": told["host"], "port": str(told["port"])}
        with pytest.raises(WrongServer, match="leads to another server or database"):
            another(first)


def test_another_database_that_answers_is_refused(url):
    with contextlib.closing(connect(url, name="tests")) as first:
        first.sexton_place["dbname"] = "postgres"
        with pytest.raises(WrongServer, match="leads to another server or database"):
            another(first)


def test_the_first_of_several_hosts_that_answers_is_kept(url, decoy):
    hosts = [str(conninfo.conninfo_to_dict(a)["host"]) for a in (url, decoy)]
    both = conninfo.make_conninfo(
        url, host=",".join(hosts), port="5432,5432", load_balance_hosts="random"
    )
    for _ in range(8):
        with (
            contextlib.closing(connect(both, name="tests")) as first,
            contextlib.closing(another(first)) as second,
        ):
            assert second.info.host == first.info.host


@pytest.mark.usefixtures("nonsense")
@pytest.mark.parametrize("command", ["status", "upgrade 0001", "demo", "audit"])
def test_an_embedded_server_needs_nothing_of_the_environment(tmp_path, capfd, command):
    where = [] if command == "demo" else ["--url", f"embedded:{tmp_path / 'db'}"]
    if command in ("audit", "status"):
        assert run(["upgrade", *where]) == 0, capfd.readouterr()
    assert run([*command.split(), *where]) == 0, capfd.readouterr()
    assert os.environ["PGSERVICE"] == "nonsense"


def test_an_embedded_server_is_not_left_for_a_live_one(tmp_path, decoy, monkeypatch, capfd):
    point_to(monkeypatch, decoy)
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    assert run(["upgrade", "--url", f"embedded:{tmp_path / 'db'}"]) == 0, capfd.readouterr()
    with psycopg.connect(decoy) as connection:
        found = "select to_regclass('chat_providers')::text"
        assert connection.execute(found).fetchone() == (None,)


@pytest.mark.parametrize("variable", [*VARIABLES, *OTHERS])
def test_a_variable_that_is_nonsense_leads_nowhere_else(url, monkeypatch, capfd, variable):
    """Either the address says otherwise, or the command ends with one sentence."""
    monkeypatch.setenv(variable, "nonsense")
    code = run(["audit", "--url", url])
    said = capfd.readouterr()
    assert code in (0, 4), said
    assert "Traceback" not in said.err
    assert "bug in Sexton" not in said.err
    if VARIABLES.get(variable) in conninfo.conninfo_to_dict(url):
        assert code == 0, said


def test_an_address_in_the_environment_does_not_replace_the_host(url, monkeypatch):
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with contextlib.closing(connect(url, name="tests")) as found:
        assert found.info.host == conninfo.conninfo_to_dict(url)["host"]


def test_a_service_comes_before_pghost(url, tmp_path, monkeypatch):
    told = conninfo.conninfo_to_dict(url)
    lines = "".join(f"{name}={value}\n" for name, value in told.items())
    (tmp_path / "services").write_text(f"[billing]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with contextlib.closing(connect("service=billing", name="tests")) as first:
        assert first.info.host == told["host"]
        (tmp_path / "services").write_text("[billing]\nhost=nowhere.invalid\nport=2\n")
        with contextlib.closing(another(first)) as second:
            assert second.info.host == told["host"]


def test_the_operating_systems_user_is_the_default(monkeypatch, url):
    parameters = conninfo.conninfo_to_dict(url)
    del parameters["user"]
    with pytest.raises(ConnectionFailed) as failure:
        connect(conninfo.make_conninfo("", **parameters | {"user": ""}), name="tests")
    assert getpass.getuser() in failure.value.message


SEVERAL = {"host": "a,b", "port": "1,2", "dbname": "db", "user": "u"}


@pytest.mark.parametrize(
    ("address", "parameters"),
    [
        ("postgresql+psycopg://u@/db?host=a:1&host=b:2", SEVERAL),
        ("postgresql+psycopg2://u@/db?host=a&port=1&host=b:2", SEVERAL | {"port": ",2"}),
        ("postgresql://u@/db?host=a,b&port=1,2", SEVERAL),
        ("postgresql+psycopg://u@/db?host=a:1,b:2", SEVERAL),
        ("postgresql+psycopg://u@/db?host=a&host=b", {"host": "a,b"}),
        ("postgresql+psycopg://u@/db?host=[::1]:1", {"host": "::1", "port": "1"}),
        ("postgresql+psycopg://u@/db?host=/run/pg&host=/tmp", {"host": "/run/pg,/tmp"}),
        (
            "postgresql+psycopg://u:p%40w%26@h:5/d%20b?options=-c%20a%3Db",
            {"password": "p@w&", "dbname": "d b", "options": "-c a=b", "port": "5"},
        ),
        ("postgres+psycopg://u@h/db", {"host": "h"}),
    ],
)
def test_sqlalchemys_spellings_are_read(address, parameters):
    found = parsed(address)
    assert {name: found[name] for name in parameters} == parameters


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql+asyncpg://u:s3cret@h/db?ssl=require", "has the parameter ssl,"),
        ("postgresql://u:s3cret@h/db?sslmode=require&pool=3", "has the parameter pool,"),
        ("postgresql://u:p@h/db?x=s3cret@h", "neither a URL nor key=value pairs"),
    ],
)
def test_a_parameter_that_libpq_does_not_know_is_named(address, said):
    with pytest.raises(ConnectionFailed) as failure:
        connect(address, name="tests")
    assert said in failure.value.message
    assert "s3cret" not in f"{failure.value.message} {failure.value.hint}"


def test_a_server_that_is_too_old_is_refused(url, monkeypatch):
    monkeypatch.setattr("sexton.postgres.connect.OLDEST", 990000)
    with pytest.raises(WrongServer, match=r"the server is PostgreSQL \d+") as raised:
        connect(url, name="tests")
    assert raised.value.code == 4


COMMANDS = """
    status; audit; repair; history; grants auditor --to postgres; provider list; model list;
    provider delete azure; undo 1; guard add; guard status; guard remove; downgrade 0003;
    upgrade --plan; upgrade; adopt
"""


def test_no_command_goes_where_the_environment_points(
    sexton, connection, decoy, monkeypatch
):
    """Each would fail in the other server's database, which is empty."""
    add_provider(connection, "openai")
    add_provider(connection, "azure")
    add_model(connection, "openai", is_default=True)
    point_to(monkeypatch, decoy)
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    for command in COMMANDS.split(";"):
        done = sexton(*command.split())
        assert done.code in (0, 1), (command, done)
    monkeypatch.delenv("PGHOSTADDR")
    with psycopg.connect(decoy) as other:
        made = "select count(*) from pg_namespace where nspname = 'sexton'"
        assert other.execute(made).fetchone() == (0,)
