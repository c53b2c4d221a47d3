"""The second look: what a writer was at work on is no finding."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sexton.audit.outcome import Outcome, outcome_of
from sexton.audit.queries import Found

LIMIT = 10_000  # findings of a check that are looked at twice; bounds memory


def unconfirmed(first: Outcome, why: str) -> Outcome:
    """The outcome of a check whose findings could not be looked at again."""
    reason = f"seen once, not confirmed by a second look: {why}"
    return replace(first, status="incomplete", reason=reason)


def confirmed(
    first: Outcome,
    rows: Sequence[dict[str, Any]],
    still: set[str],
    *,
    sample: int,
    after: float,
) -> Outcome:
    """The outcome of a check of whose `rows` some are `still` findings."""
    left = [row for row in rows if row["_identity"] in still]
    gone = len(rows) - len(left)
    found = Found(left, len(left), sum(row["_known"] for row in left))
    second = outcome_of(first.check, found, sample)
    said = [second.reason] if second.reason else []
    partial = first.count > len(rows)
    if partial:
        said.append(
            f"{first.count:,} at the first look; {len(rows):,} of them looked at twice"
        )
    if gone:
        was = "was" if gone == 1 else "were"
        said.append(
            f"{gone:,} more {was} gone at the second look, {after:g} s later: "
            "a writer at work"
        )
    return replace(
        second,
        reason="; ".join(said) or None,
        count_is="at_least" if partial else "exact",
        strategy=first.strategy,
        scope=first.scope,
        elapsed_ms=first.elapsed_ms,
    )
