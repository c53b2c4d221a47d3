"""A real Dask cluster of several processes, of which one is killed in the middle."""

import os
import signal
import threading
import time

import pytest

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
