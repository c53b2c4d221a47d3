"""Selection: which checks are meant, by name or by a pattern of names."""

import difflib
import fnmatch
from collections.abc import Mapping, Sequence

from sexton.check import Check
from sexton.errors import UsageError
from sexton.project import all_checks, current
from sexton.text.printable import shown


def select_checks(
    names: Sequence[str],
    known: Mapping[str, Check] | None = None,
    *,
    skip: Sequence[str] = (),
) -> list[Check]:
    """The checks named, or all of them, without those to `skip`.

    A name may have the wildcards * ? [. Raises UsageError for one that matches nothing,
    and where nothing is declared or left.
    """
    known = all_checks() if known is None else known
    if not known:
        raise _nothing_declared()
    selected = [name for asked in names for name in _matches(asked, known)] or list(known)
    skipped = {name for asked in skip for name in _matches(asked, known)}
    left = [known[name] for name in dict.fromkeys(selected) if name not in skipped]
    if not left:
        raise UsageError(
            "every check is skipped, so there is nothing to look at",
            hint="skip fewer: --skip, or skip in the project file",
        )
    return left


def _nothing_declared() -> UsageError:
    file = current().file
    if all_checks() or not file:
        return UsageError(
            "there is no check to run", hint="name folders that have some: --checks DIR"
        )
    return UsageError(
        f"{shown(file)} declares nothing yet, so there is nothing to look at",
        hint="declare a [[reference]], a [[soft_delete]] or a [[default]] in it: "
        "docs/your-own-tables.md",
    )


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
