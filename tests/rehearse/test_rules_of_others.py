"""docs/rehearse-rules.md: what other tools call dangerous, and what a rehearsal finds."""

import re

from tests.rehearse.test_dangers import DANGERS, SAFE
from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "rehearse-rules.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| operation")
]


def test_each_row_names_the_codes_of_its_case():
    """The cases are run by test_dangers."""
    named = []
    for operation, _known_as, found, case in ROWS:
        codes = re.findall(r"`([a-z-]+)`", found)
        if not case:
            assert found.startswith("no: "), operation
            continue
        name = case.strip("`")
        named.append(name)
        assert set(codes) <= set(DANGERS[name][0]), operation
        assert codes, operation
    assert len(named) > 25
    assert len(set(named)) == len(named)


def test_the_safe_ways_are_named():
    [listed] = re.findall(r"no false alarm: (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == set(SAFE)
