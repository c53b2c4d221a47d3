"""Repairs of a team's own declarations: what they lead to, and what they cannot name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sexton.database import rows, scalar
from sexton.repair.planfile import read_action, read_plan, write_plan

TREE = """
    create table orgs (id int primary key, deleted_at timestamptz);
    create table projects (
        id int primary key, org_id int references orgs, deleted_at timestamptz
    );
    create table issues (
        id int primary key, project_id int references projects,
        parent_id int references issues, deleted_at timestamptz
    );
    insert into orgs values (1, now()), (2, null);
    insert into projects values (1, 1, null), (2, 2, null), (3, 1, '2024-01-01');
    insert into issues values
        (1, 1, null, null), (2, 1, 1, null), (3, 2, null, null),
        (4, 3, null, '2024-01-01'), (5, 2, 2, null), (6, 2, 5, null);
"""
MARKS = "".join(
    f'[[soft_delete]]\ntable = "{name}"\ndeleted_at = "deleted_at"\n'
    for name in ("orgs", "projects", "issues")
)


def references(on_orphan="tombstone", **more):
    listed = {
        "projects.org_id": "orgs.id",
        "issues.project_id": "projects.id",
        "issues.parent_id": "issues.id",
    }
    return "".join(
        f'[[reference]]\nchild = "{child}"\nparent = "{parent}"\n'
        f'on_orphan = "{more.get(child.partition(".")[0], on_orphan)}"\n'
        for child, parent in listed.items()
    )


@pytest.fixture
def declared(from_nothing, tmp_path, monkeypatch):
    """Make tables and a project file; give commands, and a connection."""
    sexton, connection = from_nothing

    def make(tables, file):
        connection.execute(tables)
        (tmp_path / "sexton.toml").write_text(f'project = "team"\n{file}')
        monkeypatch.chdir(tmp_path)
        return sexton, connection

    return make


def live(connection, table):
    query = f"select id from {table} where deleted_at is null order by id"
    return [row["id"] for row in rows(connection, query)]


def planned(sexton, *more):
    result = sexton("repair", "--max-fraction", "1", "--format", "json", *more)
    assert result.code == 1, result.stderr
    return result.json


def test_a_plan_holds_the_orphans_that_it_makes_to_any_depth(declared):
    sexton, connection = declared(TREE, MARKS + references())
    plan = planned(sexton)
    changed = [(action["table"], action["key"]["id"]) for action in plan["actions"]]
    assert sorted(changed) == [
        ("issues", 1),
        ("issues", 2),
        ("issues", 5),
        ("issues", 6),
        ("projects", 1),
    ]
    result = sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    assert result.code == 1, result.stderr
    result = sexton("apply", "plan.json")
    assert result.code == 0, result.stderr
    assert (live(connection, "projects"), live(connection, "issues")) == ([2], [3])
    result = sexton("audit", "--confirm-after", "0")
    assert result.code == 0, result.stdout
    result = sexton("undo", "1")
    assert result.code == 0, result.stderr
    assert live(connection, "issues") == [1, 2, 3, 5, 6]


def test_a_chain_in_one_table_is_followed_to_its_end(declared):
    sexton, connection = declared(TREE, MARKS + references())
    connection.execute(
        """
        insert into issues values (100, 1, null, null);
        insert into issues select g, 2, g - 1, null from generate_series(101, 160) g;
        """
    )
    assert sexton("repair", "--apply", "--max-fraction", "1").code == 0
    assert live(connection, "issues") == [3]


def test_a_circle_of_rows_and_of_tables_ends(declared):
    sexton, connection = declared(
        """
        create table a (id int primary key, b_id int, deleted_at timestamptz);
        create table b (id int primary key, a_id int, deleted_at timestamptz);
        insert into a values (1, 1, null), (2, 9, null), (3, 3, null);
        insert into b values (1, 1, null), (2, 2, null), (3, 3, null);
        update a set b_id = 2 where id = 1;
        update b set a_id = 1 where id = 2; update b set a_id = 2 where id = 1;
        """,
        "".join(
            f'[[soft_delete]]\ntable = "{n}"\ndeleted_at = "deleted_at"\n' for n in "ab"
        )
        + "".join(
            f'[[reference]]\nchild = "{c}.{p}_id"\nparent = "{p}.id"\n'
            'on_orphan = "tombstone"\n'
            for c, p in ("ab", "ba")
        ),
    )
    assert sexton("repair", "--apply", "--max-fraction", "1").code == 0
    assert (live(connection, "a"), live(connection, "b")) == ([1, 3], [2, 3])
    assert sexton("audit", "--confirm-after", "0").code == 0


def test_children_are_deleted_before_their_parents(declared):
    sexton, connection = declared(
        TREE + "update orgs set deleted_at = null; update projects set org_id = null;"
        "alter table projects drop constraint projects_org_id_fkey;"
        "update projects set org_id = 99 where id = 1;",
        references("delete"),
    )
    unsafe = [
        part
        for name in ("projects_org_id", "issues_project_id", "issues_parent_id")
        for part in ("--unsafe", f"{name}_dangling")
    ]
    result = sexton("repair", "--apply", "--max-fraction", "1", *unsafe)
    assert result.code == 0, result.stderr
    left = [row["id"] for row in rows(connection, "select id from issues order by id")]
    assert left == [3, 4]
    assert sexton("undo", "1").code == 0
    assert scalar(connection, "select count(*) from issues") == 6


def test_a_check_that_is_only_led_to_leaves_what_was_there_before(declared):
    sexton, connection = declared(
        TREE + "alter table issues drop constraint issues_project_id_fkey;"
        "insert into issues values (7, 99, null, null)",
        MARKS + references(issues="report"),
    )
    plan = planned(sexton, "projects_org_id_dangling")
    assert [action["table"] for action in plan["actions"]] == ["projects"]
    assert [skip["key"] for skip in plan["skipped"]] == [{"id": 1}, {"id": 2}]
    assert {skip["check"] for skip in plan["skipped"]} == {"issues_project_id_dangling"}
    result = sexton("repair", "projects_org_id_dangling", "--apply", "--max-fraction", "1")
    assert result.code == 1, result.stderr
    assert live(connection, "projects") == [2]


def test_a_child_that_came_after_the_plan_makes_it_stale(declared):
    sexton, connection = declared(TREE, MARKS + references())
    sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    connection.execute("insert into issues values (8, 1, null, null)")
    result = sexton("apply", "plan.json")
    assert result.code == 5
    assert "issues id=8" in result.stderr
    assert "nothing was kept" in result.stderr
    assert live(connection, "projects") == [1, 2]


def test_a_default_is_elected_after_the_last_orphan(declared):
    sexton, connection = declared(
        TREE + "alter table issues add is_default bool not null default false;"
        "update issues set is_default = true where id = 1",
        MARKS
        + references()
        + '[[default]]\ntable = "issues"\nflag = "is_default"\nrequired = true\n',
    )
    assert sexton("repair", "--apply", "--max-fraction", "1").code == 0
    [row] = rows(connection, "select id, deleted_at from issues where is_default")
    assert row == {"id": 3, "deleted_at": None}
    assert scalar(connection, "select count(*) from sexton.changes") == 7


NULL_KEYS = """
    create table customers (id int primary key);
    insert into customers values (1);
    create table n (id int unique, customer_id int);
    insert into n values (null, 99), (null, 98), (6, 99), (7, 1);
"""
N = '[[reference]]\nchild = "n.customer_id"\nparent = "customers.id"\non_orphan = "null"\n'


def test_a_row_with_null_in_its_key_is_named(declared):
    sexton, connection = declared(NULL_KEYS, N)
    plan = planned(sexton)
    assert [action["key"] for action in plan["actions"]] == [{"id": 6}]
    assert [(skip["key"], skip["reason"]) for skip in plan["skipped"]] == [
        ({"id": None}, "not repairable by key: its id is null")
    ] * 2
    result = sexton("repair", "--apply", "--max-fraction", "1")
    assert result.code == 1
    assert "not repairable by key" in result.stdout
    assert scalar(connection, "select count(*) from n where customer_id > 90") == 2


HEIRS = """
    create table customers (id int primary key);
    insert into customers values (1);
    create table n (id int primary key, customer_id int);
    create table heirs () inherits (n);
    insert into n values (1, 99), (2, 99);
    insert into heirs values (1, 99), (3, 99), (4, 1);
"""


def test_a_key_that_several_rows_have_is_named_and_none_is_changed(declared):
    sexton, connection = declared(HEIRS, N)
    plan = planned(sexton)
    assert sorted(action["key"]["id"] for action in plan["actions"]) == [2, 3]
    assert [(skip["key"], skip["reason"]) for skip in plan["skipped"]] == [
        ({"id": 1}, "not repairable by key: 2 rows of n have this key")
    ] * 2
    assert sexton("repair", "--apply", "--max-fraction", "1").code == 1
    query = "select id from only n where customer_id is null union "
    query += "select id from n where customer_id is null order by 1"
    assert [row["id"] for row in rows(connection, query)] == [2, 3]


def test_a_second_row_of_a_key_that_came_after_the_plan_makes_it_stale(declared):
    sexton, connection = declared(HEIRS, N)
    sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    connection.execute("insert into heirs values (2, 99)")
    result = sexton("apply", "plan.json")
    assert result.code == 5
    assert "more than one row has its key: n id=2; nothing was changed" in result.stderr
    assert "changes_pkey" not in result.stderr


def test_a_plan_whose_rows_are_named_by_another_column_is_refused(declared):
    sexton, connection = declared(HEIRS.replace("(1, 99), ", ""), N)
    sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    plan = read_plan(Path("plan.json"))
    actions = [
        json.loads(line) | {"key": {"customer_id": 99}} for line in plan.action_lines()
    ][:1]
    forged = replace(plan, actions=[read_action(action) for action in actions])
    write_plan(forged, Path("forged.json"))
    result = sexton("apply", "forged.json")
    assert result.code == 5
    assert "by customer_id, and they are named by id" in result.stderr
    assert not rows(connection, "select from n where customer_id is null")


FEES = """
    create table customers (id int primary key);
    create table fees (id int primary key, customer_id int, note text);
    create table lines (
        id int primary key, fee_id int references fees on delete cascade, note json
    );
    create table parts (id int primary key, line_id int references lines on delete cascade);
    create table notes (id int primary key, fee_id int references fees on delete set null);
    insert into customers values (1);
    insert into fees values (1, 99, 'x'), (2, 1, 'y');
    insert into lines values (1, 1, '{"a":  1}'), (2, 1, null), (3, 2, null);
    insert into parts values (1, 1), (2, 3);
    insert into notes values (1, 1), (2, 2);
"""
F = (
    '[[reference]]\nchild = "fees.customer_id"\nparent = "customers.id"\n'
    'on_orphan = "delete"\n'
)
UNSAFE = ("--unsafe", "fees_customer_id_dangling", "--max-fraction", "1")


def all_of(connection):
    return {
        table: rows(connection, f"select to_jsonb(t)::text as t from {table} t order by 1")
        for table in ("fees", "lines", "parts", "notes")
    }


def test_a_deletion_plans_what_cascades_would_take_and_refuses_it(declared):
    sexton, connection = declared(FEES, F)
    before = all_of(connection)
    result = sexton("repair", "--apply", *UNSAFE)
    assert result.code == 5
    for seen in ("2 rows of lines through", "1 row of parts through", "1 row of notes"):
        assert seen in result.stderr
    assert "--allow-cascades" in result.stderr
    plan = sexton("repair", *UNSAFE, "--format", "json").json
    changed = [(a["table"].rpartition(".")[2], a["key"]["id"]) for a in plan["actions"]]
    assert sorted(changed) == [
        ("fees", 1),
        ("lines", 1),
        ("lines", 2),
        ("notes", 1),
        ("parts", 1),
    ]
    assert all_of(connection) == before
    result = sexton("repair", *UNSAFE, "--allow-cascades", "--out", "plan.json")
    assert result.code == 1, result.stderr
    result = sexton("apply", "plan.json")
    assert result.code == 0, result.stderr
    assert scalar(connection, "select count(*) from sexton.changes") == 5
    assert [len(found) for found in all_of(connection).values()] == [1, 1, 1, 2]
    result = sexton("undo", "1")
    assert result.code == 0, result.stderr
    assert all_of(connection) == before


def test_a_child_that_a_cascade_would_take_and_no_plan_holds_makes_it_stale(declared):
    sexton, connection = declared(FEES, F)
    assert sexton("repair", *UNSAFE, "--allow-cascades", "--out", "plan.json").code == 1
    connection.execute("insert into lines values (4, 1, null)")
    result = sexton("apply", "plan.json")
    assert result.code == 5
    assert "1 row refers to it: of lines through" in result.stderr
    assert len(all_of(connection)["lines"]) == 4
    assert scalar(connection, "select to_regclass('sexton.changes')") is None


@pytest.mark.parametrize("action", ["no action", "restrict"])
def test_a_key_that_forbids_a_deletion_is_seen_by_the_plan(declared, action):
    sexton, connection = declared(
        FEES
        + f"delete from lines; delete from notes; create table adjusted (id int primary "
        f"key, fee_id int references fees on delete {action}); "
        "insert into adjusted values (1, 1), (2, 2)",
        F,
    )
    result = sexton("repair", "--out", "plan.json", *UNSAFE)
    assert result.code == 5
    assert "1 row of adjusted through the foreign key adjusted_fee_id" in result.stderr
    assert not Path("plan.json").exists()
    connection.execute("delete from adjusted where id = 1")
    assert sexton("repair", "--out", "plan.json", *UNSAFE).code == 1
    connection.execute("insert into adjusted values (1, 1)")
    result = sexton("apply", "plan.json")
    assert result.code == 5
    assert "1 row of adjusted through the foreign key" in result.stderr


def test_a_tree_of_cascades_in_one_table_is_planned(declared):
    sexton, connection = declared(
        FEES + "delete from lines; delete from notes;"
        "alter table fees add parent int references fees on delete cascade;"
        "insert into fees values (3, 1, 'a', 1), (4, 1, 'b', 3)",
        F,
    )
    assert sexton("repair", "--apply", *UNSAFE, "--allow-cascades").code == 0
    assert [r["id"] for r in rows(connection, "select id from fees")] == [2]
    assert scalar(connection, "select count(*) from sexton.changes") == 3
    assert sexton("undo", "1").code == 0
    assert len(rows(connection, "select from fees")) == 4


def test_a_plan_of_other_tables_that_no_cascade_reaches_is_refused(declared):
    sexton, _ = declared(FEES, F)
    sexton("repair", *UNSAFE, "--allow-cascades", "--out", "plan.json")
    plan = read_plan(Path("plan.json"))
    forged = [
        replace(action, table="customers", key={"id": 1}, change={"id": [1, None]})
        if action.table.endswith("lines")
        else action
        for action in plan.actions
    ]
    write_plan(replace(plan, actions=forged), Path("forged.json"))
    result = sexton("apply", "forged.json")
    assert result.code == 5
    assert "does no such thing" in result.stderr


def test_a_guard_that_forbids_a_soft_deletion_is_seen_by_the_plan(declared):
    sexton, connection = declared(
        TREE + "alter table issues drop constraint issues_project_id_fkey;"
        "create index on issues (project_id)",
        MARKS
        + references(issues="report").replace(
            'child = "issues.project_id"\n', 'child = "issues.project_id"\nguard = true\n'
        ),
    )
    assert sexton("guard", "add").code == 0
    result = sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    assert result.code == 5
    assert "2 rows of issues through the foreign key sexton_guard" in result.stderr
    assert "refer to rows of projects that would not count any more" in result.stderr
    connection.execute("update issues set deleted_at = now() where id in (1, 2)")
    result = sexton("repair", "--out", "plan.json", "--max-fraction", "1")
    assert result.code == 1
    connection.execute("insert into issues values (9, 1, null, null)")
    result = sexton("apply", "plan.json")
    assert result.code == 5
    assert "a foreign key forbids it" in result.stderr
    assert "nothing was changed" in result.stderr


def test_a_guard_lets_children_go_before_their_parent(declared):
    sexton, connection = declared(
        TREE + "alter table issues drop constraint issues_project_id_fkey;"
        "create index on issues (project_id)",
        MARKS
        + references().replace(
            'child = "issues.project_id"\n', 'child = "issues.project_id"\nguard = true\n'
        ),
    )
    assert sexton("guard", "add").code == 0
    assert sexton("repair", "--apply", "--max-fraction", "1").code == 0
    assert live(connection, "issues") == [3]
    assert sexton("undo", "2").code == 0
    assert live(connection, "issues") == [1, 2, 3, 5, 6]


def test_no_row_of_a_table_that_inherits_is_deleted(declared):
    sexton, connection = declared(
        """
        create table customers (id int primary key);
        create table fees (id int primary key, customer_id int);
        create table rebates (more text) inherits (fees);
        insert into customers values (1);
        insert into rebates values (7, 2, 'what the journal of fees cannot hold');
        """,
        F,
    )
    before = rows(connection, "select * from rebates")
    result = sexton("repair", "--apply", *UNSAFE)
    assert result.code == 5
    assert "tables inherit from fees" in result.stderr
    assert rows(connection, "select * from rebates") == before


@pytest.mark.parametrize("condition", ["true", "new.id = 1"])
def test_a_row_to_which_a_trigger_gives_another_key_is_not_inserted(declared, condition):
    sexton, connection = declared(
        """
        create table customers (id int primary key);
        create table fees (id int primary key, customer_id int);
        insert into customers values (1);
        insert into fees values (1, 99), (2, 1), (3, 98);
        """,
        F,
    )
    assert sexton("repair", "--apply", *UNSAFE).code == 0
    connection.execute(
        f"""
        create function numbered() returns trigger language plpgsql as $$
        begin if {condition} then new.id := new.id + 100; end if; return new; end $$;
        create trigger numbered before insert on fees
            for each row execute function numbered()
        """
    )
    result = sexton("undo", "1", "--allow-triggers")
    assert "another key is given to inserted rows by the trigger numbered" in (
        result.stdout + result.stderr
    )
    left = [row["id"] for row in rows(connection, "select id from fees order by id")]
    assert left == ([2] if condition == "true" else [2, 3])
    assert result.code == (5 if condition == "true" else 1)
