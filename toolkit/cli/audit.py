"""`sexton checks`, `explain` and `audit`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import FORMAT, reading, show
from toolkit.errors import DONE, FINDINGS, INCOMPLETE

if TYPE_CHECKING:
    from toolkit.database import Connection


@click.command()
@FORMAT
def checks(style: str) -> None:
    """List the checks."""
    from checks import all_checks
    from toolkit.reporters import text

    known = all_checks().values()
    document = {
        "checks": [
            {
                "check": check.name,
                "severity": check.severity,
                "summary": check.summary,
                "repair": check.repair is not None,
            }
            for check in known
        ]
    }
    show(style, document, lambda: text.checks(known))


@click.command()
@click.argument("check")
@FORMAT
def explain(check: str, style: str) -> None:
    """Say what one check finds, why, and what its repair does."""
    from toolkit.audit import select_checks
    from toolkit.reporters import text

    [found] = select_checks([check])
    document = {
        "check": found.name,
        "severity": found.severity,
        "explanation": found.explanation,
        "sql": found.find,
        "repair_sql": found.repair,
    }
    show(style, document, lambda: text.explanation(found))


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...")
@click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error", "never"]),
    default="warning",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="How many findings of each check to show; the count is exact.",
)
@reading
def audit(
    connection: "Connection",
    names: tuple[str, ...],
    fail_on: str,
    sample: int,
    style: str,
) -> int:
    """Run the checks, or those named, on one snapshot; read-only."""
    from checks import Severity
    from toolkit import audit
    from toolkit.reporters import text

    threshold = None if fail_on == "never" else Severity(fail_on)
    selected = audit.select_checks(names)
    run, outcomes = audit.run_checks(connection, selected, sample=sample)
    verdict = audit.verdict(outcomes, threshold)
    code = {"clean": DONE, "findings": FINDINGS, "incomplete": INCOMPLETE}[verdict]
    document = audit.document(run, outcomes, threshold)
    show(style, document, lambda: text.audit(outcomes, code))
    return code
