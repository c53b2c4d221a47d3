"""What triggers make of rows afterwards is seen, named, and what the journal has."""

import json

import pytest

from sexton import journal
from sexton.catalog.tables import read_tables
from sexton.catalog.triggers import EVENTS, firing
from sexton.database import rows, scalar
from sexton.errors import Refused
from sexton.repair.aftermath import Aftermath
from sexton.repair.apply import apply_plan
from sexton.repair.changes import Block, Shape, Writer
from sexton.repair.plan import Options
from sexton.repair.undo import undo_run
from tests.support.meddling import (
    AFTER_ROW,
    AFTER_STATEMENT,
    AT_COMMIT,
    BURY,
    EVERY,
    RAISE,
    REVIVE,
    meddle,
    unmeddle,
)
from tests.support.repairs import ALLOW, orphans, planned, whole
from tests.support.shop import file, run, shop_url  # noqa: F401
from tests.support.tools import add_model, add_provider

ORPHANS = "model_without_provider"
TOUCH = """
    update chat_model_configs set updated_at = '2020-02-02'
    where provider = 'openai' and updated_at <> '2020-02-02'
"""
TRIGGERS = Options(allow=("triggers",), max_fraction=1.0)


@pytest.fixture
def orphan(connection):
    """A sound provider with the default, and one orphan beside it."""
    add_provider(connection, "anthropic")
    add_model(connection, "anthropic", is_default=True)
    return add_model(connection, "openai", updated_at="2020-01-01")


def refused(connection, plan, match):
    before, runs = whole(connection), journal.list_runs(connection)
    with pytest.raises(Refused, match=match) as caught:
        apply_plan(connection, plan)
    assert whole(connection) == before
    assert journal.list_runs(connection) == runs
    return caught.value


@pytest.mark.parametrize("when", EVERY)
def test_a_repair_that_is_taken_back_is_refused(connection, orphan, when):
    meddle(connection, "chat_model_configs", REVIVE, when=when)
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    error = refused(
        connection,
        plan,
        "the trigger again on chat_model_configs changed again what was written in "
        f"deleted, deleted_at: chat_model_configs id={orphan}; nothing was changed",
    )
    assert error.code == 5
    assert error.hint == "change or disable the trigger, and type the command again"


@pytest.mark.parametrize("when", [AFTER_ROW, AT_COMMIT])
def test_what_happens_at_the_end_of_a_callers_transaction_happens_before_the_look(
    connection, orphan, when
):
    meddle(connection, "chat_model_configs", REVIVE, when=when)
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    with connection.transaction():
        refused(connection, plan, "the trigger again on chat_model_configs")


def test_a_trigger_that_raises_at_commit_raises_in_a_callers_transaction(
    connection, orphan
):
    meddle(connection, "chat_model_configs", RAISE, when=AT_COMMIT)
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    refused(connection, plan, "the database's own code refused: not on my watch")
    with connection.transaction():
        refused(connection, plan, "the database's own code refused: not on my watch")


def test_who_kept_a_row_from_being_written_is_named(connection, orphan):
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    keep = "create trigger again before update on chat_model_configs for each row"
    meddle(connection, "chat_model_configs", "null", when=keep)
    by = "kept from being written by the trigger again on chat_model_configs"
    refused(connection, plan, f"^{by}: chat_model_configs id={orphan}; nothing was changed")
    unmeddle(connection)
    apply_plan(connection, plan)
    meddle(connection, "chat_model_configs", "null", when=keep)
    with pytest.raises(Refused, match=f"can be restored: {by}; nothing was changed"):
        undo_run(connection, 1, allow=("triggers",))


LATER = """
    create table parents (id int primary key);
    create table children (
        id int primary key, parent int references parents deferrable initially deferred
    )
"""


def test_a_callers_deferred_keys_and_other_tables_wait_for_the_caller(connection, orphan):
    connection.execute(LATER)
    meddle(connection, "parents", "null", when=AT_COMMIT, events="insert")
    connection.execute(
        """
        create constraint trigger calm after update on chat_model_configs
            deferrable initially deferred for each row execute function again();
        create function loud() returns trigger language plpgsql
            as 'begin insert into public.parents values (2); return null; end';
        create constraint trigger loud after insert on children
            deferrable initially deferred for each row execute function loud()
        """
    )
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    with connection.transaction():
        connection.execute("insert into children values (1, 1)")
        apply_plan(connection, plan)
        assert not rows(connection, "select from parents")
        # Ours waits again, too: no row of it has happened before its time.
        connection.execute("update chat_model_configs set display_name = 'x'")
        connection.execute("insert into parents values (1)")
    assert scalar(connection, "select count(*) from parents") == 2


def test_what_other_tables_triggers_do_at_commit_is_seen_in_our_own(connection, orphan):
    """A trigger of the table's own writes another one, whose trigger waits for the end."""
    connection.execute("create table log (at timestamptz)")
    meddle(connection, "log", REVIVE, when=AT_COMMIT, events="insert")
    connection.execute(
        """
        create function note() returns trigger language plpgsql
            as 'begin insert into public.log values (now()); return null; end';
        create trigger note after update on chat_model_configs
            for each row execute function note()
        """
    )
    plan = planned(connection, ORPHANS, options=TRIGGERS)
    refused(connection, plan, "the trigger note on chat_model_configs changed again")


@pytest.mark.usefixtures("small_batches")
def test_without_the_option_any_other_value_is_refused(connection):
    """Where somebody makes a trigger after the safety limits were looked at."""
    orphans(connection, 25)
    before = whole(connection)
    made = []

    def progress(*rows):
        if not made:
            meddle(connection, "chat_model_configs", TOUCH, when=AT_COMMIT)
        made.append(rows)

    plan = planned(connection, ORPHANS, options=ALLOW)
    said = "what was written in updated_at: .*; 10 of 26 rows were changed"
    with pytest.raises(Refused, match=said):
        apply_plan(connection, plan, progress=progress)
    unmeddle(connection)
    assert apply_plan(connection, plan).rows == 26
    made.clear()
    said = "what was written in updated_at: .*; of the first 10 of 26 rows, run 2 has"
    with pytest.raises(Refused, match=said):
        undo_run(connection, 1, progress=progress)
    unmeddle(connection)
    assert undo_run(connection, 1).left == []
    assert whole(connection) == before


@pytest.mark.parametrize("when", EVERY)
def test_the_journal_has_the_row_as_it_is_in_the_end(connection, orphan, when):
    before = whole(connection)
    meddle(connection, "chat_model_configs", TOUCH, when=when)
    assert apply_plan(connection, planned(connection, ORPHANS, options=TRIGGERS)).rows == 1
    [change] = journal.list_changes(connection, 1)
    assert change["key"] == {"id": str(orphan)}
    assert change["after"]["deleted"] is True
    assert change["after"]["updated_at"].startswith("2020-02-02")
    unmeddle(connection)
    undone = undo_run(connection, 1)
    assert (undone.rows, undone.left, undone.lost) == (1, [], [])
    assert whole(connection) == before


@pytest.mark.usefixtures("small_batches")
def test_a_batch_that_is_taken_back_says_what_was_made_before(connection):
    orphans(connection, 25)
    options = Options(max_rows=100, max_fraction=1.0, allow=("triggers", "empty-parent"))
    actions = planned(connection, ORPHANS, options=options).actions
    default = scalar(connection, "select id from chat_model_configs where is_default")
    ids = [a.key["id"] for a in actions if a.check == ORPHANS]
    last = [id for id in ids if id != str(default)][-1]
    meddle(connection, "chat_model_configs", f"{REVIVE} and id = '{last}'", when=AT_COMMIT)
    plan = planned(connection, ORPHANS, options=options)
    made = r"; 20 of 26 rows were changed before, in run 1 \(to undo them: sexton undo 1\)"
    with pytest.raises(Refused, match=f"chat_model_configs id={last}{made}"):
        apply_plan(connection, plan)
    assert journal.get_run(connection, 1)["rows"] == 20
    deleted = "select count(*) from chat_model_configs where deleted"
    assert scalar(connection, deleted) == 20
    unmeddle(connection)
    assert apply_plan(connection, plan).resumed == 20


def test_a_quiet_trigger_changes_nothing_of_journal_and_undo(connection):
    """Rows that two checks change in one transaction, too."""
    add_provider(connection, "anthropic")
    twice = add_model(connection, "Anthropic")
    add_model(connection, "anthropic", "half", deleted=True)
    before = whole(connection)
    names = ("provider_name_unknown", "tombstone_half_set", "default_missing")
    options = Options(named=names, allow=("triggers",), max_fraction=1.0)
    plan = planned(connection, *names, options=options)
    assert [action.key["id"] for action in plan.actions].count(str(twice)) == 2
    journals = []
    with connection.transaction():  # so that now() is the same
        for trigger in (False, True):
            with connection.transaction(force_rollback=True):
                if trigger:
                    meddle(
                        connection,
                        "chat_model_configs",
                        "null",
                        events="insert or update or delete",
                    )
                run = apply_plan(connection, plan).run
                journals.append(journal.list_changes(connection, run))
                if trigger:
                    after = whole(connection)
                    undone = undo_run(connection, run, allow=("triggers",))
                    assert (undone.left, undone.lost) == ([], [])
                    assert whole(connection) == before
                    again = undo_run(connection, undone.run, allow=("triggers",))
                    assert (again.left, again.lost) == ([], [])
                    assert whole(connection) == after
    assert journals[0] == journals[1]
    assert len(journals[0]) == len(plan.actions)


@pytest.mark.parametrize("when", EVERY)
def test_what_an_undo_could_not_restore_is_listed(connection, orphan, when):
    add_model(connection, "google")
    assert apply_plan(connection, planned(connection, ORPHANS)).rows == 2
    meddle(connection, "chat_model_configs", BURY, when=when)
    undone = undo_run(connection, 1, allow=("triggers",))
    [left] = undone.left
    assert left["key"] == {"id": str(orphan)}
    assert left["reason"] == "the trigger again on chat_model_configs took it back"
    assert undone.rows == 1
    [row] = [m for m in whole(connection)["chat_model_configs"] if m["id"] == orphan]
    assert row["deleted"]
    assert orphan not in [c["key"]["id"] for c in journal.list_changes(connection, 2)]


def test_an_undo_of_which_nothing_holds_is_refused(connection, orphan, sexton):
    apply_plan(connection, planned(connection, ORPHANS))
    meddle(connection, "chat_model_configs", BURY, when=AFTER_STATEMENT)
    before = whole(connection)
    result = sexton("undo", "1", "--allow-triggers")
    assert result.code == 5
    assert "the trigger again on chat_model_configs took it back" in result.stderr
    assert "nothing was changed" in result.stderr
    assert whole(connection) == before


def test_an_undo_that_a_trigger_refuses_at_commit_changes_nothing(connection, orphan):
    apply_plan(connection, planned(connection, ORPHANS))
    meddle(connection, "chat_model_configs", RAISE, when=AT_COMMIT)
    before = whole(connection)
    with connection.transaction(), pytest.raises(Refused, match="not on my watch"):
        undo_run(connection, 1, allow=("triggers",))
    assert whole(connection) == before
    assert journal.get_run(connection, 1)["undone_by"] is None


def test_a_row_that_a_trigger_removes_after_an_undo_is_refused(connection, orphan):
    apply_plan(connection, planned(connection, ORPHANS))
    gone = "delete from chat_model_configs where provider = 'openai'"
    meddle(connection, "chat_model_configs", gone)
    before = whole(connection)
    with pytest.raises(Refused, match="the trigger again on chat_model_configs changed"):
        undo_run(connection, 1, allow=("triggers",))
    assert whole(connection) == before


AGAIN = 'insert into billing."Note Lines" select old.*'


def test_a_deletion_that_a_partition_takes_back_is_refused(run, shop_url):  # noqa: F811
    from sexton.database import connect

    with connect(shop_url, name="tests") as connection:
        meddle(connection, "billing.lines_2", AGAIN, events="delete", when=AT_COMMIT)
        check = "note_lines_without_note"
        options = ("repair", "--apply", "--unsafe", check, "--yes", check)
        assert "the trigger again on lines_2 fires at each delete" in run(*options).stderr
        result = run(*options, "--allow-triggers")
        assert result.code == 5
        assert (
            "the trigger again on lines_2 changed again what was written" in result.stderr
        )
        lines = 'select count(*) from billing."Note Lines"'
        assert scalar(connection, lines) == 3
        unmeddle(connection)
        assert run(*options).code == 0
        taken = 'delete from billing."Note Lines" where place = 1'
        meddle(connection, "billing.lines_2", taken, events="insert")
        result = run("undo", "1", "--allow-triggers")
        assert result.code == 5
        assert "the trigger again on lines_2 took it back" in result.stderr


def block(table, first, before, after):
    """A change of the row 1 from one pair of kind and note to another."""
    names = ("kind", "note")
    shape = Shape(None, table, "update", ("id",), names, names)
    rows = [dict(zip(names, pair, strict=True)) for pair in (before, after)]
    source = """(
        select %(first)s::int8 as step, 'x'::text as why, '{"id": 1}'::jsonb as key,
               %(before)s::jsonb as before, %(after)s::jsonb as after
    )"""
    given = dict(zip(("before", "after"), map(json.dumps, rows), strict=True))
    return Block(shape, first, 1, source, {"first": first, **given})


def test_a_row_that_is_written_twice_is_looked_at_as_it_was_last_written(empty):
    """Else no undo could go back over both."""
    empty.execute("create table parts (id int primary key, kind text, note text)")
    empty.execute("insert into parts values (1, 'a', 'p')")
    parts = read_tables(empty, ["parts"])["parts"]
    meddle(empty, "parts", "update parts set note = 'z' where note = 'r'")
    with empty.transaction():
        run = journal.begin_run(empty, "repair")
        triggers = firing(empty, {parts.relation.oid: EVENTS["update"]})
        after = Aftermath(empty, triggers, own=True)
        writer = Writer(empty, run, after)
        assert writer.make(block(parts, 1, "ap", "bq")) == []
        assert writer.make(block(parts, 2, "bq", "cr")) == []
        [found] = after.settle(run)
    assert (found.step, found.columns, found.lost) == (2, ("note",), False)
    written = [tuple(c["after"].values()) for c in journal.list_changes(empty, run)]
    assert written == [("b", "q"), ("c", "z")]
