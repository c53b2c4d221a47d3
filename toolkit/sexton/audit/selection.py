"""Selection: which checks are meant, by name or by a pattern of names."""

import difflib
import fnmatch
from collections.abc import Mapping, Sequence

from sexton.check import Check
from sexton.errors import UsageError
from sexton.project import all_checks


def select_checks(
    names: Sequence[str],
    known: Mapping[str, Check] | None = None,
    *,
    skip: Sequence[str] = (),
) -> list[Check]:
    """The checks named, or all of them, without those to `skip`.

    A name may have the wildcards * ? [. Raises UsageError for one that matches nothing,
    and where nothing is left.
    """
    known = all_checks() if known is None else known
    selected = [name for asked in names for name in _matches(asked, known)] or list(known)
    skipped = {name for asked in skip for name in _matches(asked, known)}
    left = [known[name] for name in dict.fromkeys(selected) if name not in skipped]
    if not left:
        raise UsageError(
            "every check that was named is skipped, so there is nothing to look at",
            hint="name fewer checks to skip",
        )
    return left


def _matches(asked: str, known: Mapping[str, Check]) -> list[str]:
    found = fnmatch.filter(known, asked) if _is_pattern(asked) else [asked]
    if found and all(name in known for name in found):
        return found
    near = difflib.get_close_matches(asked, known, n=1)
    what = "no check matches" if _is_pattern(asked) else "there is no check"
    raise UsageError(
        f"{what} {asked!r}",
        hint=f"did you mean {near[0]}?" if near else "sexton checks lists them",
    )


def _is_pattern(asked: str) -> bool:
    return any(character in asked for character in "*?[")
