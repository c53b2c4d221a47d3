"""A real Dask cluster of several processes, of which one is killed in the middle."""

import os
import signal
import threading
import time

import pytest

from sexton.errors import UsageError
from sexton.fleet import executors
from sexton.fleet.executors import executor
from sexton.fleet.inventory import Target, Wave
from sexton.fleet.run import run_fleet
from tests.support import fleets


@pytest.fixture
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=3,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=50,
    ) as made:
        yield made


@pytest.mark.filterwarnings("ignore")  # distributed's own, of a worker that was killed
def test_every_target_is_reported_once_though_a_worker_is_killed(cluster):
    where = cluster.scheduler_address.removeprefix("tcp://")
    names = [f"t{n}" for n in range(120)]
    many = [Target(name=name, service="s") for name in names]
    killed = []

    def kill(pid):
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    with executor(f"dask://{where}", 8, 60) as (pool, leaves):
        assert leaves
        records = run_fleet([(Wave(name="w", parallel=24), many)], fleets.slow, pool)
        found = [next(records)]
        killer = threading.Thread(target=kill, args=(found[0]["pid"],))
        killer.start()
        found += records
        killer.join()
    assert sorted(record["target"] for record in found) == sorted(names)
    assert {record["status"] for record in found} == {"clean"}
    assert killed
    assert len({record["pid"] for record in found}) >= 3


def targets(*names, service="s"):
    return [Target(name=name, service=service) for name in names]


def test_a_fresh_process_for_each_target():
    with executor("processes", 2, 30) as (pool, leaves):
        assert not leaves
        names = targets("a", "b", "c")
        records = list(run_fleet([(Wave(name="w"), names)], fleets.slow, pool))
    assert len({record["pid"] for record in records}) == 3


def test_a_process_that_dies_is_tried_again_and_then_told(tmp_path):
    with executor("processes", 2, 30) as (pool, _):
        once = Target(name="once", service=str(tmp_path / "marker"))
        wave = Wave(name="w", max_failures=9)
        [record] = run_fleet([(wave, [once])], fleets.dies_once, pool)
        assert record["status"] == "clean"
        [record] = run_fleet([(wave, targets("always"))], fleets.dies, pool)
    assert record["status"] == "incomplete"
    assert "ended 2 times without an answer" in record["reason"]


def test_a_process_that_is_too_late_is_ended():
    with executor("processes", 1, 1.5) as (pool, _):
        wave = Wave(name="w", max_failures=9)
        [record] = run_fleet([(wave, targets("x"))], fleets.endless, pool)
    assert record["status"] == "incomplete"
    assert "no answer within 1.5 s" in record["reason"]


@pytest.mark.parametrize("name", ["thread", "dask://127.0.0.1:1"])
def test_an_executor_that_is_not_there_is_a_usage_error(name, monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(UsageError, match=r"no executor|no Dask scheduler answers"),
        executor(name, 1, 1),
    ):
        pass


@pytest.mark.parametrize("place", ["u:pa55@h:1", "", ":1", "h:port", "[::1", "a b:1"])
def test_an_address_that_is_none_is_not_repeated(place):
    with (
        pytest.raises(UsageError, match="the executor's address is not HOST:PORT"),
        executor(f"dask://{place}", 1, 1),
    ):
        pass
