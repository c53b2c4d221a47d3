"""A fault in a team's own code is theirs, and its place is said."""

import pytest


def test_a_revision_that_raises_is_said_with_its_line(shop):
    made, sexton, connection = shop
    made.add(
        "0001", None, "op.execute('create table made (i int)')\nraise OSError('no disk')"
    )
    result = sexton("upgrade")
    assert result.code == 3
    place = made.versions / "0001.py"
    assert f"{place}, line 12: OSError: no disk\n" in result.stderr
    assert "next: correct the revision, then run the same command again" in result.stderr
    made.add("0001", None, "op.execute('create table made (i int)')")
    assert sexton("upgrade").code == 0
    assert connection.execute("select * from made").fetchall() == []


@pytest.mark.parametrize(
    ("lines", "below", "said"),
    [
        ("pass", "0000", "one follows '0000', which is not there"),
        ("for", None, "SyntaxError: invalid syntax (0001.py, line 11)"),
    ],
)
def test_revisions_that_cannot_be_read_are_said_in_a_sentence(shop, lines, below, said):
    made, sexton, _ = shop
    made.add("0001", below, lines)
    for command in ("upgrade", "status"):
        result = sexton(command)
        assert result.code == 2
        message = f"sexton: the revisions of {made.folder / 'db'} cannot be read: {said}\n"
        assert message in result.stderr
        assert "Warning" not in result.stderr


def test_an_env_that_does_not_run_is_said(shop):
    made, sexton, _ = shop
    made.env.write_text("raise OSError('no disk')")
    result = sexton("upgrade", "--plan")
    assert result.code == 2
    assert f"{made.env} does not run: OSError: no disk\n" in result.stderr


def test_the_revision_before_is_named_as_alembic_names_it(shop):
    made, sexton, _ = shop
    made.add("0001", None, "pass")
    made.add("0002", "0001", "pass")
    assert sexton("upgrade").code == 0
    assert "reverted 0002\n" in sexton("downgrade", "-1").stdout
