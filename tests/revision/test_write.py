"""Changes as a revision, by the team's own template."""

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from sexton.errors import Incomplete, UsageError
from sexton.online.column_operations import AddSoftDelete
from sexton.revision.change import change
from sexton.revision.write import draft, write

TWO = [
    change(
        f"soften {name}",
        AddSoftDelete(name),
        f"note of {name}",
    )
    for name in ("a", "it's {odd} \\ %s")
]


def drafted(config, changes=TWO, message="soften it"):
    return draft(config, ScriptDirectory.from_config(config), changes, message)


def test_up_is_in_order_and_down_in_reverse(team, config):
    made = drafted(config)
    assert made.file.parent == team / "db" / "versions"
    assert made.file.name == f"{made.revision}_soften_it.py"
    assert not made.file.exists()
    upgrade, _, downgrade = made.text.partition("def downgrade")
    compile(made.text, "revision", "exec")
    odd = '"it\'s {odd} \\\\ %s"'
    up, down = (
        [line.strip() for line in part.splitlines() if "op." in line or "# note" in line]
        for part in (upgrade, downgrade)
    )
    assert up == [
        "# note of a",
        'op.add_soft_delete("a")',
        "# note of it's {odd} \\ %s",
        f"op.add_soft_delete({odd})",
    ]
    assert down == [f"op.drop_soft_delete({odd})", 'op.drop_soft_delete("a")']
    assert "import sexton.alembic" not in made.text, "env.py does that"
    script = ScriptDirectory.from_config(config)
    assert write(script, made) == made.text == made.file.read_text()
    after = drafted(config)
    assert f"Revises: {made.revision}\n" in after.text


def test_what_the_team_has_cannot_say_is_refused(team, config):
    template = team / "db" / "script.py.mako"
    text = template.read_text()
    for message in ('a """', "a \\"):
        with pytest.raises(UsageError, match="would break the docstring"):
            drafted(config, message=message)
    template.write_text(text.replace("downgrades", "others"))
    with pytest.raises(UsageError, match="does not use"):
        drafted(config)
    template.write_text("${upgrades} (")
    with pytest.raises(UsageError, match="would be no Python"):
        drafted(config)
    template.unlink()
    with pytest.raises(UsageError, match="cannot read"):
        drafted(config)


def test_a_hook_that_fails_leaves_the_file_and_says_so(team, config, capfd):
    with (team / "alembic.ini").open("a") as ini:
        ini.write(
            "[post_write_hooks]\nhooks = a, b\na.type = exec\na.executable = echo\n"
            "a.options = hooked\nb.type = nothing\n"
        )
    hooked = Config("alembic.ini")
    made = drafted(hooked)
    with pytest.raises(Incomplete, match="is written, but a hook"):
        write(ScriptDirectory.from_config(hooked), made)
    assert made.file.read_text() == made.text
    out, err = capfd.readouterr()
    assert (out, "hooked" in err) == ("", True)
