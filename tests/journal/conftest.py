"""A run on a table that has columns of all kinds."""

import pytest

from sexton import journal
from sexton.catalog.tables import read_tables
from sexton.database import settings
from sexton.journal.recorder import Recorder
from sexton.postgres.session import EXACT

ODD = """
    create table odd (
        id int primary key,
        "100% 'sure'" text default 'x',
        api_key text not null default '',
        base_url text not null default '',
        plain json,
        binary_json jsonb,
        span interval,
        place point,
        bytes bytea,
        amount numeric,
        at timestamptz,
        twice int generated always as (id * 2) stored
    );
"""


@pytest.fixture
def recorded(connection):
    """A recorder in a run on the table `odd`, which has columns of all kinds."""
    connection.execute(ODD)
    connection.execute(
        """
        insert into odd (id, api_key, base_url, plain, binary_json, span, amount, at, bytes)
        values
            (1, 'sk', 'https://me:secret@host', '{"a":  1, "a": 2}', 'null',
             '1 mon 2 days', 0.123456789012345678901234567890, 'infinity', '\\x00ff'),
            (2, '', 'https://host', null, null, null, null, '0044-03-15 BC', null)
        """
    )
    with connection.transaction(), settings(connection, EXACT):
        table = read_tables(connection, ["odd"])["odd"]
        yield Recorder(connection, journal.begin_run(connection, "test")), table
