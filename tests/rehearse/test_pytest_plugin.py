"""`pytest --sexton-rehearse`, in a team's own repository."""

import re
import subprocess
import sys

from tests.support.rehearsals import ADD, DROP, INDEX, Environment


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_new_revision_is_a_test(tmp_path):
    environment = Environment(tmp_path)
    environment.add("one", ADD, DROP)
    environment.add("two", INDEX, 'op.drop_index("i")')
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    asked = ("--sexton-rehearse", "rev:root", "--sexton-alembic", "alembic.ini")
    code, said = run(tmp_path, *asked, "-v")
    assert code == 1, said
    assert re.search(r"::one PASSED", said), said
    assert re.search(r"::two FAILED", said), said
    assert "error blocking-index-build: db/versions/two.py:13" in said
    assert "Traceback" not in said
    assert "1 failed, 2 passed" in said
    code, said = run(tmp_path, "-q")
    assert code == 0, said
    assert "1 passed" in said
    code, said = run(tmp_path, "--sexton-rehearse", "rev:no", "--sexton-alembic", asked[3])
    assert code == 4, said
    assert "--sexton-rehearse: no is no revision and no commit" in said
