"""Audits as JSON: audit.schema.json has the document's form."""

from typing import TYPE_CHECKING

from sexton.reporters.formats import Format

if TYPE_CHECKING:
    from sexton.audit.report import Report


def render(report: "Report", _: str = "") -> str:
    """The report's own document."""
    from sexton.reporters import json

    return json.render(report.document())


FORMAT = Format(render, (".json",))
