"""The site and the man page build, and hold every command, option and document."""

import subprocess
import sys

import click
import pytest

from sexton.cli import sexton
from tests.support.project import ROOT


def commands(command, path):
    """Every command below, by its whole name."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, f"{path} {name}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    built = tmp_path_factory.mktemp("site")
    for kind in ("html", "man"):
        build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", kind]
        made = subprocess.run(
            [*build, "-d", str(built / "trees"), str(ROOT / "docs"), str(built / kind)],
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, f"make site; correct in docs/:\n{made.stderr}"
    return built


def test_the_man_page_has_every_command_and_option(site):
    page = (site / "man" / "sexton.1").read_text().replace("\\-", "-")
    for path, command in commands(sexton, "sexton"):
        assert path in page, f"{path} is missing: look at docs/reference/commands.rst"
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in page, (
                    f"{path} {option} is missing: look at docs/reference/commands.rst"
                )


def test_the_site_has_every_document(site):
    page = (site / "html" / "reference" / "documents.html").read_text()
    found = sorted((ROOT / "toolkit").rglob("*.schema.json"))
    assert len(found) >= 2
    missing = [file.name for file in found if file.name not in page]
    assert not missing, f"name them in docs/reference/documents.rst: {missing}"


def test_the_site_needs_no_network(site):
    for page in (site / "html").rglob("*.html"):
        text = page.read_text()
        for tag in (
            '<script src="http',
            '<link rel="stylesheet" href="http',
            '<img src="http',
        ):
            assert tag not in text, f"{page.name} loads from elsewhere: see docs/conf.py"
