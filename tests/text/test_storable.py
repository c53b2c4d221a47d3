"""What PostgreSQL's JSON does not take is known before it is sent."""

import json

import psycopg
import pytest

from sexton.text.storable import unstorable

TAKEN = ["null", "[1.5, true]", '{"a": "\\ud83d\\ude00"}', '"\\\\u0000"', "1e308"]
REFUSED = ['"\\u0000"', '["\\ud800"]', '{"\\u0000": 1}', '{"a": [NaN]}', "[-Infinity]"]


@pytest.mark.parametrize("text", [*TAKEN, *REFUSED])
def test_it_says_what_the_server_does(connection, text):
    value = json.loads(text)
    try:
        connection.execute("select %s::jsonb", (json.dumps(value),))
        taken = True
    except psycopg.DataError:
        taken = False
    assert taken == (text in TAKEN)
    assert (unstorable(value) is None) == taken


def test_a_number_that_has_become_infinite_is_none():
    assert unstorable(json.loads("[1e400]")) == "inf, which is no JSON number"
