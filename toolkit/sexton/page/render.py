"""Rendering: the template, its style and its script in one file that needs no network."""

import base64
import datetime
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sexton import __version__
from sexton.fleet.report import fleet_verdict
from sexton.page.view import Document, Explained, sections
from sexton.project import all_checks
from sexton.text.printable import printable


def render(documents: Sequence[Document]) -> str:
    """The page for documents of `audit` or `fleet audit`, as HTML.

    Raises ValueError where one of them is neither, or lacks what every one of its kind has.
    """
    try:
        return _render(documents)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it lacks {error}") from None


def _render(documents: Sequence[Document]) -> str:
    fleets = [document for document in documents if "fleet" in document]
    audits = [document for document in documents if "fleet" not in document]
    shown = sections(audits, _explained())
    style, script = _asset("style.css"), _asset("script.js")
    environment = Environment(
        loader=PackageLoader("sexton.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    environment.filters["lines"] = lambda text: Markup("\n").join(
        printable(line) for line in text.split("\n")
    )
    page = environment.get_template("page.html.j2").render(
        sections=shown,
        fleets=[_fleet(document) for document in fleets],
        title=_title(shown, fleets),
        style=Markup(style),
        script=Markup(script),
        policy="; ".join(
            (
                "default-src 'none'",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        made=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
    )
    return page.rstrip() + "\n"


def _plain(value: object) -> object:
    """Every value on its way into the page: nothing in it may hide or reorder text."""
    return value if isinstance(value, Markup) else printable(str(value))


def _fleet(document: Document) -> dict[str, Any]:
    verdict = fleet_verdict(target["status"] for target in document["targets"])
    missing = document["fleet"].get("missing", [])
    verdict = "incomplete" if missing else verdict
    return {**document, "verdict": verdict, "missing": missing}


def _title(shown: Sequence[Any], fleets: Sequence[Document]) -> str:
    if fleets:
        return f"Fleet: {fleets[-1]['summary']['targets']:,} databases"
    if len(shown) == 1:
        return f"{shown[0].title}: {shown[0].verdict.lower()}"
    return f"{len(shown):,} databases"


def _explained() -> dict[str, Explained]:
    return {
        check.name: Explained(check.explanation, check.find)
        for check in all_checks().values()
    }


def _asset(name: str) -> str:
    return resources.files("sexton.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    found = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode()}"
