"""Print constraints: of each dependency the lowest version that pyproject.toml allows.

`make test-lowest` runs a part of the tests with them, so that the bounds are true.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
# A program of the tests that has a dependency in common: its newest wants a newer Click.
ALSO = ("check-jsonschema",)


def main() -> None:
    """Write `name==version` lines to stdout."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    tests = project["optional-dependencies"]["test"]
    for wanted in [*project["dependencies"], *(t for t in tests if t.startswith(ALSO))]:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)", wanted)
        assert found, f"{wanted}: a dependency is written as name>=version"
        sys.stdout.write(f"{found[1]}=={found[2]}\n")


if __name__ == "__main__":
    main()
