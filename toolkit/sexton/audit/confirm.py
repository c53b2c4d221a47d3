"""The second look: a finding is dropped if its row is shown to be gone or changed.

Nothing else is evidence. A row that its key did not find at the first look, when it was
there, cannot be shown to be gone by not finding it again: it stays a finding.
"""

from collections import Counter
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
    findable: Counter[str],
    still: Counter[str],
    *,
    sample: int,
    after: float,
) -> Outcome:
    """The outcome of a check of whose `rows` some are `still` findings.

    `findable` are those that their keys found at the first look.
    """
    left, lost = [], 0
    then, now = Counter(findable), Counter(still)
    for row in rows:
        # Of rows that share a key the numbers say how many have gone, nothing says which.
        name = row["sexton identity"]
        if not then[name]:
            lost += 1
            left.append(row)
            continue
        then[name] -= 1
        if now[name]:
            now[name] -= 1
            left.append(row)
    gone = len(rows) - len(left)
    found = Found(left, len(left), sum(row["sexton known"] for row in left))
    second = outcome_of(first.check, found, sample)
    said = [second.reason] if second.reason else []
    partial = first.count > len(rows)
    if partial:
        said.append(
            f"{first.count:,} at the first look; {len(rows):,} of them looked at twice"
        )
    if lost:
        said.append(f"{lost:,} could not be looked at twice: no key finds the row")
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
