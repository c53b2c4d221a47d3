"""An address that is none is one unreachable target."""

import pytest

from tests.support.fleets import documented, inventory


@pytest.fixture
def fleet(sexton):
    def run(*arguments):
        return sexton("fleet", *arguments, database=False)

    return run


def test_a_malformed_address_is_one_unreachable_target(fleet, database, tmp_path):
    urls = {"bad": "postgresql;//bob:pa55word@h/d", "good": database()}
    result = fleet("status", "--inventory", inventory(tmp_path, urls), "--format", "json")
    assert result.code == 3
    assert "pa55word" not in result.stdout + result.stderr
    statuses = {r["target"]: r["status"] for r in documented(result)["targets"]}
    assert statuses == {"bad": "unreachable", "good": "clean"}
