"""Print constraints: of each dependency the lowest version that pyproject.toml allows.

`make test-lowest` runs a part of the tests with them, so that the bounds are true.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main() -> None:
    """Write `name==version` lines to stdout."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    for wanted in project["dependencies"]:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)", wanted)
        assert found, f"{wanted}: a dependency is written as name>=version"
        sys.stdout.write(f"{found[1]}=={found[2]}\n")


if __name__ == "__main__":
    main()
