"""Formats of an audit's report: one module each, which is called as the format is.

A module has a `FORMAT`. To add one, add its file and its test. None is imported before it
is needed, and each imports what is heavy when it renders.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sexton.audit.report import Report


@dataclass(frozen=True)
class Format:
    """How a report is written.

    `render` takes the report and the text of the file that it will replace, empty where
    there is none. `endings` are those of file names that mean this format. `deliver`, where
    there is one, takes the text to a target that is no file; `check` raises UsageError for
    a target that cannot be one.
    """

    render: Callable[["Report", str], str]
    endings: tuple[str, ...] = ()
    deliver: Callable[[str, str], None] | None = None
    check: Callable[[str], object] = bool


@cache
def names() -> tuple[str, ...]:
    """The names of all formats, in alphabetical order."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__)))


def named(name: str) -> Format:
    """The format of a name; raises KeyError."""
    if name not in names():
        raise KeyError(name)
    found: Format = importlib.import_module(f"{__name__}.{name}").FORMAT
    return found


def by_ending(ending: str) -> str | None:
    """The name of the format that a file's ending means, such as `.xml`."""
    for name in names():
        if ending in named(name).endings:
            return name
    return None


def endings() -> tuple[str, ...]:
    """All endings that mean a format, in the order of the formats' names."""
    return tuple(ending for name in names() for ending in named(name).endings)
