"""Plans, runs and undos as text: what is the same is said once, names cannot lie."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sexton.project import current
from sexton.repair.apply import ApplyResult
from sexton.repair.plan import Action, Plan
from sexton.repair.undo import UndoResult
from sexton.reporters.text import count, table
from sexton.text.printable import printable

SHOWN = 200  # rows of a plan or a run that the text lists; the documents have them all


def plan(made: Plan) -> str:
    """A summary by check, then each row, with equal changes under one head."""
    counted: dict[str, int] = {}
    for group in made.groups:
        counted[group.check] = counted.get(group.check, 0) + group.rows
    lines = [
        f"{printable(check)}: {count(rows, 'row')} to change"
        for check, rows in counted.items()
        if len(counted) > 1 or rows > 1
    ]
    shown = 0
    for head, same in groupby(made.actions, key=_head):
        left = SHOWN - shown
        if left <= 0:
            hidden = len(made.actions) - shown
            lines.append(f"… and {hidden:,} more rows (--out FILE saves them all)")
            break
        found = list(same)
        lines += head
        lines += [f"    {_key(action.key)}" for action in found[:left]]
        shown += len(found[:left])
        if len(found) > left:
            lines.append(f"    … and {len(found) - left:,} more rows of this kind")
    lines += [
        f"{printable(skip.check)}: {_key(skip.key)}: not repaired; {printable(skip.reason)}"
        if skip.key
        else f"{printable(skip.check)}: not repaired; {printable(skip.reason)}"
        for skip in made.skipped
    ]
    for limit in made.limits:
        said = f"lifted by {limit.option}" if limit.lifted else "refused"
        lines.append(f"safety limit: {printable(limit.saw)}; {printable(said)}")
        if not limit.lifted:
            lines.append(f"    if that is as it should be: {printable(limit.option)}")
    return "\n".join(lines)


def _head(action: Action) -> tuple[str, ...]:
    """What a row's change has in common with its neighbours'."""
    verb = "" if action.kind == "update" else f"{action.kind} "
    lines = [f"{printable(action.check)}: {verb}{printable(action.table)}"]
    lines += [
        f"    {printable(column)}: {_change(action.kind, *pair)}"
        for column, pair in action.change.items()
        if column and (column != current().updated_at or action.kind != "update")
    ]
    return (*lines, f"    because {printable(action.why)}")


def planned(made: Plan, saved: str | None) -> str:
    """A plan, and what to type next."""
    if not made.actions and not made.skipped:
        return "nothing to repair"
    if not made.actions:
        said = "nothing that can be repaired without a person's decision"
    else:
        said = f"{count(len(made.actions), 'row')} to change"
        if saved:
            said += f"; to do it within 24 hours: sexton apply {printable(saved)}"
        elif all(limit.lifted for limit in made.limits):
            said += "; to do it: the same command with --apply"
    return "\n".join(filter(None, (plan(made), said)))


def applied(what: ApplyResult, skipped: Sequence[Any]) -> str:
    """What applying a plan did, and how to undo it."""
    if what.run is None:
        return "nothing to change" if skipped else "nothing to repair"
    if what.already:
        return (
            f"this plan was applied before, in run {what.run} "
            f"({count(what.rows, 'row')}), and is not applied again"
        )
    lines = [
        f"{count(what.rows, 'row')} changed in run {what.run}"
        + (f", {what.resumed:,} of them before it was interrupted" if what.resumed else "")
        + f"; to undo it: sexton undo {what.run}"
    ]
    lines += [
        f"{printable(check)}: {count(found, 'finding')} left"
        for check, found in what.left.items()
    ]
    return "\n".join(lines)


def undone(what: UndoResult) -> str:
    """What was restored, what was left alone, and what does not come back."""
    lines = [
        f"left alone: {printable(row['table'])} {_key(row['key'])}: "
        f"{printable(row['reason'])}"
        for row in what.left[:SHOWN]
    ]
    if len(what.left) > SHOWN:
        lines.append(f"… and {len(what.left) - SHOWN:,} more rows were left alone")
    lines += [f"not restored: {printable(loss)}" for loss in what.lost]
    lines.append(
        f"{count(what.rows, 'row')} of run {what.undoes} restored in run {what.run}; "
        f"to undo that: sexton undo {what.run}"
    )
    return "\n".join(lines)


def _at(run: dict[str, Any]) -> str:
    return f"{run['at']:%Y-%m-%d %H:%M:%S %Z}" if run["at"] else "no time"


def runs(found: Iterable[dict[str, Any]]) -> str:
    """The journal's runs, the newest first."""
    listed = [
        {
            **run,
            "at": _at(run),
            "actor": printable(run["actor"]),
            "kind": printable(run["kind"]) + ("" if run["finished"] else " (interrupted)"),
        }
        for run in found
    ]
    if not listed:
        return "nothing was ever changed through Sexton here"
    return table(listed, ("run", "at", "actor", "kind", "rows", "undone_by"))


def run(found: dict[str, Any], changes: Sequence[dict[str, Any]]) -> str:
    """One run: who, when, with which options, and what changed in each row."""
    state = "" if found["finished"] else ", interrupted"
    lines = [
        f"run {found['run']}: {printable(found['kind'])}{state}, {_at(found)}",
        f"by {printable(found['actor'])} (role {printable(found['role'])}, "
        f"system user {printable(found['os_user'])})",
    ]
    if found["plan"]:
        lines.append(f"plan {printable(found['plan'])}")
    options = {name: value for name, value in found["options"].items() if value}
    if options:
        said = ", ".join(f"{k}={_value(v)}" for k, v in options.items())
        lines.append(f"with {printable(said)}")
    if found["undone_by"]:
        lines.append(f"undone by run {found['undone_by']}")
    elif not found["finished"] and found["kind"] == "repair":
        lines.append(
            f"to undo it: sexton undo {found['run']}; to go on: sexton apply its plan, or "
            "sexton repair plans what is left"
        )
    lines += [f"no undo brings back: {printable(str(loss))}" for loss in found["lost"]]
    for change in changes[:SHOWN]:
        lines += _changed(change)
    if len(changes) > SHOWN:
        lines.append(f"… and {len(changes) - SHOWN:,} more rows (--format json has all)")
    return "\n".join(lines)


def _changed(change: dict[str, Any]) -> Iterable[str]:
    before, after = change["before"], change["after"]
    kind = "insert" if before is None else "delete" if after is None else "update"
    verb = "" if kind == "update" else f"{kind} "
    check = f"{printable(change['check'])}: " if change["check"] else ""
    yield f"{check}{verb}{printable(change['table'])} {_key(change['key'])}"
    old, new = before or {}, after or {}
    for name in {**old, **new}:
        if name and (kind != "update" or old.get(name) != new.get(name)):
            pair = _change(kind, old.get(name), new.get(name))
            yield f"    {printable(name)}: {pair}"
    if change["why"]:
        yield f"    because {printable(change['why'])}"


def _key(key: dict[str, Any]) -> str:
    return printable(" ".join(f"{name}={value}" for name, value in key.items()))


def _change(kind: str, before: object, after: object) -> str:
    if kind == "insert":
        return _value(after)
    if kind == "delete":
        return _value(before)
    return f"{_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ",".join(map(_value, value))
    if isinstance(value, dict):
        from sexton.text.exact import canonical

        return printable(canonical(value))
    return "''" if value == "" else printable(str(value))
