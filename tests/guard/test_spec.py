"""What is declared of a guard makes sense, or is refused."""

import pytest

from sexton.errors import UsageError
from sexton.guard.spec import GuardSpec


def spec(live: str = "not deleted", parent_live: str = "") -> GuardSpec:
    return GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live=live,
        parent_live=parent_live,
    )


def test_where_every_row_counts_a_plain_key_does():
    with pytest.raises(UsageError, match="a plain foreign key"):
        spec(live="")
