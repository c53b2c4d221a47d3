"""What fails in a team's own env.py or revisions is theirs, and its place is reported."""

import contextlib
import threading

import pytest

from sexton.database import connect, rows, scalar
from sexton.online.team_code import without_values
from tests.support.environments import alembic
from tests.upgrade.conftest import shop

__all__ = ["shop"]

FAILING = {
    "op.execute('select 1/0')": ("division by zero", "select 1/0"),
    "op.execute('selct 1')": ('syntax error at or near "selct"', "selct 1"),
    "op.execute('select nope from customers')": (
        'column "nope" does not exist',
        "select nope from customers",
    ),
    "op.execute('select * from nothing')": (
        'relation "nothing" does not exist',
        "select * from nothing",
    ),
    "op.execute('select nope()')": ("function nope() does not exist", "select nope()"),
    "op.execute(\"insert into customers values ('x')\")": (
        'invalid input syntax for type bigint: "x"',
        "insert into customers values ('…')",
    ),
    "op.execute('insert into customers values (1)')": (
        "duplicate key value violates unique constraint",
        "insert into customers values (1)",
    ),
    "op.execute(\"do $$begin raise exception 'fill it first'; end$$\")": (
        "fill it first",
        "do $$begin raise exception '…'; end$$",
    ),
    "op.drop_index('nothing')": ('index "nothing" does not exist', "DROP INDEX nothing"),
    "op.get_bind().execute(sa.text('select cast(:word as int8)'), {'word': 'secret'})": (
        'invalid input syntax for type bigint: "secret"',
        "select cast(%(word)s as int8)",
    ),
    "op.run_steps([{'title': 'do it', 'sql': ('selct 1',)}])": (
        'the step "do it": syntax error at or near "selct"',
        "selct 1",
    ),
    "op.create_index_online('i', 'customers', [sa.text('nope')])": (
        'column "nope" does not exist',
        None,
    ),
    "raise SystemExit(0)": ("it ends the process: SystemExit: 0", None),
    "import sys; sys.exit('no')": ("it ends the process: SystemExit: no", None),
    "class Odd(BaseException): pass\nraise Odd('odd')": ("Odd: odd", None),
    "op.nothing()": ("AttributeError", None),
    "op.create_index_online(1, 2, 3)": ("TypeError", None),
    "from alembic.util import CommandError\nraise CommandError('mine')": (
        "CommandError: mine",
        None,
    ),
}


def test_what_fails_in_a_revision_is_incomplete_with_its_place(shop):
    team, sexton, connection = shop
    team.add("0001", None, "op.execute('create table one (id int primary key)')")
    for lines, (message, statement) in FAILING.items():
        team.add("0002", "0001", f"op.execute('create table two (id int)')\n{lines}")
        failed = sexton("upgrade")
        assert failed.code == 3, failed
        assert f"revision 0002: {team.versions / '0002.py'}, line 1" in failed.stderr
        assert message in failed.stderr
        if statement:
            assert f"\n  statement: {statement}\n" in failed.stderr
        assert "bug" not in failed.stderr
        assert "nothing was changed" not in failed.stderr
        assert "the database is at 0001" in failed.stderr
        assert scalar(connection, "select to_regclass('one') is not null")
        # An operation of Sexton's commits what stands before it.
        made = scalar(connection, "select to_regclass('two') is not null")
        assert made == (lines.startswith(("op.run_steps", "op.create_index_online('i'")))
        assert ("may be done: look" in failed.stderr) == made
        connection.execute("drop table if exists two")


@pytest.mark.parametrize("lines", ["op.execute('selct 1')", "raise SystemExit(0)"])
def test_plain_alembic_prints_a_sentence_too(shop, lines):
    team, sexton, _ = shop
    team.add("0001", None, lines)
    plain = alembic(sexton.url, "upgrade", "head", cwd=team.folder)
    assert plain.returncode != 0
    assert "Traceback" not in plain.stderr, plain.stderr
    assert f"FAILED: revision 0001: {team.versions / '0001.py'}, line" in plain.stdout
    assert FAILING[lines][0] in plain.stdout


def test_what_a_commit_refuses_is_the_revisions_too(shop):
    team, sexton, connection = shop
    connection.execute(
        "alter table invoices alter constraint invoices_customer deferrable "
        "initially deferred"
    )
    team.add("0001", None, "op.execute('insert into invoices values (9, 99)')")
    failed = sexton("upgrade")
    assert failed.code == 3, failed
    assert f"revision 0001: {team.versions / '0001.py'}" in failed.stderr
    assert "violates foreign key constraint" in failed.stderr


def test_a_revision_that_cannot_be_imported_is_reported_with_its_line(shop):
    team, sexton, _ = shop
    for lines, message in (
        ("raise OSError('no disk')", "line 16: OSError: no disk"),
        ("raise SystemExit(0)", "line 16: it ends the process: SystemExit: 0"),
        ("for", "line 16: SyntaxError: invalid syntax"),
    ):
        team.add("0001", None, "pass", f"pass\n\n{lines}")
        file = team.versions / "0001.py"
        file.write_text(file.read_text().replace(f"    {lines}", lines))
        for command in ("upgrade", "status", "upgrade --plan"):
            failed = sexton(*command.split())
            assert failed.code == 3, failed
            assert str(file) in failed.stderr
            assert message.partition(": ")[2] in failed.stderr


def test_revisions_of_which_one_follows_nothing_are_wrong_usage(shop):
    team, sexton, _ = shop
    team.add("0001", "0000", "pass")
    for command in ("upgrade", "status"):
        result = sexton(command)
        assert result.code == 2
        assert "cannot be read: one follows '0000', which is not there\n" in result.stderr
        assert "Warning" not in result.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("raise OSError('no disk')", "line 1: OSError: no disk"),
        ("raise SystemExit(1)", "line 1: it ends the process: SystemExit: 1"),
        ("import sys\nsys.exit()", "line 2: it ends the process: SystemExit"),
        (
            "import sqlalchemy as sa\nfrom alembic import context\n"
            "c = context.config.attributes['connection']\n"
            "c.execute(sa.text('select nope'))",
            'line 4: column "nope" does not exist\n  statement: select nope\n',
        ),
    ],
)
def test_an_env_that_fails_is_incomplete_with_its_line(shop, lines, said):
    team, sexton, _ = shop
    team.add("0001", None, "pass")
    team.env.write_text(lines)
    for command in ("upgrade", "upgrade --plan", "status", "downgrade base"):
        failed = sexton(*command.split())
        assert failed.code == 3, failed
        assert f"env.py: {team.env}, {said}" in failed.stderr


def test_a_lock_that_a_plain_operation_does_not_get_names_who_has_it(shop):
    team, sexton, _ = shop
    team.add("0001", None, "pass")
    for lines, statement, table in (
        (
            "op.add_column('customers', sa.Column('more', sa.Text))",
            "ALTER TABLE customers ADD COLUMN more TEXT",
            "customers",
        ),
        ("op.execute('drop index by_name')", "drop index by_name", "customers"),
        (
            'op.execute("update invoices set customer_id = null where id = 1")',
            "update invoices set customer_id = null where id = 1",
            "invoices",
        ),
    ):
        team.add("0002", "0001", lines)
        with contextlib.closing(connect(sexton.url, name="an app")) as other:
            other.execute("create index if not exists by_name on customers (name)")
            other.execute("begin; select from customers; select from invoices for update")
            failed = sexton("upgrade", "--max-stall", "200ms")
        assert failed.code == 6, failed
        assert "busy: canceling statement due to lock timeout" in failed.stderr
        assert f"in revision 0002: {team.versions / '0002.py'}, line 1" in failed.stderr
        assert f"\n  statement: {statement}\n" in failed.stderr
        assert f"\n  table: public.{table}\n" in failed.stderr
        assert "blocked by pid " in failed.stderr
        assert "(an app), idle in transaction" in failed.stderr
        assert "the database is at 0001" in failed.stderr


def test_an_operation_of_sexton_names_its_revision(shop):
    team, sexton, connection = shop
    team.add("0001", None, "pass")
    team.add("0002", "0001", "op.set_not_null_online('customers', 'name')")
    held, done = threading.Event(), threading.Event()

    def hold():
        with contextlib.closing(connect(sexton.url, name="an app")) as other:
            other.execute("begin; select from customers")
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    failed = sexton("upgrade", "--deadline", "300ms", "--max-stall", "50ms")
    done.set()
    thread.join()
    assert failed.code == 6
    assert "in revision 0002\n" in failed.stderr
    assert rows(connection, "select version_num from alembic_version")


def test_a_statement_is_shown_without_what_it_may_keep_secret():
    for sql, shown in (
        ("select 'a''b', \"c'd\", E'e\\'f'", "select '…', \"c'd\", '…'"),
        ("alter role x password 'secret' -- 'more'", "alter role x password '…'"),
        ("select $tag$secret$tag$, $$more$$", "select $$…$$, $$…$$"),
        ("select 'not closed", "select '…'"),
        ("/* it's */ select 1 /* ' */", "select 1"),
        ("do $x$ begin perform 'secret'; end $x$", "do $$begin perform '…'; end$$"),
        ("select 'it', $1, \x1b[1m", "select '…', $1, \\x1b[1m"),
    ):
        assert without_values(sql) == shown
    assert "secret" not in without_values("copy x from 'postgresql://me:secret@h/d'")
