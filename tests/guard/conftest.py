"""Another session beside a guarded database."""

import contextlib

import pytest

from sexton.database import connect
from tests.support.tools import second_connection
from tests.support.worlds_of_guards import CUSTOMERS


@pytest.fixture
def other(guarded_url):
    with contextlib.closing(second_connection(guarded_url)) as opened:
        yield opened


@pytest.fixture
def shop(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as opened:
        opened.execute(
            CUSTOMERS
            + """
            alter table invoices add sent_at timestamptz, add day date,
                add twice text generated always as (state || state) stored;
            create view open_invoices as select * from invoices;
            create function evil() returns boolean immutable language plpgsql as
                $$begin raise exception 'evil'; end$$;
            """
        )
        yield opened
