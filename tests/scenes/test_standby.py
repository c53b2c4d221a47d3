"""Looking at a hot standby: a copied data directory with standby.signal."""

import contextlib
import os
import shutil
import time

import pytest

from sexton.audit.auditor import run_checks
from sexton.audit.outcome import Options
from sexton.check import Check, Reference, Severity
from sexton.cli import run
from sexton.database import connect, scalar
from sexton.embedded import Server
from sexton.project import all_checks
from sexton.upgrade.run import upgrade
from tests.support.tools import add_chat, add_model, add_provider


@pytest.fixture(scope="module")
def standby(tmp_path_factory):
    """A standby's connection string; it replays what its primary left it."""
    directory = tmp_path_factory.mktemp("standby")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o711)
    primary = Server(directory / "primary")
    with primary:
        upgrade_to_head(primary.url())
        with contextlib.closing(connect(primary.url(), name="tests")) as connection:
            add_provider(connection, "openai", api_key="sk-made-up")
            model = add_model(connection, "openai", is_default=True)
            add_chat(connection, model)
            add_model(connection, "azure")
    with copy_of(primary, directory / "copy") as copy:
        with contextlib.closing(connect(copy.url(), name="tests")) as connection:
            assert scalar(connection, "select pg_is_in_recovery()")
        yield copy.url()


def copy_of(primary, directory, **settings):
    """A standby of a server that is stopped."""
    copy = Server(directory, settings=settings)
    shutil.copytree(primary.directory, copy.directory, copy_function=_copy)
    (copy.data / "standby.signal").touch()
    if copy._account:
        for path in (copy.data, *copy.data.rglob("*")):
            os.chown(path, copy._account.pw_uid, copy._account.pw_gid)
    return copy


def _copy(source, target):
    # The first file of a directory says that it is an embedded server's.
    others = ("postmaster.pid", ".s.PGSQL.5432", "users.lock", ".json")
    if not source.endswith((*others, ".5432.lock")):
        shutil.copy2(source, target)


def upgrade_to_head(url):
    with contextlib.closing(connect(url, name="tests")) as connection:
        upgrade(connection, "head")


@pytest.mark.parametrize("jobs", [1, 3])
def test_all_checks_work_on_a_hot_standby(standby, jobs):
    with contextlib.closing(connect(standby, name="tests", read_only=True)) as connection:
        run_, outcomes = run_checks(
            connection,
            list(all_checks().values()),
            Options(jobs=jobs, confirm_after=0.05),
            connect=lambda: connect(standby, name="tests", read_only=True),
        )
    found = {o.check.name: o.count for o in outcomes if o.status == "fail"}
    assert found["model_without_provider"] == 1
    assert {o.status for o in outcomes} == {"pass", "fail", "skipped"}
    assert run_.snapshot


def test_the_command_does_so_too(standby, capfd):
    assert run(["audit", "--url", standby]) == 1
    out, err = capfd.readouterr()
    assert "model_without_provider" in out
    assert err == ""


def beside_the_location(err):
    """What was said on stderr but for where it is connected."""
    return [line for line in err.splitlines() if "sexton: connected to " not in line]


def test_a_repair_is_planned_there_and_not_made(standby, tmp_path, capfd):
    code = run(["repair", "model_without_provider", "--url", standby])
    out, err = capfd.readouterr()
    assert (code, beside_the_location(err)) == (1, [])
    assert "deleted: false -> true" in out
    code = run(["repair", "model_without_provider", "--apply", "--url", standby])
    out, err = capfd.readouterr()
    assert (code, out) == (5, "")
    assert "this server is a standby" in err


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["upgrade", "--plan"],
        ["provider", "delete", "openai", "--dry-run"],
        ["model", "list"],
        ["history"],
    ],
    ids=" ".join,
)
def test_what_only_looks_works_there(standby, command, capfd):
    assert run([*command, "--url", standby]) == 0
    assert beside_the_location(capfd.readouterr().err) == []


def test_what_writes_is_refused_there(standby, capfd):
    assert run(["provider", "delete", "openai", "--url", standby]) == 4
    assert "read-only" in capfd.readouterr().err


# -- beside a primary that vacuums -----------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    """The addresses of a primary and of a standby that never waits for its readers."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o711)
    primary = Server(tmp_path / "primary", settings={"autovacuum": "off"})
    with primary:
        upgrade_to_head(primary.url())
        with contextlib.closing(connect(primary.url(), name="tests")) as connection:
            add_provider(connection, "openai", api_key="sk-made-up")
            add_model(connection, "openai", is_default=True)
    standby = copy_of(
        primary,
        tmp_path / "standby",
        max_standby_streaming_delay="0",
        primary_conninfo=primary.url(),
    )
    with primary, standby:
        yield primary.url(), standby.url()


def remove_a_row(primary, standby):
    """Delete and vacuum on the primary, and wait until the standby has done so too."""
    with contextlib.closing(connect(primary, name="tests")) as connection:
        add_model(connection, "openai", "short-lived")
    run_on(
        *(primary, standby),
        "delete from chat_model_configs where model = 'short-lived'",
        "vacuum chat_model_configs",
    )


def run_on(primary, standby, *statements):
    """Run statements on the primary, and wait until the standby has replayed them."""
    with contextlib.closing(connect(primary, name="tests")) as connection:
        for statement in statements:
            connection.execute(statement)
        wanted = scalar(connection, "select pg_switch_wal()::text")
    query = "select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
    with contextlib.closing(connect(standby, name="tests")) as connection:
        limit = time.monotonic() + 60
        while not scalar(connection, query, wanted):
            assert time.monotonic() < limit
            time.sleep(0.02)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(("collisions", "status"), [(1, "pass"), (2, "incomplete")])
def test_an_audit_whose_snapshot_is_ended_begins_once_more(pair, jobs, collisions, status):
    primary, standby = pair
    ended = []

    def watch(what):
        # The last check to begin, so that the first look at the table is over.
        if what == "user_key_unusable" and len(ended) < collisions:
            ended.append(what)
            remove_a_row(primary, standby)

    def again():
        return connect(standby, name="tests", read_only=True)

    with contextlib.closing(again()) as connection:
        _, outcomes = run_checks(
            *(connection, list(all_checks().values()), Options(jobs=jobs)),
            connect=again,
            watch=watch,
        )
    assert len(ended) == collisions
    [last] = [o for o in outcomes if o.check.name == "user_key_unusable"]
    assert last.status == status
    if status == "pass":
        assert {o.status for o in outcomes} == {"pass", "skipped"}
    else:
        assert "hot_standby_feedback" in " ".join(str(o.reason) for o in outcomes)


@pytest.mark.parametrize(
    "move",
    [
        "alter table invoices alter customer_id type bigint",
        "vacuum full invoices",
        "begin; create table i2 as table invoices; drop table invoices; "
        "alter table i2 rename to invoices; commit",
    ],
)
def test_a_table_rewritten_on_the_primary_is_looked_at_again(pair, move):
    primary, standby = pair
    tables = """
        create table customers (id int primary key);
        insert into customers values (1);
        create table invoices (id int, customer_id int);
        insert into invoices values (1, 7);
    """
    run_on(primary, standby, tables)
    check = Check(
        "tests.invoices_dangling",
        severity=Severity.ERROR,
        table="invoices",
        key=("id",),
        message="found",
        reference=Reference("customer_id", "customers", "id"),
    )
    moved = []

    def watch(what):
        if isinstance(what, str) and not moved:
            moved.append(what)
            run_on(primary, standby, move)

    def opened():
        return connect(standby, name="tests", read_only=True)

    with contextlib.closing(opened()) as connection:
        _, [outcome] = run_checks(connection, [check], connect=opened, watch=watch)
    assert (outcome.status, outcome.count) == ("fail", 1), outcome.reason
