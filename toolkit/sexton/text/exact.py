"""JSON whose numbers stay as they were written: a row must be found again by its key."""

import decimal
import json
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

# A number that a float cannot hold goes through the encoder as a text that no value of the
# server's can be, for PostgreSQL has no NUL.
_NUMBER = re.compile(r'"\\u0000([-+.0-9Ee]+)\\u0000"')
DIGITS = 4_000  # as many as Python converts without a word


def loads(text: str | bytes) -> Any:
    """Read JSON; raises ValueError also for what PostgreSQL's JSON does not have."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def canonical(value: object) -> str:
    """JSON in the one spelling that digests are made of."""
    return _bare(_ENCODER.encode(value))


def dumps(value: object, default: Callable[[Any], object] = str, **options: Any) -> str:
    """JSON as `json.dumps` writes it, with every digit of the numbers."""

    def number(value: object) -> object:
        return _number(value) if isinstance(value, decimal.Decimal) else default(value)

    return _bare(json.dumps(value, default=number, **options))


def _bare(written: str) -> str:
    return _NUMBER.sub(r"\1", written) if "\\u0000" in written else written


def _exact(digits: str) -> float | decimal.Decimal:
    number = float(digits)
    return number if repr(number) == digits else decimal.Decimal(digits)


def _whole(digits: str) -> int | decimal.Decimal:
    return int(digits) if len(digits) < DIGITS else decimal.Decimal(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _number(value: object) -> str:
    if isinstance(value, decimal.Decimal):
        return f"\0{value:f}\0"
    return str(value)


def identity(key: Mapping[str, Any]) -> Hashable:
    """What tells a row from others of its table, for a set or a dictionary."""
    found = tuple(sorted(key.items()))
    try:
        hash(found)
    except TypeError:  # a value that is an object or an array
        return canonical(key)
    return found


# Made once: a plan has several values for each of its rows.
_DECODER = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_refuse)
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_number
)
