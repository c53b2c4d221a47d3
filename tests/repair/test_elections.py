"""A default is elected beside others who do the same: one wins, and nobody errs."""

import contextlib
import threading

import pytest

from sexton import database
from sexton.database import connect, scalar
from sexton.errors import Busy, Refused
from sexton.repair.apply import apply_plan
from tests.support.repairs import planned
from tests.support.tools import Cli, add_model, add_provider

TEAM = """
    create table addresses (
        id int primary key, customer_id int not null, is_default bool not null default false
    );
    insert into addresses values (1, 7, false), (2, 7, false), (3, 8, true);
"""
INDEX = "create unique index one on addresses (customer_id) where is_default"
FILE = """
project = "team"
[[default]]
table = "addresses"
flag = "is_default"
per = ["customer_id"]
required = true
"""
WAITING = (
    "select count(*) from pg_locks where not granted and mode = 'ShareRowExclusiveLock'"
)


def beside(connection, work):
    """Run `work` in a thread until it waits for the lock of an election."""
    raised = []

    def run():
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not scalar(connection, WAITING):
        assert thread.is_alive(), raised
    return thread, raised


@pytest.mark.parametrize("index", [INDEX, ""], ids=["with an index", "without"])
@pytest.mark.parametrize("saved", [False, True], ids=["--apply", "apply"])
def test_a_team_s_own_default(empty_url, empty, tmp_path, monkeypatch, capfd, index, saved):
    (tmp_path / "sexton.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    empty.execute(TEAM + index)
    sexton = Cli(empty_url, capfd)
    command = ["repair", "--apply"]
    if saved:
        assert sexton("repair", "--out", "plan.json").code == 1
        command = ["apply", "plan.json"]
    results = []
    with contextlib.closing(connect(empty_url, name="product")) as product:
        with product.transaction():
            product.execute("update addresses set is_default = true where id = 2")
            thread, raised = beside(empty, lambda: results.append(sexton(*command)))
        thread.join(60)
    assert not raised
    [result] = results
    assert result.code == 5, result.stderr
    assert "moved since the plan was made: addresses id=1" in result.stderr
    assert "duplicate key" not in result.stderr
    defaults = "select array_agg(id order by id) from addresses where is_default"
    assert scalar(empty, defaults) == [2, 3]


def test_the_product_s_promotion(connection, url):
    add_provider(connection, "anthropic", api_key="sk-made-up")
    add_model(connection, "anthropic", "a")
    other = add_model(connection, "anthropic", "b")
    plan = planned(connection, "default_missing")
    with (
        contextlib.closing(connect(url, name="product")) as product,
        contextlib.closing(connect(url, name="repair")) as repair,
    ):
        with product.transaction():
            product.execute(
                "update chat_model_configs set is_default = true where id = %s", (other,)
            )
            thread, raised = beside(connection, lambda: apply_plan(repair, plan))
        thread.join(60)
    [error] = raised
    assert isinstance(error, Refused)
    assert "moved since the plan was made" in error.message
    found = "select array_agg(id) from chat_model_configs where is_default"
    assert scalar(connection, found) == [other]


def test_a_promotion_that_does_not_end_is_busy(connection, url, monkeypatch):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "20ms")
    add_provider(connection, "anthropic", api_key="sk-made-up")
    add_model(connection, "anthropic", "a")
    plan = planned(connection, "default_missing")
    with (
        contextlib.closing(connect(url, name="product")) as product,
        product.transaction(),
    ):
        product.execute("update chat_model_configs set context_limit = 1")
        with pytest.raises(Busy, match="locks on its tables are held by"):
            apply_plan(connection, plan)


def test_an_heir_that_is_not_the_first_any_more_makes_the_plan_stale(connection):
    add_provider(connection, "anthropic", api_key="sk-made-up")
    add_model(connection, "anthropic", "b")
    plan = planned(connection, "default_missing")
    add_model(connection, "anthropic", "a")
    with pytest.raises(Refused, match="moved since the plan was made"):
        apply_plan(connection, plan)


def test_what_a_unique_index_of_others_forbids_is_no_raw_error(connection):
    add_provider(connection, "anthropic", api_key="sk-made-up")
    add_model(connection, "anthropic", "a")
    plan = planned(connection, "default_missing")
    connection.execute(
        "create unique index one on chat_model_configs (is_default) where is_default"
    )
    dead = {"deleted": True, "deleted_at": "2024-01-01", "is_default": True}
    add_model(connection, "anthropic", "z", **dead)
    with pytest.raises(Refused, match="another row has taken what the plan gives"):
        apply_plan(connection, plan)
