"""docs/rehearse.md: a section for each code, whose examples do what it says."""

import re
from pathlib import Path

import pytest

from tests.support.project import ROOT
from tests.support.rehearsals import Environment, codes, of

PAGE = (ROOT / "docs" / "rehearse.md").read_text()
SECTIONS = dict(re.findall(r"^### ([a-z-]+)\n(.*?)(?=^### |\Z)", PAGE, re.M | re.S))
EXAMPLES = {
    code: re.findall(r"```python\n(.*?)```", text, re.S) for code, text in SECTIONS.items()
}


def test_each_code_has_a_section():
    sources = (ROOT / "toolkit" / "sexton" / "rehearse").glob("*.py")
    text = "\n".join(Path(file).read_text() for file in sources)
    used = set(re.findall(r'(?:finding|whole)\(\s*"([a-z-]+)"', text))
    used |= {"acceptance-expired", "acceptance-without-reason"}
    assert used == set(SECTIONS)


@pytest.mark.parametrize("code", [code for code, found in EXAMPLES.items() if found])
def test_the_examples_of_a_section(server, tmp_path, code):
    blocking, online = EXAMPLES[code]
    environment = Environment(tmp_path)
    environment.add("blocking", blocking, below="root")
    environment.add("online", online, below="root")
    assert code in codes(of(environment.rehearse("blocking", on=server), "blocking"))
    found = of(environment.rehearse("online", on=server), "online")
    assert found.problem is None
    assert set(codes(found)) <= {"no-way-down", "several-heads"}
