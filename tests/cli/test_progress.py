"""How far an audit is: a bar, or a line now and then."""

import os
import pty
import subprocess
import time

import pytest

from tests.support.audits import start


@pytest.mark.usefixtures("clean")
def test_a_terminal_sees_a_bar_and_a_pipe_does_not(url, slow):
    for terminal in (True, False):
        reader, writer = pty.openpty()
        process = start(
            *(url, "slow", "--checks", slow, "--statement-timeout", "1.5"),
            stderr=writer if terminal else subprocess.PIPE,
        )
        os.close(writer)
        out, err = process.communicate(timeout=60)
        if terminal:
            err = os.read(reader, 100_000).decode()
        os.close(reader)
        assert process.returncode == 3
        assert out.splitlines()[1].startswith("INCOMPLETE")
        assert ("1 checks" in err) == terminal


def test_now_and_then_a_line_where_there_is_no_terminal(capfd):
    from sexton.cli.progress import Progress

    with Progress(3, every=0.01) as progress:
        progress.watch("default_missing")
        while not (said := capfd.readouterr().err):
            time.sleep(0.001)
    assert said.startswith("sexton: 0 of 3 checks done after 0 s; now default_missing")
