"""What of JSON PostgreSQL cannot hold: a NUL, half a character, a number without end."""

import math
import re
from collections.abc import Iterable

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable(value: object) -> str | None:
    """What in a value that was read from JSON its jsonb does not take; None if it does.

    Raises RecursionError where it is nested too deep.
    """
    if isinstance(value, str) and UNSTORABLE.search(value):
        return "a character that PostgreSQL's JSON cannot"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}, which is no JSON number"
    parts: Iterable[object] = ()
    if isinstance(value, dict):
        parts = (*value, *value.values())
    elif isinstance(value, list):
        parts = value
    return next(filter(None, map(unstorable, parts)), None)
