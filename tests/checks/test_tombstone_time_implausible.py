import pytest

from tests.support.tools import add_model, assert_clean, assert_finds

NAME = "tombstone_time_implausible"
TIMES = {"created_at": "2026-01-01", "updated_at": "2026-03-01"}


def test_between_creation_and_last_update_is_fine(connection):
    for deleted_at in ("2026-01-01", "2026-02-01", "2026-03-01"):
        add_model(connection, "openai", deleted=True, deleted_at=deleted_at, **TIMES)
    assert_clean(connection, NAME)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({**TIMES, "deleted_at": "2025-12-31"}, "is before its creation"),
        ({**TIMES, "deleted_at": "2026-03-02"}, "is after its last update"),
        (
            {**TIMES, "deleted_at": "2100-01-01", "updated_at": "2100-01-01"},
            "is in the future",
        ),
        ({**TIMES, "deleted_at": "-infinity"}, "is before its creation"),
    ],
)
def test_a_time_that_cannot_be_true(connection, times, says):
    model = add_model(connection, "openai", deleted=True, **times)
    assert_finds(connection, NAME, model, says=says)
