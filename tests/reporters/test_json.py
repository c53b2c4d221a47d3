"""Documents as JSON: times in UTC, ids as text, and nothing that has no place there."""

import datetime
import json
import uuid

import pytest

from sexton.reporters import json as reporter


def test_times_and_ids_become_text():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    said = reporter.render({"at": at, "id": uuid.UUID(int=1), "name": "ä"})
    assert json.loads(said) == {
        "at": "2026-01-02T01:04:05Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "name": "ä",
    }
    assert "ä" in said


def test_what_has_no_place_is_an_error():
    with pytest.raises(TypeError, match="set has no place in a document"):
        reporter.render({"x": set()})
