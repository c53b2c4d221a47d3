"""Columns of a wrong type, and marks that no live row could have, are refused."""

import contextlib

import pytest

from sexton.database import connect
from tests.support.tools import Cli


@pytest.fixture
def audit(database, tmp_path, monkeypatch, capfd):
    """Run `sexton audit` with tables and a project file."""
    monkeypatch.chdir(tmp_path)
    url = database("empty")

    def run(tables, text, *command):
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(tables)
        (tmp_path / "sexton.toml").write_text('project = "x"\n' + text)
        return Cli(url, capfd)(*(command or ("audit", "--confirm-after", "0")))

    run.url = url
    return run


POSTS = """
    create domain required_time as timestamptz not null;
    create domain when_deleted as required_time;
    create domain checked_time as timestamptz check (value is not null);
    create domain marked_time as timestamptz default '0001-01-01';
    create domain marked_again as marked_time;
    create domain yes as boolean default true;
    create table channels (id int primary key);
    create table posts (id int primary key, channel_id int, gone {type});
    insert into posts (id, channel_id) values (1, 99);
"""
FILE = """
[[soft_delete]]
table = "posts"
{mark} = "gone"
[[reference]]
child = "posts.channel_id"
parent = "channels.id"
"""


@pytest.mark.parametrize(
    ("mark", "type", "said", "instead"),
    [
        (
            "deleted_at",
            "bigint not null default 0",
            "posts.gone is bigint, not timestamptz",
            'live = "gone = 0" and set = { gone = "extract(epoch from now())" }',
        ),
        ("deleted_at", "text", "posts.gone is text, not timestamptz", "live ="),
        ("deleted_at", "time", "is time without time zone, not", "live ="),
        ("deleted_at", "boolean", "posts.gone is boolean, not", 'deleted = "gone"'),
        (
            "deleted_at",
            "timestamptz not null default 'infinity'",
            "posts.gone is NOT NULL, so by `is null` no row could be live",
            'live = "gone = \'infinity\'" and set = { gone = "now()" }',
        ),
        ("deleted_at", "when_deleted default now()", "posts.gone is NOT NULL", "live ="),
        (
            "deleted_at",
            "timestamptz default 'infinity' check (gone is not null)",
            "posts.gone is NOT NULL",
            "live =",
        ),
        (
            "deleted_at",
            "checked_time default 'infinity'",
            "posts.gone is NOT NULL",
            "live =",
        ),
        ("deleted_at", "marked_again", "posts.gone has a default", "live ="),
        (
            "deleted",
            "boolean not null default true",
            "posts.gone is true by default, so new rows would be deleted from the start",
            'live = "gone" and set = { gone = "false" }',
        ),
        ("deleted", "yes", "posts.gone is true by default", 'live = "gone"'),
        (
            "deleted_at",
            "timestamp default '1970-01-01 00:00:01'",
            "posts.gone has a default, so new rows would be deleted from the start",
            "live =",
        ),
        (
            "deleted",
            "smallint not null default 0",
            "posts.gone is smallint, not boolean",
            'live = "gone = 0" and set = { gone = "1" }',
        ),
        ("deleted", "text", "posts.gone is text, not boolean", "live ="),
        (
            "deleted",
            "timestamptz",
            "is timestamp with time zone, not boolean",
            'deleted_at = "gone"',
        ),
    ],
)
def test_a_mark_that_no_live_row_could_have_is_refused(audit, mark, type, said, instead):
    result = audit(POSTS.format(type=type), FILE.format(mark=mark))
    assert result.code == 2
    assert f"sexton.toml:5: soft_delete[0].{mark}: " in result.stderr
    assert said in result.stderr
    assert instead in result.stderr


@pytest.mark.parametrize(
    ("type", "live", "set_"),
    [
        ("bigint not null default 0", "gone = 0", "extract(epoch from now())"),
        ("timestamptz not null default 'infinity'", "gone = 'infinity'", "now()"),
        ("text not null default 'active'", "gone = 'active'", "'archived'"),
        ("smallint not null default 0", "gone = 0", "1"),
    ],
)
def test_other_conventions_are_declared_by_live_and_set(audit, type, live, set_):
    mark = f'live = "{live}"\nset = {{ gone = "{set_}" }}'
    text = FILE.replace('{mark} = "gone"', mark) + 'on_orphan = "soft_delete"\n'
    tables = POSTS.format(type=type) + (
        "insert into channels values (1); insert into posts values (2, 1)"
    )
    found = audit(tables, text)
    assert found.code == 1
    assert "posts_channel_id_dangling" in found.stdout
    repair = ("repair", "--apply", "--yes", "--max-fraction", "1")
    repaired = audit("", text, *repair)
    assert repaired.code == 0, repaired.stderr
    assert audit("", text).code == 0
    with contextlib.closing(connect(audit.url, name="tests")) as connection:
        row = connection.execute(
            f"select {live} as live from posts where id = 1"
        ).fetchone()
        assert row["live"] is False


def test_a_row_whose_condition_is_null_is_neither_live_nor_deleted(audit):
    mark = 'live = "gone = 0"'
    result = audit(POSTS.format(type="int"), FILE.replace('{mark} = "gone"', mark))
    assert result.code == 1
    assert "posts 1: gone = 0 is null" in result.stdout


def test_zero_values_for_live_rows_are_found(audit):
    tables = POSTS.format(type="timestamptz") + "update posts set gone = 'epoch'"
    result = audit(tables, FILE.format(mark="deleted_at"))
    assert result.code == 1
    assert "posts_deleted_at_implausible" in result.stdout


@pytest.mark.parametrize(
    ("child", "parent", "joins"),
    [
        ("text", "uuid", False),
        ("text", "bigint", False),
        ("uuid[]", "uuid", False),
        ("jsonb", "uuid", False),
        ("json", "json", False),
        ("int", "bigint", True),
        ("int", "numeric", True),
        ("varchar(20)", "text", True),
        ("char(3)", "varchar", True),
        ("whole", "bigint", True),
        ("mood", "mood", True),
        ("uuid[]", "uuid[]", True),
        ("date", "timestamptz", True),
    ],
)
def test_a_reference_whose_types_no_operator_compares_is_refused(
    audit, child, parent, joins
):
    unique = "" if parent == "json" else "unique"
    tables = f"""
        create domain whole as int check (value > 0);
        create type mood as enum ('a');
        create table p (id int primary key, k {parent} {unique});
        create table c (id int primary key, r {child});
        insert into p values (1);
    """
    result = audit(tables, '[[reference]]\nchild = "c.r"\nparent = "p.k"\n')
    if joins:
        assert result.code == 0, result.stderr
    else:
        assert result.code == 2
        assert "sexton.toml:3: reference[0].child: c.r is " in result.stderr
        assert "no operator = compares them" in result.stderr


def test_a_flag_that_is_not_boolean_is_refused(audit):
    tables = "create table a (id int primary key, flag smallint)"
    result = audit(tables, '[[default]]\ntable = "a"\nflag = "flag"\n')
    assert result.code == 2
    assert "default[0].flag: a.flag is smallint, and a flag is boolean" in result.stderr


def test_children_are_kept_by_declaration(audit):
    tables = """
        create table customers (id int primary key, deleted_at timestamptz);
        create table invoices (id int primary key, customer_id int references customers);
        insert into customers values (1, now());
        insert into invoices values (1, 1);
    """
    text = """
        [[soft_delete]]
        table = "customers"
        deleted_at = "deleted_at"
        [[reference]]
        child = "invoices.customer_id"
        parent = "customers.id"
    """
    assert audit(tables, text).code == 1
    for kept in ('on_delete = "keep"', 'parent_live = "true"'):
        result = audit("", text + kept, "audit", "-v")
        assert result.code == 0
        assert "enforced by CONSTRAINT invoices_customer_id_fkey" in result.stdout
