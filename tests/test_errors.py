"""Each error has its exit code, a sentence, and the next thing to type."""

import pytest

from sexton import errors
from sexton.errors import SextonError


def classes(of=SextonError):
    for found in of.__subclasses__():
        if found.__module__ == "sexton.errors":
            yield from (found, *classes(found))


CODES = {errors.FINDINGS, errors.USAGE, errors.INCOMPLETE, errors.NO_CONNECTION}
CODES |= {errors.REFUSED, errors.BUSY, errors.BUG}


@pytest.mark.parametrize("kind", [*classes()], ids=lambda kind: kind.__name__)
def test_a_class_is_its_sentence_and_one_of_the_codes(kind):
    error = kind("something else") if kind is errors.Unexpected else kind()
    assert error.code in CODES
    assert error.message
    assert str(error) == error.message
    if kind is not errors.Unexpected:
        assert error.message == kind.__doc__


def test_what_is_said_of_one_says_nothing_of_the_next():
    one = errors.NotFound("no such thing", hint="look again", status=410, upstream="Gone.")
    assert (one.message, one.hint, one.status, one.upstream) == (
        *("no such thing", "look again", 410, "Gone."),
    )
    other = errors.NotFound()
    assert (other.hint, other.status, other.upstream) == (None, 404, None)


@pytest.mark.parametrize("kind", [*classes()], ids=lambda kind: kind.__name__)
def test_only_who_raises_one_knows_what_was_changed(kind):
    assert "changed" not in str(kind.hint)
