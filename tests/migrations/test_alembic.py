"""The tests that pytest-alembic ships, on our revisions."""

import pytest
from pytest_alembic.config import Config
from pytest_alembic.runner import runner
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)

from toolkit import upgrade
from toolkit.engine import engine

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_runner(database):
    made = Config(alembic_config=upgrade.config())
    with runner(config=made, engine=engine(database("empty"), "tests")) as context:
        yield context
