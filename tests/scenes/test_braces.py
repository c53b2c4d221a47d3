"""Names with braces and percent signs, through every command that meets them."""

import contextlib
import shutil
from pathlib import Path

import alembic
import pytest

from sexton.database import connect, scalar
from tests.support.own_environment import Environment
from tests.support.tools import Cli

PARENT, CHILD = "p{0!r}%(a)s", "c{{}}%s"
KEY, REF, DELETED, FLAG = "i%(a)s{x}", "r${x}%s{x}", "d{0!r}{{}}", "f%{}%%"
TABLES = f"""
    create table "{PARENT}" (
        "{KEY}" int primary key, "{DELETED}" boolean not null default false,
        "{FLAG}" boolean not null default false, name text
    );
    create table "{CHILD}" (
        "{KEY}" int primary key,
        "{REF}" int constraint "k{{0}}%s" references "{PARENT}"
    );
    insert into "{PARENT}" values (1, false, true, 'a'), (2, false, false, 'b');
    insert into "{CHILD}" values (1, 1), (2, 2), (3, null);
"""
DECLARED = f"""
[[soft_delete]]
table = '"{PARENT}"'
deleted = '{DELETED}'
id = ['{KEY}']

[[reference]]
child = '"{CHILD}"."{REF}"'
parent = '"{PARENT}"."{KEY}"'
key = "none"
guard = true
on_orphan = "null"
id = ['{KEY}']

[[default]]
table = '"{PARENT}"'
flag = '{FLAG}'
id = ['{KEY}']
elect = ["name"]
"""


@pytest.fixture
def odd(database, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        made = Environment(tmp_path)
        made.declare(DECLARED)
        template = Path(alembic.__file__).parent / "templates" / "generic"
        shutil.copy(template / "script.py.mako", tmp_path / "db")
        yield made, Cli(url, capfd), connection


def test_names_with_braces_through_every_command(odd):
    _, sexton, connection = odd

    def run(line, *codes):
        result = sexton(*line.split())
        assert result.code in codes, (line, result.stderr, result.stdout)
        assert "bug" not in result.stderr, (line, result)
        assert "KeyError" not in result.stdout + result.stderr
        return result

    run("audit", 0, 1)
    run("status", 0, 1)
    run("revision -m braces", 0)
    run("upgrade --plan", 1)
    run("upgrade --sql", 0, 4)
    run("upgrade", 0)
    run("guard status", 0)
    run("audit", 0)
    run("upgrade --plan", 0)
    # A dead row makes the way back refuse, with the names in the sentence.
    connection.execute(f'update "{CHILD}" set "{REF}" = null where "{REF}" = 1')
    connection.execute(f'update "{PARENT}" set "{DELETED}" = true where "{KEY}" = 1')
    run("audit", 0, 1)
    run("repair", 0, 1)
    run("repair --apply --max-fraction 1", 0, 1)
    run("history 1", 0)
    connection.execute("set session_replication_role = replica")
    connection.execute(f'update "{CHILD}" set "{REF}" = 1 where "{KEY}" = 3')
    connection.execute(f'update "{CHILD}" set "{REF}" = 99 where "{KEY}" = 1')
    connection.execute("set session_replication_role = origin")
    assert run("audit --recheck", 1, 3)
    run("downgrade base --plan", 1, 5)
    run("downgrade base", 0, 3, 5)
    run("repair", 0, 1)
    run("repair --apply --max-fraction 1", 0, 1)
    run("downgrade base", 0)
    run("upgrade", 0)
    run("guard remove", 0, 5)
    run("guard add --plan", 0, 1)
    run("guard add", 0)


@pytest.mark.parametrize("name", ["{0!r}", "%(a)s", "{{}}", "c${x}%s{x}", "%", "a:b", "{"])
def test_each_operation_on_such_a_name(odd, name):
    team, sexton, connection = odd
    team.declare()
    connection.execute(
        f'create table "{name}" ("{name}" int primary key, parent int, note text);'
        f"insert into \"{name}\" values (1, 1, null), (2, 9, 'x')"
    )
    connection.execute(f'create table "o{name}" ("{name}" int primary key)')
    n = repr(name)
    first = f"op.create_index_online({n} + 'i', {n}, ['parent', {n}])"
    team.add(
        "0001",
        None,
        f"{first}\nop.add_soft_delete({n}, {n} + 'd', {n} + 'at')\n"
        f"op.add_column_online({n}, sa.Column({n} + 'c', sa.Text, server_default={n}))\n"
        f"op.create_foreign_key_online({n} + 'k', {n}, 'o' + {n}, ['parent'], [{n}], "
        "orphans='null')",
        f"op.drop_constraint_online({n} + 'k', {n}, referent_table='o' + {n}, "
        f"local_cols=['parent'], remote_cols=[{n}])\n"
        f"op.drop_column_online({n}, {n} + 'c')\n"
        f"op.drop_soft_delete({n}, {n} + 'd', {n} + 'at')\n"
        f"op.drop_index_online({n} + 'i', {n})",
    )
    assert sexton("upgrade", "--plan").code == 1
    assert sexton("upgrade", "--sql").code == 0
    done = sexton("upgrade")
    assert done.code == 0, done
    assert scalar(connection, f'select count(*) from "{name}" where parent is null') == 2
    done = sexton("downgrade", "base")
    assert done.code == 0, done
    for lines in (
        f"op.set_not_null_online({n}, 'note')",
        f"op.drop_constraint_online({n}, {n})",
        f"op.drop_index_online({n}, 'o' + {n})",
        f"op.drop_column_online({n}, {n} + 'nope')",
        f"op.create_foreign_key_online({n} + 'k', {n}, 'o' + {n}, [{n}], [{n}])",
        f"op.add_column_online({n}, sa.Column({n}, sa.Text))",
    ):
        team.add("0001", None, lines)
        for command in ("upgrade", "upgrade --plan"):
            refused = sexton(*command.split())
            assert refused.code == 5, (lines, refused)
