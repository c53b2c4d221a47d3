"""The script does in psql what the upgrade does."""

import contextlib
import subprocess

import pytest

from sexton.catalog import schema
from sexton.database import connect, scalar
from sexton.embedded.programs import wheel
from sexton.upgrade.drift import drift
from tests.support.project import HEAD


def psql(url: str, script: str) -> subprocess.CompletedProcess[str]:
    program = wheel() / "bin" / "psql"
    return subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--dbname", url],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_does_in_psql_what_the_upgrade_does(database, sexton):
    sexton.url = database("empty")
    script = sexton("upgrade", "--sql").stdout
    done = psql(sexton.url, script)
    assert done.returncode == 0, done.stderr
    with contextlib.closing(connect(sexton.url, name="tests")) as connection:
        assert schema.revision(connection) == HEAD
        assert drift(connection) == []
        again = psql(sexton.url, script)
        assert again.returncode == 3
        assert "not where this script begins" in again.stderr
        back = sexton("downgrade", "base", "--sql").stdout
        assert psql(sexton.url, back).returncode == 0
        assert schema.revision(connection) is None


@pytest.mark.usefixtures("history")
def test_the_script_refuses_what_the_downgrade_refuses(sexton, connection):
    script = sexton("downgrade", "0001", "--sql").stdout
    done = psql(sexton.url, script)
    assert done.returncode == 3
    assert "would come back to life" in done.stderr
    assert scalar(connection, "select count(*) from chat_model_configs where deleted") == 1
