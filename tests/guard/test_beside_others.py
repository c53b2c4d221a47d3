"""A guard beside triggers, keys, names and partitions that others made."""

import contextlib
import threading

import pytest
from psycopg import errors

from sexton.database import rows, scalar
from sexton.errors import Refused, UsageError
from sexton.guard import change
from sexton.guard.binding import bind
from sexton.guard.selection import detached
from sexton.guard.spec import GuardSpec
from sexton.guard.status import INCOMPLETE, NONE, SET, status
from tests.support.guards import everything_of_ours
from tests.support.revisions import state as catalog
from tests.support.tools import second_connection
from tests.support.worlds_of_guards import BOTH, CUSTOMERS, PLAIN, refused, run, spec, state

DERIVED = """
    create table customers (
        id int primary key, deleted boolean not null default false, deleted_at timestamptz
    );
    create table invoices (
        id int primary key, customer_id int, paid boolean default false, paid_at timestamptz
    );
    create function paid() returns trigger language plpgsql as
        $$ begin new.paid := new.paid_at is not null; return new; end $$;
    create function deleted() returns trigger language plpgsql as
        $$ begin new.deleted := new.deleted_at is not null; return new; end $$;
    create trigger {name} before insert or update on invoices
        for each row execute function paid();
    create trigger {name} before insert or update on customers
        for each row execute function deleted();
    insert into customers values (1), (2);
    insert into invoices values (1, 1);
"""
PAID = GuardSpec(
    *("invoices", ("customer_id",), "customers", ("id",)), "not paid", "not deleted"
)


@pytest.mark.parametrize("name", ["a", "zz_derive", "sexton_guard_zz", '"Zorro"', '"{0}~"'])
def test_a_trigger_that_derives_the_mark_comes_before_ours(empty, name):
    run(empty, DERIVED.replace("{name}", name))
    change.add(empty, PAID)
    run(empty, "insert into invoices (id, customer_id, paid_at) values (11, 99, now())")
    refused(empty, "insert into invoices (id, customer_id) values (12, 99)")
    refused(empty, "update customers set deleted_at = now() where id = 1")
    refused(empty, "update invoices set paid_at = null where id = 11")
    run(empty, "update invoices set paid_at = now() where id = 1")
    run(empty, "update customers set deleted_at = now() where id in (1, 2)")
    refused(empty, "insert into invoices (id, customer_id) values (13, 2)")
    run(empty, "update customers set deleted_at = null where id = 2")
    run(empty, "insert into invoices (id, customer_id) values (13, 2)")


@pytest.mark.parametrize("name", ["~~derive", "~sexton_m", "übrig", "~{x}"])
def test_a_trigger_that_would_fire_after_ours_is_refused_and_seen(empty, name):
    run(empty, DERIVED.replace("{name}", f'"{name}"'))
    before = everything_of_ours(empty)
    with pytest.raises(Refused, match=r"on [\w.]+ would fire after the guard's") as refusal:
        change.add(empty, PAID)
    for table in ("customers", "invoices"):
        assert f'alter trigger "{name}" on public.{table} rename' in refusal.value.message
    assert refusal.value.message.endswith("nothing was changed")
    assert everything_of_ours(empty) == before
    for table in ("customers", "invoices"):
        run(empty, f'alter trigger "{name}" on {table} rename to before_all')
    change.add(empty, PAID)
    assert state(empty, PAID) == SET
    run(empty, f'alter trigger before_all on invoices rename to "{name}"')
    assert state(empty, PAID) == INCOMPLETE
    run(empty, f'alter table invoices disable trigger "{name}"')
    assert state(empty, PAID) == SET


PARTS = """
    create table users (id int primary key, deleted boolean not null default false);
    create table events (
        id int, at date not null, user_id int, hidden boolean not null default false,
        hidden_at date, primary key (id, at)
    ) partition by range (at);
    create table events_2024 partition of events
        for values from ('2024-01-01') to ('2025-01-01');
    create table events_2025 partition of events
        for values from ('2025-01-01') to ('2026-01-01');
    create index on events (user_id);
    insert into users values (1), (2);
    insert into events values
        (1, '2024-05-01', 1, false), (2, '2025-05-01', 2, false),
        (3, '2024-06-01', 77, true);
"""
EVENTS = GuardSpec(*("events", ("user_id",), "users", ("id",)), "not hidden", "not deleted")
DETACH = "alter table events detach partition events_2024"
ATTACH = (
    "alter table events attach partition events_2024 "
    "for values from ('2024-01-01') to ('2025-01-01')"
)


@pytest.fixture
def events(empty):
    if empty.info.server_version < 180000:
        run(empty, PARTS)
        with pytest.raises(Refused, match="before PostgreSQL 18"):
            change.add(empty, EVENTS)
        return None
    run(empty, PARTS)
    return empty


def test_a_trigger_of_one_partition_is_seen(events):
    if events is None:
        return
    run(
        events,
        """
        create function hide() returns trigger language plpgsql as
            $$ begin new.hidden := new.hidden_at is not null; return new; end $$;
        create trigger "~~" before insert or update on events_2025
            for each row execute function hide();
        """,
    )
    with pytest.raises(Refused, match=r'"~~" on .*events_2025 would fire after'):
        change.add(events, EVENTS)
    run(events, 'alter trigger "~~" on events_2025 rename to zz')
    change.add(events, EVENTS)
    run(
        events,
        "insert into events (id, at, user_id, hidden_at) "
        "values (9, '2025-07-01', 99, '2025-07-01')",
    )
    refused(events, "insert into events (id, at, user_id) values (8, '2025-07-01', 99)")


def test_a_detached_partition_is_named_and_cleaned_up(events):
    if events is None:
        return
    before = catalog(events)
    change.add(events, EVENTS)
    run(events, DETACH)
    document = status(events, EVENTS)
    [found] = document["guards"]
    assert (document["guard"], found["guard"]) == (INCOMPLETE, SET)
    assert found["detached"] == ["public.events_2024.user_id"]
    change.remove(events, EVENTS)
    assert everything_of_ours(events) == []
    run(events, ATTACH)
    assert catalog(events) == before
    change.add(events, EVENTS)
    assert status(events, EVENTS)["guard"] == SET


def test_a_detached_partition_is_cleaned_up_alone(events):
    if events is None:
        return
    change.add(events, EVENTS)
    run(events, DETACH)
    [left] = detached(events, bind(events, EVENTS))
    change.remove(events, left)
    assert status(events, EVENTS)["guard"] == SET
    assert status(events, EVENTS)["guards"][0]["detached"] == []
    refused(events, "insert into events (id, at, user_id) values (8, '2025-07-01', 99)")
    run(
        events,
        "insert into events_2024 (id, at, user_id, hidden) "
        "values (9, '2024-07-01', 99, true)",
    )
    change.remove(events, EVENTS)
    assert everything_of_ours(events) == []


def test_a_partition_that_comes_back_is_guarded_again(events):
    if events is None:
        return
    change.add(events, EVENTS)
    run(events, DETACH)
    run(events, ATTACH)
    assert status(events, EVENTS)["guard"] == SET
    run(
        events,
        "insert into events (id, at, user_id, hidden) values (9, '2024-07-01', 99, true)",
    )
    refused(events, "insert into events (id, at, user_id) values (8, '2024-07-01', 99)")
    change.remove(events, EVENTS)
    assert everything_of_ours(events) == []


TIMES = {
    "no": (None, (False, False)),
    "immediate": ("deferrable", (True, False)),
    "deferred": ("deferrable initially deferred", (True, True)),
}
KEY_TIME = """
    select condeferrable, condeferred from pg_constraint
    where contype = 'f' and conname like 'sexton%'
"""


def time_of(connection):
    return [tuple(row.values()) for row in rows(connection, KEY_TIME)]


@pytest.mark.parametrize(("plain", "time"), TIMES.values(), ids=TIMES)
def test_it_is_checked_when_the_key_is_that_it_replaces(empty, plain, time):
    run(empty, CUSTOMERS)
    run(
        empty,
        f"alter table invoices add foreign key (customer_id) references customers "
        f"{plain or ''}",
    )
    steps = change.add(empty, PLAIN.spec)
    assert time_of(empty) == [time]
    assert any((plain or "not deferrable") in title for title in steps)
    run(empty, "alter table invoices drop constraint invoices_customer_id_fkey")
    assert state(empty, PLAIN.spec) == SET
    assert change.add(empty, PLAIN.spec) == []
    assert time_of(empty) == [time]
    change.add(empty, BOTH.spec)
    assert time_of(empty) == [time], "another condition is checked at the same time"
    if time == (True, True):
        with empty.transaction():
            run(empty, "insert into invoices (customer_id) values (3)")
            run(empty, "insert into customers values (3)")
        with pytest.raises(errors.ForeignKeyViolation), empty.transaction():
            run(empty, "insert into invoices (customer_id) values (4)")


def test_when_it_is_checked_can_be_said_and_changed(empty):
    run(empty, CUSTOMERS)
    for said, (_, time) in (*TIMES.items(), *reversed(TIMES.items())):
        wanted = GuardSpec(
            *("invoices", ("customer_id",), "customers", ("id",)), deferrable=said
        )
        before = time_of(empty)
        stands = SET if before == [time] else INCOMPLETE
        assert state(empty, wanted) == (stands if before else NONE)
        change.add(empty, wanted)
        assert time_of(empty) == [time]
        assert state(empty, wanted) == SET
        assert change.add(empty, wanted) == []


def test_what_forbids_one_guard_forbids_all_and_nothing_is_changed(empty):
    run(empty, CUSTOMERS + "alter table invoices add payer_id bigint, add agent_id bigint")
    run(empty, "insert into invoices (payer_id) values (77)")
    three = [
        GuardSpec("invoices", (column,), "customers", ("id",))
        for column in ("customer_id", "payer_id", "agent_id")
    ]
    with pytest.raises(Refused, match="'77'; nothing was changed"):
        change.add(empty, *three)
    assert everything_of_ours(empty) == []
    run(empty, "create view seen as select * from customers")
    with pytest.raises(Refused, match="seen can have no guard: it is a view"):
        change.add(empty, three[0], GuardSpec("invoices", ("agent_id",), "seen", ("id",)))
    assert everything_of_ours(empty) == []


def test_a_view_is_called_a_view_whichever_rows_count(empty):
    run(empty, CUSTOMERS + "create view seen as select * from customers")
    with pytest.raises(Refused, match=r"public\.seen can have no guard: it is a view"):
        change.add(empty, GuardSpec("invoices", ("customer_id",), "seen", ("id",), ""))
    with pytest.raises(UsageError, match="a plain foreign key does what a guard would"):
        change.add(empty, spec(live=""))


NAMES = (
    *("locked", "seen", "found", "new", "k", "m", "sexton_one", "sexton_loop", "this"),
    *('a"b', "{x}", "%(a)s", "%s%I", "$do$", "{0!r}", "{{}}", "it's", "a\\b", "c${x}%s{x}"),
)


@pytest.mark.parametrize("name", NAMES)
def test_columns_and_tables_may_have_any_name(empty, name):
    q = '"' + name.replace('"', '""') + '"'
    run(
        empty,
        f"""
        create table {q} ({q} int primary key, ended boolean not null default false);
        create table "kid" ({q} int, {q[:-1]} is" boolean not null default false);
        insert into {q} values (1, true), (2, false);
        insert into "kid" values (1, true), (2, false)
        """,
    )
    condition = f'not {q[:-1]} is"'
    before = everything_of_ours(empty)
    guard = GuardSpec("kid", (name,), name, (name,), condition, "not ended")
    change.add(empty, guard)
    assert state(empty, guard) == SET
    refused(empty, 'insert into "kid" values (1, false)')
    run(empty, 'insert into "kid" values (1, true)')
    change.remove(empty, guard)
    assert everything_of_ours(empty) == before
    run(empty, 'insert into "kid" values (1, false)')
    with pytest.raises(Refused) as refusal:
        change.add(empty, guard)
    assert f"there is no live {name}.{name} '1'" in refusal.value.message
    run(empty, f'delete from "kid"; create table again as select * from {q}')
    run(empty, f'alter table {q} drop constraint {q[:-1]}_pkey"')
    run(empty, f"insert into {q} values (2, false)")
    with pytest.raises(Refused) as refusal:
        change.add(empty, guard)
    assert f"two rows of {name} that count have the key 2" in refusal.value.message


def test_generated_and_identity_columns_can_be_keys(empty):
    run(
        empty,
        """
        create table parents (
            id int generated always as identity primary key, twice int,
            deleted boolean not null default false,
            code int generated always as (twice / 2) stored unique
        );
        create table kids (
            id int generated always as identity primary key, parent_id int,
            text_code text, deleted boolean not null default false,
            code int generated always as (text_code::int) stored
        );
        insert into parents (twice, deleted) values (2, false), (4, true);
        insert into kids (parent_id, text_code, deleted)
        values (1, '1', false), (9, '9', true)
        """,
    )
    two = [
        GuardSpec("kids", ("parent_id",), "parents", ("id",), parent_live="not deleted"),
        GuardSpec("kids", ("code",), "parents", ("code",), parent_live="not deleted"),
    ]
    change.add(empty, *two)
    assert state(empty, *two) == SET
    refused(empty, "insert into kids (parent_id) values (2)")
    refused(empty, "insert into kids (text_code) values ('2')")
    refused(empty, "update parents set twice = 6 where id = 1")
    run(empty, "insert into kids (text_code, deleted) values ('2', true)")
    change.remove(empty, *two)
    assert everything_of_ours(empty) == []
    if empty.info.server_version >= 180000:
        run(empty, "alter table kids add seen int generated always as (id) virtual")
        with pytest.raises(Refused, match=r"kids\.seen is a virtual generated column"):
            change.add(empty, GuardSpec("kids", ("seen",), "parents", ("id",)))


def test_the_comment_says_what_an_error_means(empty):
    run(empty, CUSTOMERS)
    change.add(empty, BOTH.spec)
    said = scalar(
        empty,
        "select obj_description(oid, 'pg_constraint') from pg_constraint "
        "where conname like 'sexton_guard%%'",
    )
    assert "23503" in said
    assert "invoices" in said
    assert "customers" in said
    assert "state = ANY" in said


def test_a_guard_that_goes_while_another_comes_leaves_the_other_whole(empty, empty_url):
    """The lock of upgrades keeps the last one to go from what the next one shares."""
    run(empty, CUSTOMERS + "alter table invoices add payer_id bigint")
    both = [
        GuardSpec("invoices", (c,), "customers", ("id",), parent_live="not deleted")
        for c in ("customer_id", "payer_id")
    ]
    change.add(empty, both[0])
    together = threading.Barrier(2)
    failed = []

    def do(what, spec):
        with contextlib.closing(second_connection(empty_url)) as connection:
            together.wait()
            try:
                what(connection, spec)
            except Exception as error:
                failed.append(error)

    threads = [
        threading.Thread(target=do, args=pair)
        for pair in ((change.remove, both[0]), (change.add, both[1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert state(empty, both[0]) == NONE
    assert state(empty, both[1]) == SET
