"""The revisions by two outside judges: pytest-alembic's own tests, and squawk."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from pytest_alembic import tests as built_in
from pytest_alembic.config import Config
from pytest_alembic.runner import runner

from sexton.ddl.engine import engine
from sexton.ddl.row_changes import text_of
from sexton.ddl.steps import Step
from sexton.upgrade.run import config, revisions


@pytest.fixture
def alembic(database):
    """pytest-alembic's runner, on an empty database."""
    made = engine(database("empty"), "tests")
    with runner(config=Config(alembic_config=config()), engine=made) as context:
        yield context
    made.dispose()


@pytest.mark.parametrize("name", built_in.__all__)
def test_what_pytest_alembic_asks_of_revisions_holds(alembic, name):
    getattr(built_in, name)(alembic)


# What squawk may say of a revision, and why it may stand.
EXCUSED = {
    # The runner sets both for every step, with SET LOCAL (sexton.ddl.waiting).
    "require-lock-timeout": set(revisions()),
    "require-statement-timeout": set(revisions()),
    # A step is asked for its result before it is sent, and is all or nothing.
    "prefer-robust-stmts": {"0001", "0002", "0003", "0004"},
    # The baseline's tables are new, so nobody reads or writes them yet; its types are
    # the real product's.
    "require-concurrent-index-creation": {"0001"},
    "prefer-identity": {"0001"},
    "prefer-bigint-over-int": {"0001"},
    # Going below the baseline drops its tables, and is refused while there are rows.
    "ban-drop-type": {"0001"},
    # What a downgrade remembered is Sexton's own, and used up; 0001's tables are empty.
    "ban-drop-table": {"0001", "0002", "0003", "0004"},
    # Going below 0002 is refused while tombstones would be lost.
    "ban-drop-column": {"0002"},
    # Nobody names an index in a query.
    "renaming-object": {"0003"},
}


@pytest.mark.parametrize("number", revisions())
def test_squawk_warns_of_nothing_that_is_not_explained(number, tmp_path):
    module = ScriptDirectory.from_config(config()).get_revision(number).module
    file = tmp_path / f"{number}.sql"
    file.write_text(
        "".join(
            f"{text_of(statement).strip()};\n"
            for step in map(Step.of, [*module.UPGRADE, *module.DOWNGRADE])
            for statement in [*step.unless_sql, *step.sql]
        )
    )
    squawk = shutil.which("squawk", path=str(Path(sys.executable).parent))
    assert squawk, "install it with the extra `test`"
    done = subprocess.run(
        [squawk, "--pg-version", "14", "--reporter", "json", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = {warning["rule_name"] for warning in json.loads(done.stdout or "[]")}
    excused = {rule for rule, numbers in EXCUSED.items() if number in numbers}
    assert said <= excused, (
        f"correct {module.__file__}, or say in EXCUSED of {__file__} why it may stand: "
        f"{', '.join(sorted(said - excused))}"
    )
