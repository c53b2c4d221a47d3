"""The options of `sexton audit`, in the order in which its help lists them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sexton.cli.options import CHECKS, URL, Duration
from sexton.reporters import formats

OPTIONS = (
    CHECKS,
    click.option(
        "--format",
        "style",
        type=click.Choice(formats.names()),
        default="text",
        show_default=True,
        help="What stdout carries.",
    ),
    click.option(
        *("-o", "--output", "outputs"),
        metavar="[FORMAT:]FILE",
        multiple=True,
        help="Write a report into FILE as well; repeatable. The format, if not said, "
        "follows from the ending, such as .txt .json .xml .sarif .prom",
    ),
    click.option(
        "--fail-on",
        type=click.Choice(["info", "warning", "error", "new", "never"]),
        default="warning",
        show_default=True,
        help="The least severity that makes the exit code 1; new: warnings that the run of "
        "--since did not have.",
    ),
    click.option(
        "--since",
        "since_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="RUN.json",
        help="Say what is new, persists or is resolved since an earlier run's document.",
    ),
    click.option(
        "--notify",
        metavar="URL",
        help="Notify this endpoint when something changed since --since; without it, when "
        "the audit is not clean.",
    ),
    click.option(
        "--notify-format",
        type=click.Choice(["json", "slack"]),
        default="json",
        show_default=True,
        help="What the endpoint gets: Sexton's own document, or a message for the incoming "
        "webhooks of Slack, Mattermost and their like.",
    ),
    click.option(
        "--skip", metavar="CHECK", multiple=True, help="Leave it out; repeatable."
    ),
    click.option(
        "--only-own", is_flag=True, help="Run the checks of --checks alone, on any tables."
    ),
    click.option(
        "--label", metavar="TEXT", help="A name for this database, in all reports."
    ),
    click.option(*("-v", "--verbose"), is_flag=True, help="A line for every check."),
    click.option(*("-q", "--quiet"), is_flag=True, help="Nothing but what is wrong."),
    click.option(
        "--sample",
        type=click.IntRange(0),
        default=5,
        show_default=True,
        help="How many findings of each check to show; the count is of all.",
    ),
    click.option("--values", is_flag=True, help="Show in documents more than keys."),
    click.option(
        *("-j", "--jobs"),
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="How many connections look at once, all at the same snapshot.",
    ),
    click.option(
        "--statement-timeout",
        type=Duration(),
        default="60s",
        show_default=True,
        help="How long one statement may take; 0 means as long as it likes.",
    ),
    click.option(
        "--deadline",
        type=Duration(),
        help="How long everything may take; what is not looked at by then is incomplete.",
    ),
    click.option(
        "--confirm-after",
        type=Duration(),
        default="1s",
        show_default=True,
        help="How long between two looks at a soft reference with findings; 0 is one look.",
    ),
    click.option(
        "--recheck",
        is_flag=True,
        help="Look also where a valid foreign key enforces the reference.",
    ),
    click.option(
        "--baseline",
        "baseline_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Count the findings in FILE as known; only new ones fail.",
    ),
    click.option(
        "--write-baseline",
        "target",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Accept what is found: write it into FILE. What is cured leaves it.",
    ),
    click.option(
        "--allow-additions",
        is_flag=True,
        help="Let --write-baseline add findings to a FILE that is there.",
    ),
    click.option("--reason", metavar="TEXT", help="Why the added findings are accepted."),
    click.option("--owner", metavar="NAME", help="Who answers for the added findings."),
    click.option(
        "--expires",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="DATE",
        help="The last day on which the added findings are accepted.",
    ),
    URL,
)


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
