"""Checks are named by name or pattern, each once."""

import pytest

from sexton.audit.selection import select_checks
from sexton.errors import UsageError


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="there is no check 'x'"):
        select_checks(["default_missing", "x"])


def test_a_name_given_twice_is_looked_at_once():
    assert len(select_checks(["default_missing", "default_missing"])) == 1


def test_where_all_are_skipped_that_is_said():
    with pytest.raises(UsageError, match="every check is skipped"):
        select_checks([], skip=["*"])


def test_folders_without_a_check_are_not_a_project_without_one():
    with pytest.raises(UsageError, match="there is no check to run"):
        select_checks([], {})
