"""Plans, runs and undos as text."""

from collections.abc import Iterable, Sequence
from typing import Any

from sexton.repair.apply import Made
from sexton.repair.plan import Plan
from sexton.repair.undo import Undone
from sexton.reporters.text import count, table

SHOWN = 200  # rows of a plan or a run that the text lists; the documents have them all


def plan(made: Plan) -> str:
    """Each row to change, each column before and after, why, and what stands against it."""
    lines: list[str] = []
    for place, action in enumerate(made.actions):
        if place == SHOWN:
            hidden = len(made.actions) - SHOWN
            lines.append(f"… and {hidden:,} more rows (--out FILE saves them all)")
            break
        verb = "" if action.kind == "update" else f"{action.kind} "
        lines.append(f"{action.check}: {verb}{action.table} {_key(action.key)}")
        lines += [
            f"    {column}: {_change(action.kind, *pair)}"
            for column, pair in action.change.items()
            if column != "updated_at" or action.kind != "update"
        ]
        lines.append(f"    because {action.why}")
    lines += [
        f"{skip.check}: {_key(skip.key)}: not repaired; {skip.reason}"
        if skip.key
        else f"{skip.check}: not repaired; {skip.reason}"
        for skip in made.skipped
    ]
    for guard in made.guards:
        said = f"lifted by {guard.option}" if guard.lifted else "refused"
        lines.append(f"guard: {guard.saw}; {said}")
        if not guard.lifted:
            lines.append(f"    if that is as it should be: {guard.option}")
    return "\n".join(lines)


def planned(made: Plan, saved: str | None) -> str:
    """A plan, and what to type next."""
    if not made.actions and not made.skipped:
        return "nothing to repair"
    if not made.actions:
        said = "nothing that can be repaired without a person's decision"
    else:
        said = f"{count(len(made.actions), 'row')} to change"
        if saved:
            said += f"; to do it within 24 hours: sexton apply {saved}"
        elif all(guard.lifted for guard in made.guards):
            said += "; to do it: the same command with --apply"
    return f"{plan(made)}\n{said}"


def made(what: Made, skipped: Sequence[Any]) -> str:
    """What applying a plan did, and how to take it back."""
    if what.run is None:
        return "nothing to change" if skipped else "nothing to repair"
    if what.already:
        return (
            f"made before, in run {what.run} ({count(what.rows, 'row')}); "
            "nothing was changed now"
        )
    lines = [
        f"{count(what.rows, 'row')} changed in run {what.run}"
        + (f", {what.resumed:,} of them before it was broken off" if what.resumed else "")
        + f"; to take it back: sexton undo {what.run}"
    ]
    lines += [
        f"{check}: {count(found, 'finding')} left" for check, found in what.left.items()
    ]
    return "\n".join(lines)


def undone(what: Undone) -> str:
    """What was put back, and what was left alone."""
    lines = [
        f"left alone: {row['table']} {_key(row['key'])}: {row['reason']}"
        for row in what.left[:SHOWN]
    ]
    if len(what.left) > SHOWN:
        lines.append(f"… and {len(what.left) - SHOWN:,} more rows were left alone")
    lines.append(
        f"{count(what.rows, 'row')} of run {what.undoes} put back in run {what.run}; "
        f"to take that back: sexton undo {what.run}"
    )
    return "\n".join(lines)


def runs(found: Iterable[dict[str, Any]]) -> str:
    """The journal's runs, the newest first."""
    listed = [
        {
            **run,
            "at": f"{run['at']:%Y-%m-%d %H:%M:%S %Z}",
            "kind": run["kind"] + ("" if run["finished"] else " (broken off)"),
        }
        for run in found
    ]
    if not listed:
        return "nothing was ever changed through Sexton here"
    return table(listed, ("run", "at", "actor", "kind", "rows", "undone_by"))


def run(found: dict[str, Any], changes: Sequence[dict[str, Any]]) -> str:
    """One run: who, when, with which options, and each row before and after."""
    state = "" if found["finished"] else ", broken off"
    lines = [
        f"run {found['run']}: {found['kind']}{state}, {found['at']:%Y-%m-%d %H:%M:%S %Z}",
        f"by {found['actor']} (role {found['role']}, system user {found['os_user']})",
    ]
    if found["plan"]:
        lines.append(f"plan {found['plan']}")
    options = {name: value for name, value in found["options"].items() if value}
    if options:
        lines.append("with " + ", ".join(f"{k}={_value(v)}" for k, v in options.items()))
    if found["undone_by"]:
        lines.append(f"taken back by run {found['undone_by']}")
    for change in changes[:SHOWN]:
        before, after = change["before"], change["after"]
        verb = "insert " if before is None else "delete " if after is None else ""
        lines.append(f"{verb}{change['table']} {_key(change['key'])}")
        lines += [
            f"    {name}: "
            + _change(
                verb.strip() or "update", (before or {}).get(name), (after or {}).get(name)
            )
            for name in {**(before or {}), **(after or {})}
        ]
        if change["why"]:
            lines.append(f"    because {change['why']}")
    if len(changes) > SHOWN:
        lines.append(f"… and {len(changes) - SHOWN:,} more rows (--format json has all)")
    return "\n".join(lines)


def _key(key: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in key.items())


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
    return "''" if value == "" else str(value)
