"""The site and the man page: `make site`. What a reference page says is made from code."""

import json
from importlib import resources
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from sexton import __version__

project = "Sexton"
copyright = "the Sexton authors"  # noqa: A001 - Sphinx's own name for it
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_site", "reference/*.part.md"]
root_doc = "index"
html_theme = "furo"
html_title = f"Sexton {__version__}"
html_show_sphinx = False
man_pages = [
    ("reference/commands", "sexton", "keep the references of a PostgreSQL honest", [], 1)
]
man_make_section_directory = False
myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Links into the repository, which the pages are read in too; and help texts are no reST.
suppress_warnings = ["myst.xref_missing", "myst.header", "docutils"]


class Schemas(Directive):
    """Every JSON schema that the package holds, under its title."""

    def run(self) -> list[nodes.Node]:
        """One section for each."""
        return [section for file in schemas() for section in self._section(file)]

    def _section(self, file: Path) -> list[nodes.Node]:
        text = file.read_text(encoding="utf-8")
        title = json.loads(text).get("title", "The project file")
        section = nodes.section(ids=[nodes.make_id(file.name)], names=[file.name])
        section += nodes.title(text=file.name)
        section += nodes.paragraph(text=f"{title}.")
        section += nodes.literal_block(text, text, language="json")
        return [section]


def schemas() -> list[Path]:
    """The schemas of the package, by name."""
    package = Path(str(resources.files("sexton")))
    return sorted(package.rglob("*.schema.json"), key=lambda file: file.name)


def setup(app: Sphinx) -> None:
    """Make the directive known."""
    app.add_directive("schemas", Schemas)
