"""What the shell completes, and that a TAB never prints an error."""

import os
import subprocess
import sys

from tests.support.tools import add_provider


def completed(line, **environment):
    """What bash would be offered for a command line."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "sexton"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            **environment,
            "_SEXTON_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert done.stderr == ""
    return [entry.partition(",")[2] for entry in done.stdout.split()]


def test_checks_are_completed():
    assert completed("sexton audit default_m") == ["default_missing"]
    assert completed("sexton explain default_m") == ["default_missing"]
    assert completed("sexton repair default_m") == ["default_missing"]


def test_providers_and_runs_are_completed(connection, url, sexton):
    add_provider(connection, "openai")
    assert completed("sexton provider delete op", DATABASE_URL=url) == ["openai"]
    assert completed("sexton undo ", DATABASE_URL=url) == []
    assert sexton("provider", "disable", "openai").code == 0
    assert completed("sexton undo ", DATABASE_URL=url) == ["1"]


def test_without_a_database_nothing_is_completed(tmp_path):
    for address in ("host=127.0.0.1 port=1", f"embedded:{tmp_path}/db", "nonsense"):
        assert completed("sexton provider delete ", DATABASE_URL=address) == []
    assert os.listdir(tmp_path) == []
