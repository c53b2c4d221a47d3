"""Checks are named by name or pattern, each once."""

import pytest

from sexton.audit.selection import select_checks
from sexton.errors import UsageError


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="there is no check 'x'"):
        select_checks(["default_missing", "x"])


def test_a_name_given_twice_is_looked_at_once():
    assert len(select_checks(["default_missing", "default_missing"])) == 1
