"""The worked example in the docs does what it says."""

import os
import subprocess
import sys

import pytest

from sexton import journal
from tests.support.project import ROOT
from tests.support.repairs import incident, whole
from tests.support.tools import add_model, table

SCRIPT = ROOT / "docs" / "incident.py"


@pytest.fixture
def script(url, tmp_path):
    def run(*arguments):
        path = {"PYTHONPATH": str(ROOT), "DATABASE_URL": url}
        return subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **path},
        )

    return run


def test_it_says_what_it_would_do_and_does_it(script, connection):
    heir, orphan, _ = incident(connection)
    before = whole(connection)
    result = script()
    assert (result.returncode, result.stderr) == (1, "")
    assert "2 rows would change; the plan is in incident-plan.json" in result.stdout
    assert whole(connection) == before
    result = script("--yes", "--actor", "ann")
    assert (result.returncode, result.stderr) == (0, "")
    assert "2 rows changed in run 1" in result.stdout
    models = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert models[heir]["is_default"]
    assert models[orphan]["deleted"]
    assert journal.get_run(connection, 1)["actor"] == "ann"
    assert script().returncode == 0


def test_it_undoes_what_did_not_help(script, connection):
    add_model(connection, "openai", is_default=True)
    connection.execute(
        "insert into chat_providers (provider, enabled) values ('anthropic', false)"
    )
    before = whole(connection)
    result = script("--yes")
    assert (result.returncode, result.stderr) == (1, "")
    assert "undone in run 2" in result.stdout
    assert whole(connection) == before


def test_it_stops_at_more_rows_than_the_report_speaks_of(script, connection):
    incident(connection)
    for number in range(60):
        add_model(connection, "openai", f"model {number}")
    before = whole(connection)
    result = script("--yes")
    assert result.returncode == 5
    assert "and 50 is the limit" in result.stderr
    assert whole(connection) == before
