"""Following: which checks may find more once the repair of another one is made."""

import re
from collections.abc import Iterable, Iterator, Mapping

from sexton.check import Check, Reference, in_order
from sexton.repair import proposals


def with_followers(selected: Iterable[Check], known: Mapping[str, Check]) -> list[Check]:
    """The checks to repair, in order, and those that must be looked at with them.

    They are those whose repair must follow, and the references that a repair may leave
    without a parent.
    """
    chosen: dict[str, Check] = {}
    waiting = list(selected)
    while waiting:
        check = waiting.pop()
        chosen[check.name] = check
        names = {*check.followed_by, *orphaned_by(check, known)}
        waiting.extend(known[name] for name in names if name not in chosen)
    return [chosen[name] for name in in_order({**known, **chosen}) if name in chosen]


def asked_for(selected: Iterable[Check], known: Mapping[str, Check]) -> set[str]:
    """The names of checks that were selected, and of those whose repair must follow."""
    found: set[str] = set()
    waiting = [check.name for check in selected]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(known[name].followed_by if name in known else ())
    return found


def orphaned_by(check: Check, known: Mapping[str, Check]) -> Iterator[str]:
    """The names of references whose findings the repair of a check may add to.

    A parent may go, stop to count or lose its key; or a child may begin to count.
    """
    for target in proposals.targets(check):
        for name, other in known.items():
            ref = other.reference
            if ref is None:
                continue
            led = False
            if ref.parent == target.table and target.kind != "insert":
                led = target.kind == "delete" or _of_parent(ref, target.columns)
            if check.reference is None and other.table == target.table:
                led |= target.kind == "insert"
                led |= target.kind == "update" and _of_child(other, ref, target.columns)
            if led:
                yield name


def _of_parent(ref: Reference, written: Iterable[str]) -> bool:
    """Whether columns of a parent decide which of its rows a reference may name."""
    text = f"{ref.parent_live}\n{ref.parent_where}"
    return any(name in ref.parent_keys or _mentions(text, name) for name in written)


def _of_child(check: Check, ref: Reference, written: Iterable[str]) -> bool:
    """Whether columns of a child decide whether it counts, or what it names."""
    text = f"{check.live}\n{check.where}"
    return any(name in ref.columns or _mentions(text, name) for name in written)


def _mentions(text: str, name: str) -> bool:
    word = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
    return re.search(word, text, re.IGNORECASE) is not None
