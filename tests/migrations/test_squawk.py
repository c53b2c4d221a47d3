"""Every revision's SQL through squawk, a linter for migrations; each warning explained."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from toolkit import upgrade

SCRIPT = ScriptDirectory.from_config(upgrade.config())
SQUAWK = Path(sys.executable).with_name("squawk")

# What squawk warns of, and why it stands. All locks are taken with a timeout that the
# statements do not show: migrations/steps.py sets it.
EXPLAINED = {
    "0001 up": {
        # The tables are new: nobody reads them, nobody waits.
        "prefer-robust-stmts",
        "require-concurrent-index-creation",
        # The product's columns are a bigserial and an integer, and so are ours.
        "prefer-bigint-over-int",
        "prefer-identity",
    },
    "0001 down": {
        "prefer-robust-stmts",  # the step looks first whether the tables are there
        *("ban-drop-table", "ban-drop-type"),  # refused unless they are empty
    },
    "0002 up": set(),
    "0002 down": {
        "prefer-robust-stmts",
        "ban-drop-column",  # refused while there is anything in them to lose
    },
    "0003 up": {
        "prefer-robust-stmts",  # each step looks first whether it is done
        "renaming-object",  # an index, to the name it had before
        "ban-drop-table",  # sexton.former_defaults, our own note
    },
    "0003 down": {"prefer-robust-stmts", "renaming-object"},
    "0004 up": {
        "prefer-robust-stmts",
        "ban-drop-table",  # sexton.provider_stubs, our own note
    },
    "0004 down": {"prefer-robust-stmts"},
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_warning_is_explained(name, tmp_path):
    number, direction = name.split()
    module = SCRIPT.get_revision(number).module
    steps = module.UPGRADE if direction == "up" else module.DOWNGRADE
    file = tmp_path / f"{number}_{direction}.sql"
    file.write_text("".join(f"{sql.strip()};\n" for step in steps for sql in step["sql"]))
    said = subprocess.run(
        [
            *(SQUAWK, "--reporter", "json", "--pg-version", "13.0"),
            *("--exclude", "require-timeout-settings"),
            file,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    rules = {warning["rule_name"] for warning in json.loads(said.stdout)}
    assert rules - EXPLAINED[name] == set(), said.stdout
    assert EXPLAINED[name] - rules == set(), "these explanations are no longer needed"


def test_every_revision_is_linted():
    numbers = {name.split()[0] for name in EXPLAINED}
    assert numbers == {revision.revision for revision in SCRIPT.walk_revisions()}
