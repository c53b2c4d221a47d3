"""An intruder, what they may do, and a person who types commands as a superuser."""

import contextlib
import os

import pytest

from sexton.database import connect
from tests.support.commands import FILES, KEY
from tests.support.commands import play as type_line
from tests.support.statements import recording

# Says so where it runs as a superuser: in a warning, which a transaction that only reads
# lets through, and by the sequence's value, whatever becomes of the transaction.
TRAP = """
    create schema trap;
    create table trap.sprung (at text);
    create sequence trap.count;
    grant usage on schema trap to INTRUDER;
    create function trap.spring() returns boolean language plpgsql security invoker as $$
    begin
        if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
            raise warning 'a trap was sprung';
            perform pg_catalog.nextval('trap.count');
        end if;
        return true;
    end $$;
    create function trap.row() returns trigger language plpgsql as $$
    begin
        perform trap.spring();
        if tg_op = 'DELETE' then return old; end if;
        return new;
    end $$;
"""


@pytest.fixture(scope="module")
def intruder(administrator):
    name = f"squatter_{os.getpid()}"
    administrator.execute(f"create role {name}")
    yield name
    administrator.execute(f"drop role {name}")


@pytest.fixture
def folder(tmp_path):
    """A team's folder: its project file, and its environment of Alembic."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def heard(monkeypatch):
    """What the server tells this process's connections."""
    with recording(monkeypatch) as recorder:
        yield recorder


@pytest.fixture
def scene(database, capfd, intruder, monkeypatch, heard):
    """Prepare a database and let the intruder type SQL: a function that runs commands.

    It returns each command's exit code; `said` are what they wrote to stderr and stdout.
    """
    monkeypatch.setenv("SEXTON_TEST_KEY", KEY)

    def make(revision, typed, prepare=None):
        url = database(revision)
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(TRAP.replace("INTRUDER", intruder))
            if prepare:
                prepare(connection)
            [row] = connection.execute(
                "select current_user as me, current_database() as db"
            )
            connection.execute(f"grant create on database {row['db']} to {intruder}")
            connection.execute(f"grant create, usage on schema public to {intruder}")
            connection.execute(f"set role {intruder}")
            connection.execute(typed.replace("SUPERUSER", f'"{row["me"]}"'))
            connection.execute("reset role")

        monkeypatch.setenv("DATABASE_URL", url)

        def play(commands):
            codes = {}
            heard.warnings.clear()
            for line in commands.strip().splitlines():
                command = line.strip()
                codes[command] = type_line(command.split(), url)
                out, err = capfd.readouterr()
                play.said[command] = out + err
                assert codes[command] in (0, 1, 2, 3, 4, 5, 6), (command, err)
                sprung = [w for w in heard.warnings if "a trap was sprung" in w]
                assert not sprung, f"{command} ran the intruder's code"
                with contextlib.closing(connect(url, name="tests")) as connection:
                    [row] = connection.execute("select is_called as is from trap.count")
                    assert not row["is"], f"{command} ran the intruder's code"
            return codes

        play.url, play.said = url, {}
        return play

    return make
