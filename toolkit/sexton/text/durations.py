"""Times, as people write and read them: one grammar for every option."""

import math
import re

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
GRAMMAR = "500ms, 30s, 10min, 1h or 7d; a bare number is seconds"


def parse(text: str) -> float:
    """Seconds from a text such as `500ms` or `10min`; raises ValueError."""
    found = re.fullmatch(
        r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|min|m|h|d)?\s*", text, re.ASCII
    )
    seconds = float(found[1]) * UNITS[found[2] or ""] if found else math.nan
    if not 0 <= seconds <= 1e9:
        raise ValueError(f"{text!r} is no time: write {GRAMMAR}")
    return seconds


def duration(seconds: float) -> str:
    """A time for people: 80 ms, 1.4 s, 3 min, 2 h, 9 days."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
