"""`sexton upgrade` and its kin as their users type them."""

import pytest

from tests.support.project import HEAD


def test_nothing_to_do_is_said(sexton):
    result = sexton("upgrade")
    assert (result.code, result.stdout) == (0, f"at {HEAD} already: nothing to do\n")
    assert sexton("upgrade", "--plan").code == 0


@pytest.mark.parametrize("time", ["0", "-1s", "soon", "1 day"])
def test_a_time_that_is_none_is_wrong_usage(sexton, time):
    assert sexton("upgrade", "--max-stall", time).code == 2


def test_a_newer_revision_is_said_and_never_guessed(sexton, connection):
    connection.execute("update sexton.alembic_version set version_num = '0099'")
    for command in ("upgrade", "adopt"):
        result = sexton(command)
        assert result.code == 4
        assert "'0099', which this Sexton does not know" in result.stdout + result.stderr
