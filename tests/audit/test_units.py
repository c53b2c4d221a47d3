"""Checks share statements, and find what each finds alone."""

from sexton.audit import units
from sexton.project import all_checks
from tests.support.audits import by_check, run


def test_a_shared_scan_finds_what_each_check_finds_alone(broken, monkeypatch):
    options = {"sample": 1000, "confirm_after": 0, "recheck": True}
    alone = run(broken, *all_checks(), **options)
    monkeypatch.setattr(units, "LARGE", 0)
    shared = run(broken, *all_checks(), **options)
    assert by_check(shared) == by_check(alone)
    together = {name for name, o in shared.items() if o.strategy == "shared scan"}
    assert {
        "message_without_model",
        "priced_message_without_model",
        "message_after_deletion",
    } <= together
    assert all(alone[name].count for name in together if "message" in name)
