"""`sexton checks` and `explain`."""

from pathlib import Path
from typing import Any

import click

from sexton.cli import completion
from sexton.cli.options import CHECKS, FORMAT, URL, show


@click.command()
@CHECKS
@FORMAT
def checks(directories: tuple[Path, ...], style: str) -> None:
    """List the checks.

    \b
    Examples:
      sexton checks
      sexton checks --checks ./checks --format json
    """
    from sexton.audit.own_checks import known_checks
    from sexton.reporters import checks as text

    known = known_checks(directories).values()
    document = {
        "checks": [
            {
                "check": check.name,
                "severity": check.severity,
                "summary": check.summary,
                "repair": bool(check.repairs),
                "skipped": check.absent or None,
            }
            for check in known
        ]
    }
    show(style, document, lambda: text.checks(known))


@click.command()
@click.argument("check", shell_complete=completion.checks)
@CHECKS
@URL
@FORMAT
def explain(check: str, directories: tuple[Path, ...], url: str | None, style: str) -> None:
    """Say what one check finds, why, and what its repair does.

    With --url also how it would look at that database: by which strategy, why that one,
    and which index would help.

    \b
    Examples:
      sexton explain default_missing
      sexton explain default_missing --url postgresql:///chat
    """
    from sexton.audit.own_checks import known_checks
    from sexton.audit.selection import select_checks
    from sexton.reporters import checks as text

    [found] = select_checks([check], known_checks(directories))
    document: dict[str, Any] = {
        "check": found.name,
        "severity": found.severity,
        "explanation": found.explanation,
        "sql": found.find,
        "repair_sql": "\n\n".join(found.repair_texts) or None,
    }
    choice = ""
    if url:
        from sexton.audit.units import examine
        from sexton.database import database, snapshot

        with (
            database(url, name="sexton explain", read_only=True) as connection,
            snapshot(connection),
        ):
            document["database"] = examine(connection, found)
        choice = text.choice(document["database"])
    show(style, document, lambda: text.explanation(found, choice))
