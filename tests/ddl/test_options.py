"""What is chosen where nobody chooses: nobody is ended, and nobody waits for long."""

import pytest

from sexton.cli import sexton as group
from sexton.ddl.options import Options


@pytest.mark.parametrize("command", ["upgrade", "downgrade"])
def test_the_defaults_are_those_of_the_commands(command):
    options = group.commands[command].make_context(command, ["0001"]).params
    chosen = Options()
    assert options["max_stall"] == chosen.max_stall
    assert options["deadline"] == chosen.deadline
    assert options["terminate_idle_older_than"] is None
    assert (chosen.terminate_idle_older_than, chosen.choices) == (None, frozenset())


def test_who_says_nothing_hears_nothing(capsys):
    Options().say("waiting")
    assert capsys.readouterr() == ("", "")
