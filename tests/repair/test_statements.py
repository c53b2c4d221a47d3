"""How many statements applying and undoing one row send: each is a trip to the server."""

import psycopg
import pytest

from sexton.repair.apply import apply_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import incident, planned


@pytest.fixture
def sent(monkeypatch):
    """The statements that were sent, but for BEGIN, COMMIT and savepoints."""
    found = []
    real = psycopg.Cursor.execute

    def execute(self, query, *args, **options):
        found.append(query)
        return real(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute)
    return found


def test_apply_and_undo_of_one_row(connection, sent):
    incident(connection)
    plan = planned(connection, "tombstone_half_set")
    sent.clear()
    assert apply_plan(connection, plan).rows == 1
    assert len(sent) <= 31, len(sent)
    sent.clear()
    assert undo_run(connection, 1).rows == 1
    assert len(sent) <= 38, len(sent)
