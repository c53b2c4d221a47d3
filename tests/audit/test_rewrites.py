"""Tables that are rewritten, swapped or taken apart beside an audit's snapshot."""

import contextlib
import threading

import pytest

from sexton.audit import auditor
from sexton.audit.auditor import run_checks
from sexton.audit.outcome import Options
from sexton.check import Check, Reference, Severity
from sexton.database import connect, scalar
from tests.support.tools import second_connection

TABLES = """
    create table customers (id int primary key, deleted boolean not null default false);
    insert into customers select n from generate_series(1, 50) n;
    create table invoices (id int primary key, customer_id int);
    insert into invoices select n, n from generate_series(1, 50) n;
    insert into invoices select n, 1000 from generate_series(101, 150) n;
    create table parts (id int primary key, customer_id int) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (101);
    create table parts_2 partition of parts for values from (101) to (201);
    insert into parts table invoices;
    create table heirs (id int primary key, customer_id int);
    create table heirs_1 (primary key (id)) inherits (heirs);
    insert into heirs_1 table invoices;
    create table other (id int primary key, customer_id int);
"""
SWAP = """
    begin;
    create table invoices_2 (id int primary key, customer_id int);
    insert into invoices_2 table invoices;
    {old};
    alter table invoices_2 rename to invoices;
    commit
"""
MOVES = {
    "alter type": "alter table invoices alter customer_id type bigint",
    "truncate and insert": "begin; create temp table t as table invoices; "
    "truncate invoices; insert into invoices table t; commit",
    "cluster": "cluster invoices using invoices_pkey",
    "vacuum full": "vacuum full invoices",
    "swap, the old one dropped": SWAP.format(old="drop table invoices cascade"),
    "swap, the old one kept": SWAP.format(old="alter table invoices rename to invoices_1"),
    "column replaced": "begin; alter table invoices add c2 int; "
    "update invoices set c2 = customer_id; alter table invoices drop customer_id; "
    "alter table invoices rename c2 to customer_id; commit",
    "columns exchanged": "begin; alter table invoices add c2 int; "
    "update invoices set c2 = customer_id; "
    "alter table invoices rename customer_id to c1; "
    "alter table invoices rename c2 to customer_id; commit",
    "parent rewritten": "vacuum full customers",
    "parent swapped": "begin; create table c2 (like customers including all); "
    "insert into c2 table customers; drop table customers; "
    "alter table c2 rename to customers; commit",
}
PART_MOVES = {
    "alter type": "alter table parts alter customer_id type bigint",
    "column replaced": "begin; alter table parts add c2 int; "
    "update parts set c2 = customer_id; alter table parts drop customer_id; "
    "alter table parts rename c2 to customer_id; commit",
    "one partition truncated": "begin; create temp table t as table parts_2; "
    "truncate parts_2; insert into parts_2 table t; commit",
    "one partition rewritten": "vacuum full parts_2",
    "one partition replaced": "begin; create table parts_3 (like parts_2 including all); "
    "insert into parts_3 table parts_2; alter table parts detach partition parts_2; "
    "alter table parts attach partition parts_3 for values from (101) to (201); commit",
    "replaced, the old one dropped": "begin; create table parts_3 (like parts_2 "
    "including all); insert into parts_3 table parts_2; drop table parts_2; "
    "alter table parts attach partition parts_3 for values from (101) to (201); commit",
}
HEIR_MOVES = {
    "replaced": "begin; create table heirs_2 (primary key (id)) inherits (heirs); "
    "insert into heirs_2 table heirs_1; alter table heirs_1 no inherit heirs; commit",
    "rewritten": "vacuum full heirs_1",
    "truncated": "begin; create temp table t as table heirs_1; truncate heirs_1; "
    "insert into heirs_1 table t; commit",
}
WORLDS = [
    *(("invoices", name, move) for name, move in MOVES.items()),
    *(("parts", name, move) for name, move in PART_MOVES.items()),
    *(("heirs", name, move) for name, move in HEIR_MOVES.items()),
    ("seen", "what a view reads", "vacuum full invoices"),
    (
        "seen",
        "another view",
        "create table i2 as table invoices; "
        "create or replace view seen as select * from i2",
    ),
]


def dangling(table):
    return Check(
        f"tests.{table}_dangling",
        severity=Severity.ERROR,
        table=table,
        key=("id",),
        message="{id} names {customer_id}",
        reference=Reference("customer_id", "customers", "id"),
    )


def slow(name="first"):
    """A check that begins first: while it is looked at, the others' turn is to come."""
    return Check(
        f"tests.{name}",
        severity=Severity.ERROR,
        table="other",
        key=("id",),
        message="found",
        where="this.id = 7",
    )


@pytest.fixture
def shop(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as opened:
        opened.execute(TABLES)
        yield opened, url


def audited(url, checks, move, *, times=1, jobs=1, **options):
    """An audit beside which a statement runs, when its snapshot is taken."""
    left = [times]

    def run_it():
        if left[0] > 0:
            left[0] -= 1
            with contextlib.closing(second_connection(url)) as other:
                other.execute("set lock_timeout = '5s'")
                for part in [move] if "begin" in move else move.split("; "):
                    other.execute(part)

    def watch(what):
        if what == "first" and jobs == 1:
            run_it()

    def opened():
        return connect(url, name="tests", read_only=True)

    def joined():
        run_it()  # before any member reads a table
        return opened()

    with contextlib.closing(opened()) as connection:
        _, outcomes = run_checks(
            connection,
            [slow(), *checks],
            Options(**{"confirm_after": 0.01, "jobs": jobs, **options}),
            connect=joined,
            watch=watch,
        )
    return {outcome.check.table: outcome for outcome in outcomes}


@pytest.mark.parametrize(("table", "name", "move"), WORLDS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_rewritten_is_looked_at_again(shop, table, name, move, jobs):
    connection, url = shop
    if table == "seen":
        connection.execute("create view seen as select * from invoices")
    outcome = audited(url, [dangling(table)], move, jobs=jobs)[table]
    assert (outcome.status, outcome.count) == ("fail", 50), outcome.reason
    again = audited(url, [dangling(table)], "select 1")[table]
    assert (again.status, again.count) == ("fail", 50)


def test_what_is_rewritten_each_time_is_incomplete(shop):
    _, url = shop
    found = audited(url, [dangling("invoices")], "vacuum full invoices", times=9)
    # The check that comes first is not repeated, so the move is made once more only by
    # those whose own turn begins it.
    assert found["invoices"].status == "fail"

    def watch(what):
        if what == "invoices_dangling":
            with contextlib.closing(second_connection(url)) as other:
                other.execute("vacuum full invoices")

    with contextlib.closing(connect(url, name="tests", read_only=True)) as connection:
        _, [outcome] = run_checks(connection, [dangling("invoices")], watch=watch)
    assert outcome.status == "incomplete"
    assert outcome.reason == (
        "invoices was rewritten, truncated or replaced while being read"
    )


@pytest.mark.parametrize(
    "move", ["drop table invoices", "alter table invoices rename to invoices_1"]
)
def test_a_table_that_is_gone_is_incomplete_and_not_skipped(shop, move):
    _, url = shop
    found = audited(url, [dangling("invoices"), dangling("heirs")], move)
    assert found["invoices"].status == "incomplete"
    assert "dropped or renamed meanwhile" in str(found["invoices"].reason)
    assert (found["heirs"].status, found["heirs"].count) == ("fail", 50)


def test_a_table_swapped_for_a_moment_is_not_believed(shop):
    """The one that was read for it has no row that the snapshot sees."""
    connection, url = shop
    swaps = (
        "alter table invoices rename to i1; alter table i2 rename to invoices",
        "alter table invoices rename to i2; alter table i1 rename to invoices",
    )
    connection.execute("create table i2 (like invoices)")
    back = []

    def watch(what):
        with contextlib.closing(second_connection(url)) as other:
            if what == "invoices_dangling" and not back:
                other.execute("insert into i2 table invoices")
                other.execute(swaps[0])
                back.append(threading.Thread(target=swap_back))
                back[0].start()

    def swap_back():
        """Wait behind the audit's lock, and swap back as soon as it ends."""
        with contextlib.closing(second_connection(url)) as other:
            while not scalar(
                other,
                "select count(*) from pg_locks where granted and "
                "pid <> pg_backend_pid() and relation = 'invoices'::regclass",
            ):
                pass
            other.execute(swaps[1])

    with contextlib.closing(connect(url, name="tests", read_only=True)) as opened:
        _, [outcome] = run_checks(opened, [dangling("invoices")], watch=watch)
    back[0].join()
    assert (outcome.status, outcome.count) == ("fail", 50), outcome.reason


def test_a_key_of_a_table_that_was_replaced_is_not_believed(shop):
    connection, url = shop
    connection.execute("delete from invoices where customer_id = 1000")
    connection.execute(
        "alter table invoices add constraint k foreign key (customer_id) "
        "references customers"
    )
    believed = audited(url, [dangling("invoices")], "select 1")["invoices"]
    assert believed.reason == "enforced by CONSTRAINT k"
    swapped = audited(
        url,
        [dangling("invoices")],
        "begin; alter table invoices rename to old; create table invoices "
        "(id int primary key, customer_id int); insert into invoices values (1, 99); "
        "commit",
    )["invoices"]
    assert (swapped.status, swapped.count) == ("fail", 1)


@pytest.mark.parametrize(
    "move",
    [
        "vacuum full invoices",
        "begin; create temp table t as table invoices; truncate invoices; "
        "insert into invoices table t; commit",
        SWAP.format(old="drop table invoices"),
    ],
)
@pytest.mark.parametrize("when", ["between the looks", "beside the second look"])
def test_no_second_look_at_another_table_drops_a_finding(shop, monkeypatch, move, when):
    _, url = shop
    left = [1]

    def run_it():
        if left[0]:
            left[0] -= 1
            with contextlib.closing(second_connection(url)) as other:
                other.execute(move)

    real = auditor.Auditor._confirm

    def confirm(self, connection, run):
        if when == "between the looks":
            run_it()
        real(self, connection, run)

    monkeypatch.setattr(auditor.Auditor, "_confirm", confirm)
    looks = []

    def watch(what):
        if what == "invoices_dangling":
            looks.append(what)
            if len(looks) == 2 and when == "beside the second look":
                run_it()

    with contextlib.closing(connect(url, name="tests", read_only=True)) as opened:
        _, [outcome] = run_checks(
            opened, [dangling("invoices")], Options(confirm_after=0.01), watch=watch
        )
    assert (outcome.status, outcome.count, left) == ("fail", 50, [0])


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("locked", ["invoices", "customers", "parts_2", "heirs_1", "parts"])
def test_a_locked_table_costs_its_own_checks_and_is_named(shop, locked, jobs):
    connection, url = shop
    tables = ["invoices", "parts", "heirs"]
    connection.execute("create table alone (id int primary key, customer_id int)")
    connection.execute("create table clients (id int primary key)")
    connection.execute("insert into clients values (1); insert into alone values (1, 9)")
    free = Check(
        "tests.alone_dangling",
        severity=Severity.ERROR,
        table="alone",
        key=("id",),
        message="found",
        reference=Reference("customer_id", "clients", "id"),
    )
    with contextlib.closing(second_connection(url)) as other, other.transaction():
        pid = other.info.backend_pid
        other.execute(f"lock table only {locked} in access exclusive mode")
        found = audited(url, [*map(dangling, tables), free], "select 1", jobs=jobs)
    assert (found["alone"].status, found["alone"].count) == ("fail", 1)
    hit = tables if locked == "customers" else [locked.partition("_")[0]]
    for table in tables:
        if table in hit:
            assert found[table].status == "incomplete"
            assert f" is locked: pid {pid}, " in str(found[table].reason)
        else:
            assert (found[table].status, found[table].count) == ("fail", 50)


@pytest.mark.parametrize("locked", ["sexton.alembic_version", "chat_providers", "chats"])
def test_the_product_is_looked_at_beside_a_lock_on_any_of_its_tables(sexton, url, locked):
    with contextlib.closing(second_connection(url)) as other, other.transaction():
        other.execute(f"lock table {locked} in access exclusive mode")
        document = sexton("audit", "--format", "json").json
    states = {check["check"]: check["status"] for check in document["checks"]}
    assert "incomplete" in states.values()
    assert "pass" in states.values()
