"""A key enforces a reference, or part of it, or nothing."""

import pytest

from tests.support.references import check, known_facts

KEY = "alter table child add constraint k foreign key (ref) references parent"


def test_a_valid_key_enforces_the_reference(pair):
    pair.execute(KEY)
    assert known_facts(pair).constraint == "k"


def test_a_key_does_not_enforce_a_condition_on_the_parent(pair):
    pair.execute(KEY)
    assert known_facts(pair, check(counts="parent.live")).constraint is None


@pytest.mark.parametrize(
    "weakened",
    [f"{KEY} not valid", f"{KEY}; alter table child disable trigger all"],
)
def test_a_key_not_valid_or_switched_off_enforces_nothing(pair, weakened):
    pair.execute(weakened)
    assert known_facts(pair).constraint is None
