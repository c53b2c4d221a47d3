"""A server for rehearsals, which several share."""

import pytest

from sexton.rehearse.place import place


@pytest.fixture(scope="module")
def server():
    with place() as made:
        yield made
