"""Runs: one record for every target, waves that stop, servers that are spared."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from sexton.fleet import run
from sexton.fleet.executors import executor
from sexton.fleet.inventory import Target, Wave
from sexton.fleet.run import run_fleet
from tests.support import fleets


def targets(*names, service="s"):
    return [Target(name=name, service=service) for name in names]


def go(waves, work, **how):
    with ThreadPoolExecutor(8) as pool:
        return list(run_fleet(waves, work, pool, **how))


def statuses(records):
    return {record["target"]: record["status"] for record in records}


def test_every_target_has_one_record():
    wave = Wave(name="all", max_failures=99)
    records = go([(wave, targets("clean-1", "findings-1", "raise-1"))], fleets.by_name)
    assert statuses(records) == {
        "clean-1": "clean",
        "findings-1": "findings",
        "raise-1": "incomplete",
    }
    [broken] = [r for r in records if r["status"] == "incomplete"]
    assert "RuntimeError" in broken["reason"]
    assert "pa55" not in broken["reason"]


def test_a_wave_that_fails_stops_the_next_ones():
    waves = [
        (Wave(name="canary", max_failures=0), targets("raise-1", "clean-1")),
        (Wave(name="rest"), targets("clean-2", "clean-3")),
    ]
    records = {r["target"]: r for r in go(waves, fleets.by_name)}
    assert len(records) == 4
    assert records["clean-2"]["status"] == "incomplete"
    assert "not begun: the wave canary had 1 failures" in records["clean-2"]["reason"]


def test_a_failure_in_a_wave_stops_its_own_rest():
    names = ["raise-0", *(f"clean-{n}" for n in range(20))]
    wave = Wave(name="w", parallel=1, max_failures=0)
    records = go([(wave, targets(*names))], fleets.by_name)
    counted = Counter(record["status"] for record in records)
    assert len(records) == 21
    assert counted["clean"] == 0


def test_failures_that_are_allowed_stop_nothing():
    waves = [
        (Wave(name="canary", max_failures=1), targets("raise-1")),
        (Wave(name="rest"), targets("clean-2")),
    ]
    assert statuses(go(waves, fleets.by_name))["clean-2"] == "clean"


def test_the_soak_looks_again_and_stops_what_comes_after():
    looked = []

    def broken(target):
        looked.append(target.name)
        return {"status": "findings", "code": 1, "reason": "drift"}

    waves = [
        (Wave(name="canary", soak="10ms"), targets("clean-1")),
        (Wave(name="rest"), targets("clean-2")),
    ]
    said = []
    records = go(waves, fleets.by_name, soaked=broken, watch=said.append)
    assert looked == ["clean-1"]
    assert statuses(records) == {"clean-1": "clean", "clean-2": "incomplete"}
    assert "clean-1 after the soak: drift" in said


def test_a_server_has_never_more_than_its_share():
    watching = fleets.Watching()
    many = [Target(name=f"{s}{n}", service=s) for n in range(10) for s in ("x", "y")]
    go([(Wave(name="w", parallel=8), many)], watching, per_server=2)
    assert watching.most == {"x": 2, "y": 2}


def test_who_does_not_answer_is_incomplete_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(run, "GRACE", 0.1)
    mixed = targets("late", *(f"t{n}" for n in range(5)))
    asked = threading.Event()

    def work(target):
        if target.name == "late":
            asked.wait(60)
        return {"status": "clean", "code": 0}

    with executor("threads", 2, 1) as (pool, _):
        wave = Wave(name="w", max_failures=9, parallel=2)
        records = list(run_fleet([(wave, mixed)], work, pool, limit=0.2))
        asked.set()  # the records are there while the late one still works
    assert statuses(records)["late"] == "incomplete"
    assert Counter(statuses(records).values())["clean"] == 5


def test_what_was_finished_is_not_done_again():
    done = {"clean-1": {"target": "clean-1", "status": "applied", "code": 0}}
    wave = Wave(name="w")
    records = go([(wave, targets("clean-1", "clean-2"))], fleets.by_name, finished=done)
    assert statuses(records) == {"clean-1": "applied", "clean-2": "clean"}
