"""What is declared of a guard makes sense, or is refused."""

import pytest

from sexton.errors import UsageError
from sexton.guard.spec import GuardSpec, deferrability


def test_columns_pair_off():
    with pytest.raises(UsageError, match="has 2 and 1"):
        GuardSpec("invoices", ("a", "b"), "customers", ("id",))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None),
        (True, "deferred"),
        ("deferred", "deferred"),
        ("immediate", "immediate"),
        (False, "no"),
        ("no", "no"),
    ],
)
def test_when_the_key_is_checked(said, meant):
    assert deferrability(said) == meant


@pytest.mark.parametrize("said", ["DEFERRED", "", 1.5, 2, ["deferred"]])
def test_another_time_is_refused(said):
    with pytest.raises(ValueError, match="deferrable cannot be"):
        deferrability(said)
