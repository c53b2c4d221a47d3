"""`sexton report`: the page people look at, from one run or many."""

import json
from pathlib import Path
from typing import Any

import click

from sexton.errors import DONE, UsageError
from sexton.text.printable import shown

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

    documents = [_read(run) for run in runs]
    try:
        page = render(documents)
    except ValueError as error:
        raise UsageError(
            f"one of the runs is no document of audit or fleet: {error}",
            hint=MAKE_ONE,
        ) from None
    replace_file(out, page)
    return DONE


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        kind = "fleet" if "fleet" in found else "run"
        found[kind]["started_at"], found["summary"]
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(file)}: {error.strerror}", hint=MAKE_ONE
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{shown(file)} is no document of audit or fleet",
            hint=MAKE_ONE,
        ) from None
    return dict(found)
