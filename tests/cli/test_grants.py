"""`sexton grants`: SQL for psql, in which everything else is a comment."""

from sexton.cli.grants import script
from sexton.grants import Grants


def test_names_and_notes_stay_comments():
    made = Grants("auditor", "x\ndrop table chats;", "d", [], notes=["a\nb"])
    assert all(line.startswith("--") for line in script(made).splitlines())


def test_the_text_is_statements_with_their_reasons(sexton):
    lines = sexton("grants", "auditor", "--to", "postgres").stdout.splitlines()
    statements = [line for line in lines if not line.startswith("--")]
    assert statements
    assert all(line.startswith("grant ") and line.endswith(";") for line in statements)


def test_nobody_is_no_role(sexton):
    result = sexton("grants", "auditor", "--to", "")
    assert (result.code, "--to names no role" in result.stderr) == (2, True)
