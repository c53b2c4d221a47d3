"""Audits as a page of HTML, one file that needs no network."""

from typing import TYPE_CHECKING

from sexton.reporters.formats import Format

if TYPE_CHECKING:
    from sexton.audit.report import Report


def render(report: "Report", _: str = "") -> str:
    """The page of this run alone; `sexton report` makes one from several."""
    import json

    from sexton import page
    from sexton.reporters import json as documents

    return page.render([json.loads(documents.render(report.document()))])


FORMAT = Format(render, (".html",))
