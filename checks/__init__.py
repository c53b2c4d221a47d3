"""One bad state of the data per module; `all_checks` finds them."""

import importlib
import pkgutil
from functools import cache

from checks.base import Check, Reference, Severity

__all__ = ["Check", "Reference", "Severity", "all_checks"]

NO_CHECKS = ("base", "guard")


@cache
def all_checks() -> dict[str, Check]:
    """Every check by name, in alphabetical order."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if m.name not in NO_CHECKS)
    return {n: importlib.import_module(f"checks.{n}").check for n in names}
