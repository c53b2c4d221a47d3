"""Another session beside a guarded database."""

import contextlib

import pytest

from tests.support.tools import second_connection


@pytest.fixture
def other(guarded_url):
    with contextlib.closing(second_connection(guarded_url)) as opened:
        yield opened
