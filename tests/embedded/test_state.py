"""What is noted of a server is believed only where it can be true."""

import pytest

from sexton.embedded import Server
from tests.support.embedded import answer


@pytest.mark.parametrize(
    "said", ["", "garbled", "[]", '{"pid": "x"}', '{"pid": 1}', '{"pid": 99999999}']
)
def test_a_garbled_state_is_no_server(ready, said):
    with Server(ready):
        pass
    (ready / "server.json").write_text(said)
    with Server(ready) as server:
        assert answer(server)
