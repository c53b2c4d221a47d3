"""A plan is for one database, one revision and one day."""

import contextlib
import datetime

import pytest

from sexton.errors import Refused
from sexton.repair.apply import apply_plan
from sexton.repair.planfile import read_plan
from tests.support.project import HEAD
from tests.support.repairs import incident, planned, saved, whole
from tests.support.tools import second_connection


def test_a_plan_for_another_database_is_refused(connection, database, path):
    incident(connection)
    saved(connection, path)
    with contextlib.closing(second_connection(database("head"))) as elsewhere:
        incident(elsewhere)
        with pytest.raises(Refused, match="made for the database"):
            apply_plan(elsewhere, read_plan(path))


def test_an_expired_plan_is_refused(connection):
    incident(connection)
    before = whole(connection)
    plan = planned(connection)
    object.__setattr__(plan, "expires_at", datetime.datetime.now(datetime.UTC))
    with pytest.raises(Refused, match="expired"):
        apply_plan(connection, plan)
    assert whole(connection) == before


def test_a_plan_of_another_revision_is_refused(connection):
    incident(connection)
    plan = planned(connection)
    connection.execute("update sexton.alembic_version set version_num = '0003'")
    with pytest.raises(Refused, match=f"made at revision {HEAD}, .* is at 0003"):
        apply_plan(connection, plan)
