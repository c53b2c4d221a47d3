"""The schema tests on other versions of PostgreSQL: `make test-matrix`.

`python -m tests.matrix [DIR...]`, each the directory above a server's `bin`; by default
those of Debian's packages. Kills after every statement, not just after some.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from toolkit.embedded import Server

TESTS = (
    *("tests/migrations", "tests/test_upgrade.py"),
    *("tests/test_adopt.py", "tests/test_drift.py"),
)
SETTINGS = {"fsync": "off", "max_connections": "200", "max_prepared_transactions": "10"}


def run(programs: Path) -> int:
    """Run the tests on one server; return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="sexton-matrix-") as directory:
        Path(directory).chmod(0o711)
        settings = {**SETTINGS, "autovacuum_naptime": "1d"}
        where = Path(directory) / "db"
        with Server(where, settings=settings, programs=programs) as server:
            environment = os.environ | {"TEST_DATABASE_URL": server.url()}
            environment.setdefault("KILL_EVERY", "1")
            tests = [sys.executable, "-m", "pytest", "-q", *TESTS]
            return subprocess.run(tests, env=environment, check=False).returncode


def main(directories: list[str]) -> int:
    """Run all; non-zero where one failed, or there was none."""
    found = [Path(d) for d in directories] or sorted(Path("/usr/lib/postgresql").glob("*"))
    if not found:
        sys.stderr.write("name PostgreSQL installations: make test-matrix PG='DIR ...'\n")
        return 2
    codes = {programs: run(programs) for programs in found}
    for programs, code in codes.items():
        sys.stdout.write(f"{programs}: {'ok' if code == 0 else f'failed ({code})'}\n")
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
