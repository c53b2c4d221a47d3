"""Documents as JSON."""

import datetime
import uuid
from typing import Any

import msgspec

from sexton.text import exact


def render(document: Any) -> str:
    """Render a document; times are in UTC, ISO 8601."""
    if isinstance(document, msgspec.Struct):
        document = msgspec.to_builtins(document)
    return exact.dumps(document, _plain, indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")
