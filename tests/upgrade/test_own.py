"""A team's own environment: `upgrade`, `downgrade`, `status`, and what a plan can tell."""

import contextlib
import threading

import pytest

from sexton.database import connect, rows, scalar
from sexton.ddl.options import Options
from sexton.ddl.upgrade_lock import upgrade_lock
from sexton.project import load
from sexton.upgrade.run import downgrade, upgrade
from tests.support.killing import SELDOM, kill_process, kill_session, lived_through
from tests.support.own_environment import SOFTEN, Environment
from tests.support.schemas import conforms

HARDEN = """
    op.drop_soft_delete("customers")
    op.create_foreign_key_online("invoices_customer", "invoices", "customers",
    ["customer_id"], ["id"])
    op.drop_index_online("by_customer", "invoices")
"""


def tables(connection):
    found = rows(
        connection,
        "select relnamespace::regnamespace::text || '.' || relname as name from pg_class "
        "where relkind = 'r' and relnamespace::regnamespace::text in ('public', 'sexton') "
        "order by 1",
    )
    return [row["name"] for row in found]


def test_up_and_down_with_a_plan_before_and_the_journal_after(shop):
    team, sexton, connection = shop
    team.add("0001", None, SOFTEN, HARDEN)
    before = tables(connection), sorted(team.folder.rglob("*"))
    planned = sexton("upgrade", "--plan")
    assert planned.code == 1
    assert "nobody is in the way; nothing was changed; next: sexton upgrade" in (
        planned.stdout
    )
    plan = conforms(sexton("upgrade", "--plan", "--format", "json").json, "upgrade-plan")
    assert (plan["from"], plan["to"], plan["revisions"]) == (None, "0001", ["0001"])
    assert not any(step["opaque"] or step["refused"] for step in plan["steps"])
    assert [s["lock"] for s in plan["steps"]] == [
        *["share update exclusive"] * 2,
        *["access exclusive"] * 2,
    ]
    assert plan["steps"][0]["done"]
    assert (tables(connection), sorted(team.folder.rglob("*"))) == before
    done = sexton("upgrade", "--format", "json")
    wanted = {"from": None, "to": "0001", "applied": ["0001"]}
    assert conforms(done.json, "upgrade") == wanted, done.stderr
    assert sexton("upgrade").stdout == "at 0001 already: nothing to do\n"
    status = conforms(sexton("status", "--format", "json").json, "status")
    assert status == {"revision": "0001", "head": "0001", "drift": []}
    connection.execute("update customers set deleted = true where id = 1")
    refused = sexton("downgrade", "base")
    assert refused.code == 5
    assert "refused by 0001; nothing was changed" in refused.stderr
    assert sexton("downgrade", "base", "--plan").code == 5
    connection.execute("update customers set deleted = false")
    assert sexton("downgrade", "base").stdout == "reverted 0001\nnow at base\n"
    runs = sexton("history", "--format", "json").json["runs"]
    assert [run["kind"] for run in runs] == ["downgrade", "upgrade"]
    assert "sexton downgrade base" in sexton("undo", "1").stderr


def test_a_refusal_of_any_revision_comes_before_the_first_step(shop):
    team, sexton, connection = shop
    team.add("0001", None, SOFTEN)
    team.add("0002", "0001", 'op.add_soft_delete("nothing")')
    team.add(
        "0003",
        "0002",
        'op.create_foreign_key_online("k", "invoices", "customers",'
        '["customer_id"], ["id"], orphans="eat")',
    )
    before = tables(connection)
    refused = sexton("upgrade")
    assert refused.code == 5
    assert "there is no table nothing" in refused.stderr
    assert "orphans cannot be 'eat'" in refused.stderr
    assert "refused by 0002, 0003; nothing was changed" in refused.stderr
    assert tables(connection) == before
    assert (
        scalar(
            connection,
            "select count(*) from pg_index where indexrelid = to_regclass('by_customer')",
        )
        == 0
    )


def test_where_it_broke_off_is_said_and_whether_it_may_be_run_again(shop):
    team, sexton, connection = shop
    soften, index = "op.add_soft_delete('invoices')", "op.create_index_online(*I)"
    named = "I = ('i', 'invoices', ['id'])"
    whole, half = "run the same command again to resume", "may be done: look"
    team.add("0001", None, SOFTEN)
    for lines, said in (
        ([soften], whole),
        (["op.execute('select 1')", soften], half),
        ([named, index, soften], whole),
    ):
        team.add("0002", "0001", "\n".join([*lines, "op.drop_index('nothing')"]))
        failed = sexton("upgrade")
        assert failed.code == 3
        assert "the database is at 0001" in failed.stderr
        assert said in failed.stderr
    team.add("0002", "0001", soften)
    assert sexton("upgrade").stdout == "applied 0002\nnow at 0002\n"
    runs = rows(connection, "select finished, options from sexton.runs order by run")
    assert [run["finished"] for run in runs] == [False, False, True]
    assert [run["options"].get("steps") for run in runs] == [
        *(None, ["build the index i on invoices"], None)
    ]


def test_orphans_that_are_seen_to_before_a_failure_are_counted(shop):
    team, sexton, connection = shop
    team.add(
        "0001",
        None,
        'op.create_foreign_key_online("k", "invoices", "customers",'
        '["customer_id"], ["id"], orphans="null")',
    )
    connection.execute("""
        alter table invoices drop constraint if exists invoices_customer;
        insert into invoices (id, customer_id)
            select i, -1 from generate_series(100, 1999) i;
        create function no() returns trigger language plpgsql as
            $$ begin raise 'not this one'; end $$;
        create trigger no before update on invoices for each row when (old.id = 1999)
            execute function no()
    """)
    failed = sexton("upgrade")
    assert failed.code == 5
    assert (
        "not this one\n  1,000 of 1,900 rows of it are committed, and stay" in failed.stderr
    )
    connection.execute("drop trigger no on invoices")
    assert sexton("upgrade").code == 0
    steps = scalar(connection, "select array_agg(step order by key) from sexton.changes")
    assert steps == [*range(1, 1001), *range(1, 901)]


def test_a_lock_that_is_not_had_in_time_is_6(shop):
    team, sexton, connection = shop
    team.add("0001", None, 'op.add_column("customers", sa.Column("more", sa.Text))')
    team.add("0002", "0001", 'op.add_soft_delete("customers")')
    with contextlib.closing(connect(sexton.url, name="reader")) as reader:
        reader.execute("begin; select from customers")
        planned = sexton("upgrade", "--plan", "--max-stall", "1ms")
        assert planned.stdout.count("in the way now: pid") == 2
        patience = ("--max-stall", "100ms", "--deadline", "300ms")
        plain = sexton("upgrade", "0001", *patience)
        assert plain.code == 6
        assert "busy: canceling statement due to lock timeout" in plain.stderr
        reader.execute("rollback")
        assert sexton("upgrade", "0001").code == 0
        reader.execute("begin; select from customers")
        assert sexton("upgrade", *patience).code == 6
        reader.execute("rollback")
    with upgrade_lock(connection, Options(deadline=1), "public"):
        busy = sexton("upgrade", *patience)
    assert busy.code == 6
    assert "another upgrade is at work (pid" in busy.stderr
    assert sexton("upgrade").code == 0


def test_of_two_at_once_one_works_and_the_other_finds_it_done(shop, monkeypatch):
    team, sexton, connection = shop
    team.add("0001", None, SOFTEN)
    monkeypatch.setattr("sexton.project._in_use", load(team.folder / "sexton.toml"))
    found, waits = [], threading.Event()

    def work():
        with contextlib.closing(connect(sexton.url, name="other")) as other:
            found.append(upgrade(other, options=Options(say=lambda _: waits.set())))

    with upgrade_lock(connection, Options(deadline=1), "public"):
        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(60)
    thread.join()
    assert found == [["0001"]]
    assert upgrade(connection) == []


@pytest.mark.parametrize("kill", [kill_process, kill_session])
def test_killed_after_any_statement_the_same_command_goes_on(shop, monkeypatch, kill):
    team, sexton, connection = shop
    team.add("0001", None, SOFTEN, HARDEN)
    name = '("customers", "name")'
    up, down = f"op.set_not_null_online{name}", f"op.drop_not_null_online{name}"
    team.add("0002", "0001", up, down)
    monkeypatch.setattr("sexton.project._in_use", load(team.folder / "sexton.toml"))
    ways = [(upgrade, "head"), (downgrade, "base")]
    wanted = []
    for go, target in ways:
        go(connection, target)
        wanted.append(catalog(connection))
    assert wanted[0] != wanted[1]
    statement, lived = 1 - SELDOM + (SELDOM // 2) * (kill is kill_session), False
    while not lived:
        statement += SELDOM
        lived = True
        for (go, target), end in zip(ways, wanted, strict=True):
            lived &= lived_through(
                sexton.url,
                lambda c, go=go, target=target: go(c, target),
                statement,
                kill,
            )
            go(connection, target)
            assert catalog(connection) == end, statement
    assert statement > SELDOM


def catalog(connection):
    """Columns, indexes and keys, as they are now, and the version."""
    found = rows(
        connection,
        "select attrelid::regclass::text || attname || atttypid || attnotnull as part "
        "from pg_attribute where attrelid in ('customers'::regclass, 'invoices'::regclass) "
        "and attnum > 0 and not attisdropped "
        "union all select pg_get_indexdef(indexrelid) || indisvalid from pg_index "
        "where indrelid in ('customers'::regclass, 'invoices'::regclass) "
        "union all select conname || pg_get_constraintdef(oid) || convalidated "
        "from pg_constraint where connamespace = 'public'::regnamespace "
        "union all select version_num from alembic_version order by 1",
    )
    return [row["part"] for row in found]


def test_several_heads_are_named_or_all_meant(shop):
    team, sexton, _ = shop
    team.add("0001", None, "pass")
    for number in ("a", "b"):
        team.add(number, "0001", "pass")
    refused = sexton("upgrade")
    assert refused.code == 2
    assert "Multiple head revisions" in refused.stderr
    assert sexton("upgrade", "b").stdout == "applied 0001\napplied b\nnow at b\n"
    plan = conforms(
        sexton("upgrade", "heads", "--plan", "--format", "json").json, "upgrade-plan"
    )
    assert (plan["from"], plan["to"], plan["revisions"]) == ("b", "a, b", ["a"])
    assert sexton("upgrade", "heads").stdout == "applied a\nnow at a, b\n"
    assert sexton("status").stdout == "revision    a, b (head is a, b)\n"
    assert sexton("downgrade", "base", "--sql").code == 2
    assert sexton("downgrade", "base").code == 0
    assert sexton("upgrade", "+1").stdout == "applied 0001\nnow at 0001\n"


def test_the_script_makes_the_same(shop, database):
    team, sexton, connection = shop
    words = "op.execute(\"comment on table customers is '100 %'\")"
    team.add("0001", None, f"{SOFTEN}\n    {words}", HARDEN)
    # As `alembic current` leaves it.
    connection.execute("create table alembic_version (version_num text primary key)")
    script = sexton("upgrade", "--sql").stdout
    assert "-- add deleted and deleted_at to customers" in script
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(statement)
    said = scalar(connection, "select obj_description('customers'::regclass)")
    assert said == "100 %"
    assert sexton("status").stdout == "revision    0001 (head is 0001)\n"
    assert sexton("upgrade", "--sql").stdout == "-- at 0001 already: nothing to do\n"
    assert "drop column" in sexton("downgrade", "base", "--sql").stdout
    team.add("0002", "0001", "op.get_bind().execute(sa.text('select 1')).scalar()")
    refused = sexton("upgrade", "--sql")
    assert refused.code == 3
    assert "a revision asks the database" in refused.stderr


def test_an_environment_that_will_not_do_is_said(shop):
    team, sexton, connection = shop
    team.add("0001", None, SOFTEN)
    for text, code, said in (
        ("from alembic import context\n", 2, "does not call context.run_migrations()"),
        (
            "import nothing_of_that_name\n",
            3,
            f"env.py: {team.env}, line 1: ModuleNotFoundError: No module named",
        ),
    ):
        team.env.write_text(text)
        for command in ("status", "upgrade", "upgrade --plan", "downgrade base"):
            refused = sexton(*command.split())
            assert refused.code == code, refused
            assert said in refused.stderr
    assert tables(connection) == ["public.customers", "public.invoices"]
    (team.folder / "sexton.toml").write_text('project = "shop"\n')
    for command in ("upgrade", "downgrade base --plan"):
        refused = sexton(*command.split())
        assert refused.code == 2
        assert "names no Alembic environment" in refused.stderr
    assert sexton("status").stdout == "revision    none\n"
    assert sexton("adopt").code == 2


def test_options_and_revisions_that_mean_nothing_here_are_refused(shop):
    team, sexton, connection = shop
    team.add("0001", None, "pass")
    for line in ("upgrade --guard", "upgrade --create", "downgrade base --force"):
        refused = sexton(*line.split())
        assert refused.code == 2
        assert "not your own revisions" in refused.stderr
    for line in ("upgrade 0009", "downgrade 0001", "downgrade -- -1"):
        assert sexton(*line.split()).code == 2
    assert sexton("upgrade").code == 0
    connection.execute("update alembic_version set version_num = 'gone'")
    unknown = sexton("upgrade", "--plan")
    assert unknown.code == 4
    assert "the database is at revision 'gone'" in unknown.stderr


def test_the_revision_before_is_named_as_alembic_names_it(shop):
    team, sexton, _ = shop
    team.add("0001", None, "pass")
    team.add("0002", "0001", "pass")
    for words in ("-1", "-- -1", "-1 --max-stall 1s", "--max-stall 1s -- -1"):
        assert sexton("upgrade").code == 0
        assert "reverted 0002\n" in sexton("downgrade", *words.split()).stdout


def test_each_schema_has_versions_and_a_lock_of_its_own(shop):
    _, sexton, connection = shop
    team = Environment(shop[0].folder / "tenants", ", version_table_schema='one'")
    team.add("0001", None, "op.create_index_online('i', 'invoices', ['id'])")
    where = ("--config", str(team.folder / "sexton.toml"))
    connection.execute("create schema one")
    with upgrade_lock(connection, Options(deadline=1), "public"):
        assert sexton("upgrade", *where).code == 0
    with upgrade_lock(connection, Options(deadline=1), "one"):
        assert sexton("downgrade", "base", "--deadline", "300ms", *where).code == 6
    assert scalar(connection, "select version_num from one.alembic_version") == "0001"
    assert sexton("downgrade", "base", *where).code == 0


def test_a_fleet_upgrades_by_it(shop, tmp_path):
    team, sexton, _ = shop
    team.add("0001", None, SOFTEN)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(f'[[target]]\nname = "one"\nurl = "{sexton.url}"\n')
    line = f"fleet upgrade --inventory {fleet} --executor threads --format json"
    done = sexton(*line.split(), database=False)
    assert done.code == 0, done
    [target] = done.json["targets"]
    assert (target["from"], target["revision"], target["applied"]) == (
        None,
        "0001",
        ["0001"],
    )
    line = f"fleet status --inventory {fleet} --format json"
    [target] = sexton(*line.split(), database=False).json["targets"]
    assert (target["revision"], target["head"]) == ("0001", "0001")


def test_a_plan_does_not_warn_of_what_an_earlier_step_cures(shop):
    team, sexton, connection = shop
    connection.execute("alter table customers add deleted boolean not null default false")
    guard = (
        "op.add_guard('invoices.customer_id', 'customers.id', "
        "live='', parent_live='not deleted')"
    )
    team.add("0001", None, guard)
    assert "will read the whole table" in sexton("upgrade", "--plan").stdout
    team.add(
        "0001", None, f"op.create_index_online('i', 'invoices', ['customer_id'])\n{guard}"
    )
    assert "will read the whole table" not in sexton("upgrade", "--plan").stdout
