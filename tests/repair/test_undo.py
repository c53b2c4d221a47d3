"""An undo restores exactly, or says what it cannot."""

import pytest

from sexton import journal
from sexton.database import rows, scalar
from sexton.errors import Incomplete, NotFound, Refused
from sexton.repair import undo
from sexton.repair.apply import apply_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import ALLOW, incident, orphans, planned, whole
from tests.support.tools import add_model, add_provider, table

ODD = """
    alter table chat_model_configs
        add column span interval default '1 mon 2 days',
        add column place point default '(1,2)',
        add column bytes bytea default '\\x00ff',
        add column amount numeric default 0.123456789012345678901234567890,
        add column "100% 'odd'" text default 'x',
        add column ratio float8 default 'infinity',
        add column hour time default '24:00',
        add column day date default '-infinity',
        add column twice int generated always as (context_limit * 2) stored,
        add column number bigint generated always as identity,
        add column plain json default '{"a":  1, "a": 2}',
        add column binary_json jsonb default 'null',
        add column list text[] default '{a,NULL,"b c"}';
    update chat_model_configs set
        options = '{"price": 0.12345678901234567890123}',
        created_at = '0044-03-15 BC', updated_at = '-infinity';
"""


def every(connection):
    """The rows to the bit, as the server writes them."""
    return scalar(
        connection,
        "select array_agg(c::text order by c.id) from chat_model_configs c",
    )


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_rows_of_every_kind_of_value_come_back_exactly(connection, zone):
    incident(connection)
    connection.execute(ODD)
    before = every(connection)
    connection.execute(
        f"set timezone = '{zone}'; set intervalstyle = sql_standard; "
        "set datestyle = 'German'; set extra_float_digits = 0; set bytea_output = escape"
    )
    assert apply_plan(connection, planned(connection)).rows == 3
    connection.execute("reset all")
    assert undo_run(connection, 1).left == []
    assert every(connection) == before


def test_deleted_rows_of_every_kind_of_value_come_back_exactly(connection):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    add_model(connection, "anthropic", "old", deleted=True, deleted_at="now")
    connection.execute(ODD)
    connection.execute(
        "update chat_model_configs set deleted_at = 'infinity' where deleted"
    )
    before = every(connection)
    name = "tombstone_unreferenced"
    plan = planned(connection, name, unsafe=(name,))
    assert apply_plan(connection, plan).rows == 1
    assert undo_run(connection, 1).left == []
    assert every(connection) == before


def test_an_undo_says_which_secrets_do_not_come_back(connection, sexton):
    provider = add_provider(
        connection, "openai", api_key="sk-1", base_url="https://me:S3CRET@host/v1"
    )
    add_model(connection, "openai")
    assert sexton("provider", "delete", "openai", "--yes").code == 0
    result = sexton("undo", "1")
    assert result.code == 1
    assert "warning: api_key of 1 row of chat_providers" in result.stderr
    assert "not restored: base_url of 1 row of chat_providers" in result.stdout
    [found] = rows(connection, "select id, api_key, base_url from chat_providers")
    assert found == {"id": provider, "api_key": "", "base_url": ""}
    assert "S3CRET" not in str(rows(connection, "select * from sexton.changes"))


def test_a_schema_that_moved_on_is_a_sentence(connection, sexton):
    incident(connection)
    apply_plan(connection, planned(connection))
    connection.execute("alter table chat_model_configs rename deleted_at to died_at")
    result = sexton("undo", "1")
    assert result.code == 5
    assert "which has no column deleted_at any more" in result.stderr
    connection.execute("alter table chat_model_configs rename to configs")
    assert sexton("undo", "1").code == 5


def test_an_undo_of_an_undo_with_gaps_counts_right(connection):
    _, orphan, _ = incident(connection)
    apply_plan(connection, planned(connection))
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (orphan,)
    )
    assert undo_run(connection, 1).rows == 2
    again = undo_run(connection, 2)
    assert (again.rows, again.left) == (2, [])


def test_what_a_cascade_took_is_in_the_journal(connection):
    stub = add_provider(connection, "openai", enabled=False)
    connection.execute(
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key) "
        "values (gen_random_uuid(), %s, 'x')",
        (stub,),
    )
    plan = planned(
        connection, "provider_stub", unsafe=("provider_stub",), allow=("cascades",)
    )
    apply_plan(connection, plan)
    assert not table(connection, "user_chat_provider_keys")
    undone = undo_run(connection, 1)
    assert undone.lost == [
        "api_key of 1 row of user_chat_provider_keys is a secret, and not in the journal"
    ]
    [left] = undone.left  # the secret may not be null
    assert left["table"] == "user_chat_provider_keys"
    assert "api_key" in left["reason"]


def test_nothing_is_left_behind_in_the_callers_transaction(connection):
    incident(connection)
    plan = planned(connection)
    show = """
        select name, setting from pg_settings
        where name in ('search_path', 'row_security', 'statement_timeout', 'jit',
            'datestyle', 'intervalstyle', 'extra_float_digits', 'bytea_output')
    """
    with connection.transaction():
        before = rows(connection, show)
        apply_plan(connection, plan)
        undo_run(connection, 1)
        assert rows(connection, show) == before
    assert whole(connection)
    assert journal.get_run(connection, 1)["undone_by"] == 2


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_callers_transaction_of_another_level_is_refused(connection, level):
    incident(connection)
    plan = planned(connection)
    with connection.transaction():
        connection.execute(f"set transaction isolation level {level}")
        with pytest.raises(Refused, match=f"the transaction is {level}"):
            apply_plan(connection, plan)


def test_a_role_s_own_level_is_not_believed(connection):
    incident(connection)
    plan = planned(connection)
    connection.execute("set default_transaction_isolation = 'repeatable read'")
    assert apply_plan(connection, plan).rows == 3


def test_what_a_trigger_sets_by_itself_is_said_and_the_rest_restored(connection, sexton):
    """A column of the user's own, which nothing declared writes, and one of ours."""
    add_provider(connection, "openai")
    model = add_model(
        connection, "openai", is_default=True, updated_at="2020-01-01T00:00:00Z"
    )
    connection.execute(
        """
        alter table chat_model_configs add column touched bigint not null default 0;
        create function touch() returns trigger language plpgsql as $$
        begin
            new.touched := old.touched + 1;
            new.updated_at := clock_timestamp();
            return new;
        end $$;
        create trigger touch before update on chat_model_configs
            for each row execute function touch()
        """
    )
    assert sexton("model", "update", str(model), "--display-name", "x").code == 0
    result = sexton("undo", "1", "--allow-triggers")
    assert result.code == 1, result.stderr
    for column in ("touched", "updated_at"):
        said = (
            f"{column} of 1 row of chat_model_configs is not as it was: a trigger sets it"
        )
        assert said in result.stdout
    [row] = rows(connection, "select display_name, touched from chat_model_configs")
    assert row == {"display_name": "", "touched": 2}


GRANTED = """
    create role sexton_once;
    grant usage on schema public, sexton to sexton_once;
    grant select, insert on all tables in schema sexton to sexton_once;
    grant update on sexton.runs to sexton_once;
    grant select on all tables in schema public to sexton_once;
    grant {granted} on chat_model_configs to sexton_once
"""


def recorded_by_once(connection):
    """Let run 1 be one that the role sexton_once recorded."""
    connection.execute(
        """
        alter table sexton.runs disable trigger user;
        alter table sexton.changes disable trigger user;
        update sexton.runs set role = 'sexton_once';
        update sexton.changes set role = 'sexton_once'
        """
    )


@pytest.mark.parametrize("granted", ["insert, delete", "insert, update (deleted), delete"])
def test_the_right_to_each_change_is_needed(connection, granted):
    """By whoever recorded the run, and by whoever undoes it."""
    incident(connection)
    apply_plan(connection, planned(connection, "model_without_provider"))
    connection.execute(GRANTED.format(granted=granted))
    try:
        connection.execute("set role sexton_once")
        with pytest.raises(Incomplete, match="nothing was changed") as caught:
            undo_run(connection, 1)
        assert "may not update chat_model_configs" in caught.value.message
        connection.execute("reset role")
        recorded_by_once(connection)
        with pytest.raises(Refused, match="recorded by the role sexton_once") as refused:
            undo_run(connection, 1)
        assert "--allow-writer" in refused.value.hint
        assert undo_run(connection, 1, allow=["writer"]).rows == 2
    finally:
        connection.execute("reset role; drop owned by sexton_once; drop role sexton_once")


def test_a_run_of_another_role_that_may_make_its_changes_is_undone(connection):
    incident(connection)
    apply_plan(connection, planned(connection, "model_without_provider"))
    granted = "update (deleted, deleted_at, is_default, updated_at)"
    connection.execute(GRANTED.format(granted=granted))
    recorded_by_once(connection)
    try:
        assert undo_run(connection, 1).rows == 2
    finally:
        connection.execute("drop owned by sexton_once; drop role sexton_once")


def test_without_foreign_keys_and_triggers_nothing_is_changed(connection):
    incident(connection)
    plan = planned(connection)
    connection.execute("set session_replication_role = replica")
    with pytest.raises(Refused, match="session_replication_role is replica"):
        apply_plan(connection, plan)


def test_undo_puts_every_row_back_and_can_be_undone(connection):
    incident(connection)
    before = whole(connection)
    apply_plan(connection, planned(connection))
    after = whole(connection)
    undone = undo_run(connection, 1, actor="ann")
    assert (undone.run, undone.rows, undone.left) == (2, 3, [])
    assert whole(connection) == before
    assert journal.get_run(connection, 1)["undone_by"] == 2
    assert undo_run(connection, 2).rows == 3
    assert whole(connection) == after
    with pytest.raises(Refused, match="run 1 was undone by run 2, and run 3") as error:
        undo_run(connection, 1)
    assert error.value.hint == "sexton undo 3"
    undo_run(connection, 3)
    assert whole(connection) == before


def test_an_undo_of_nothing_is_refused(connection):
    incident(connection)
    with pytest.raises(NotFound, match="no run 7"):
        undo_run(connection, 7)
    apply_plan(connection, planned(connection))
    connection.execute(
        "update chat_model_configs set updated_at = now(), deleted_at = now()"
    )
    before = whole(connection)
    with pytest.raises(Refused, match="none of the 3 rows"):
        undo_run(connection, 1)
    assert whole(connection) == before
    assert len(journal.list_runs(connection)) == 1


@pytest.mark.usefixtures("small_batches")
def test_a_large_undo_goes_on_where_it_was_interrupted(connection):
    orphans(connection, 45)
    before = whole(connection)
    apply_plan(connection, planned(connection, options=ALLOW))

    def stop(done, _):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo_run(connection, 1, progress=stop)
    with pytest.raises(Refused, match="was interrupted") as error:
        undo_run(connection, 2)
    assert error.value.hint == "finish it first: sexton undo 1"
    undone = undo_run(connection, 1)
    assert (undone.run, undone.rows, undone.left) == (2, 46, [])
    assert whole(connection) == before
    undo_run(connection, 2)
    assert len(rows(connection, "select from chat_model_configs where deleted")) == 45


def test_columns_that_a_key_may_empty_are_restored_beside_those_declared(connection):
    connection.execute(
        """
        create table owner (id int primary key);
        create table pet (
            id int primary key, name text, owner_id int references owner on delete set null
        );
        create table toy (id int primary key, pet int references pet on delete cascade);
        create table shoe (id int primary key, of int references owner on delete cascade)
        """
    )
    touchable = {"owner": set(), "pet": {"name"}, "shoe": {"id"}}
    there = undo._read(connection, {"run": 1}, touchable, of_rows=False)
    assert set(there) == {"owner", "pet", "shoe", "public.toy"}
    assert touchable["pet"] == {"name", "owner_id"}
    assert touchable["shoe"] == touchable["public.toy"] == set()
    touchable = {"owner": set()}
    there = undo._read(connection, {"run": 1}, touchable, of_rows=False)
    assert set(there) == {"owner", "public.pet", "public.shoe"}
    assert touchable["public.pet"] == {"owner_id"}
    assert touchable["public.shoe"] == set()
