"""A process is told from a later one of the same number."""

import json
import subprocess

from sexton.embedded import Server


def test_a_process_of_the_same_number_is_not_the_server(ready):
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        with Server(ready):
            pass
        state = {"pid": sleeper.pid, "started": "1", "sockets": None}
        (ready / "server.json").write_text(json.dumps(state))
        server = Server(ready)
        assert server.pid is None
        server.stop()
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
