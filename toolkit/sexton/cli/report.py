"""`sexton report`: the page people look at, from one run or many."""

from pathlib import Path
from typing import Any

import click

from sexton.errors import DONE, UsageError

NOUN = "document of audit or fleet"
FILE = click.Path(path_type=Path, dir_okay=False)
MAKE_ONE = "sexton audit --format json > run.json makes one"


@click.command()
@click.argument("out", type=FILE, metavar="OUT.html")
@click.argument("runs", nargs=-1, required=True, type=FILE, metavar="RUN.json...")
def report(out: Path, runs: tuple[Path, ...]) -> int:
    """Write a page from the documents of one run or many; it needs no network.

    The newest run of each database is shown whole, with what changed since the one
    before; the others make the trend. Runs of `fleet` are shown as well.

    \b
    Examples:
      sexton audit --format json > monday.json
      sexton report report.html monday.json
      sexton report report.html nightly/*.json
    """
    from sexton.files import replace_file
    from sexton.page import render

    documents = {run: _read(run) for run in runs}
    try:
        page = render(list(documents.values()))
    except ValueError as error:
        for run, document in documents.items():
            _require_shown(run, document)
        raise UsageError(f"these runs make no page together: {error}") from None
    replace_file(out, page)
    return DONE


def _read(file: Path) -> dict[str, Any]:
    from sexton import documents
    from sexton.audit.saved import SavedAudit
    from sexton.fleet.report import SavedFleet

    found = documents.read(file, noun=NOUN, hint=MAKE_ONE)
    kind = SavedFleet if isinstance(found, dict) and "fleet" in found else SavedAudit
    documents.convert(file, found, kind, noun=NOUN, hint=MAKE_ONE)
    return dict(found)


def _require_shown(file: Path, document: dict[str, Any]) -> None:
    """Refuse a file from which no page can be made; raises UsageError."""
    from sexton.documents import not_one
    from sexton.page import render

    try:
        render([document])
    except ValueError as error:
        raise not_one(file, NOUN, MAKE_ONE, error) from None
