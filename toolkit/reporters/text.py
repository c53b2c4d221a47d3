"""Results as text: one line a thing, worst first, plain in a pipe as on a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from checks import Check, Severity
from toolkit.audit import Outcome
from toolkit.models import Removal
from toolkit.providers import Deletion, Restoration, Switch
from toolkit.reassign import Reassignment
from toolkit.references import References
from toolkit.repair import Plan

RANK = {"incomplete": 0, "fail": 1, "skipped": 2, "pass": 3}


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Lines of columns, as wide as they need to be, under their names."""
    lines = [list(columns)] + [[cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def cell(value: object) -> str:
    """One value as a person reads it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 chat`, `2,345 chats`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def audit(outcomes: Sequence[Outcome], code: int) -> str:
    """One line a check, worst first, with a sample of what it found."""
    ordered = sorted(
        outcomes, key=lambda o: (RANK[o.status], -o.check.severity.rank, o.check.name)
    )
    lines = [line for outcome in ordered for line in _outcome(outcome)]
    numbers = dict.fromkeys(("pass", "fail", "incomplete", "skipped"), 0)
    for outcome in outcomes:
        numbers[outcome.status] += 1
    counted = ", ".join(f"{n} {status}" for status, n in numbers.items() if n)
    lines.append(f"{count(len(outcomes), 'check')}: {counted}. Exit {code}.")
    return "\n".join(lines)


def _outcome(outcome: Outcome) -> Iterable[str]:
    check = outcome.check
    word = {"incomplete": "INCOMPLETE", "skipped": "skipped", "pass": "ok"}.get(
        outcome.status, "FAIL" if check.severity is not Severity.INFO else "info"
    )
    said = outcome.reason or (
        count(outcome.count, "finding") if outcome.status == "fail" else ""
    )
    scope = f"{check.table}, {outcome.elapsed_ms:.1f} ms"
    yield f"{word:<10}  {check.name:<33}{said + '; ' if said else ''}{scope}"
    for finding in outcome.findings:
        where = "".join(f" {name}={value}" for name, value in finding.key.items())
        yield f"{'':<12}{finding.message}" + (f" [{where.strip()}]" if where else "")
    if outcome.truncated:
        hidden = outcome.count - len(outcome.findings)
        yield f"{'':<12}… and {hidden:,} more (--sample N shows more)"
    if outcome.status == "fail" and check.repair:
        yield f"{'':<12}to cure it: sexton repair {check.name}"
    elif outcome.status == "fail" and check.decide:
        yield f"{'':<12}to decide: {check.decide}"


def plan(made: Plan) -> str:
    """Each row to change, each column before and after, and why."""
    lines = []
    for action in made.actions:
        lines.append(f"{action.check}: {action.table} {_key(action.key)}")
        lines += [
            f"    {column}: {_value(before)} -> {_value(after)}"
            for column, (before, after) in action.change.items()
            if column != "updated_at"
        ]
        lines.append(f"    because {action.why}")
    for skip in made.skipped:
        lines.append(f"{skip.check}: {_key(skip.key)}not repaired; {skip.reason}")
    return "\n".join(lines)


def _key(key: dict[str, Any]) -> str:
    return "".join(f"{name}={value} " for name, value in key.items())


def _value(value: object) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value))  # type: ignore[call-overload, no-any-return]


def deletion(what: Deletion, *, done: bool) -> str:
    """What deleting a provider does, or did, in sentences."""
    tense = _Tense(done)
    return "\n".join(
        [
            f"{'deleted' if done else 'would delete'} provider {what.provider}",
            f"  {count(len(what.models), 'model')} {tense('became')} tombstones; "
            f"{_history(what.references)} stay on them",
            *_pending(what.references),
            f"  {count(what.references.user_keys, 'user key')} {tense('went')} with it",
            *_settings(what.references),
            *_succession(what.heir, what.previous_default, what.default_goes, tense),
        ]
    )


def switch(what: Switch, *, done: bool) -> str:
    """What enabling or disabling a provider does, or did."""
    tense = _Tense(done)
    verb = "enable" if what.enabled else "disable"
    effect = "usable if enabled" if what.enabled else "unusable"
    lines = [
        f"{verb + 'd' if done else 'would ' + verb} provider {what.provider}",
        f"  {count(len(what.models), 'live model')} {tense('became')} {effect}; "
        f"{_history(what.references)} belong to them, "
        f"{count(what.references.user_keys, 'user key')} to the provider",
        *_pending(what.references),
    ]
    if not what.enabled:
        lines += _settings(what.references)
    stays = what.heir is None and what.previous_default is not None
    if stays and what.default_goes and not what.enabled:
        lines.append("  warning: the default stays here, unusable; nobody can inherit")
    else:
        goes = what.default_goes and not what.enabled
        enabling = what.provider if what.enabled else None
        lines += _succession(what.heir, what.previous_default, goes, tense, enabling)
    return "\n".join(lines)


def restoration(what: Restoration, *, done: bool) -> str:
    """What restoring a provider's models does, or did."""
    tense = _Tense(done)
    return "\n".join(
        [
            f"{'restored' if done else 'would restore'} "
            f"{count(len(what.models), 'model')} of {what.provider}",
            f"  {_history(what.references)} {tense('were')} on them",
            *(f"    {id}" for id in what.models),
            *_succession(what.heir, what.previous_default, False, tense),
        ]
    )


def removal(what: Removal, *, done: bool) -> str:
    """What deleting a model config does, or did."""
    tense = _Tense(done)
    model, before = what.model, what.previous_default
    goes = before is not None and before["id"] == model["id"]
    return "\n".join(
        [
            f"{'deleted' if done else 'would delete'} {_name(model)}",
            f"  {_history(what.references)} stay on its tombstone",
            *_pending(what.references),
            *_settings(what.references),
            *_succession(what.heir, before, goes, tense),
        ]
    )


def reassignment(what: Reassignment, *, done: bool) -> str:
    """What reassigning does, or did."""
    lines = [
        f"{'reassigned' if done else 'would reassign'} from {_name(what.source)}",
        f"  to {_name(what.target)}",
        f"  {count(what.chats, 'open chat')} ({what.in_flight_chats:,} in flight), "
        f"{count(what.overrides, 'setting')}, "
        f"{count(what.queued_messages, 'queued message')}",
    ]
    if what.kept:
        kept = count(what.kept, "threshold")
        lines.append(f"  {kept} kept: the user has one for the other model too")
    return "\n".join(lines)


class _Tense:
    """Picks the verb for what is done, or would be."""

    FUTURE: ClassVar = {"became": "become", "went": "go", "were": "be"}

    def __init__(self, done: bool) -> None:
        self.done = done

    def __call__(self, verb: str) -> str:
        return verb if self.done else f"would {self.FUTURE[verb]}"


def _name(model: dict[str, Any]) -> str:
    return f"{model['model']} of {model['provider']} ({model['id']})"


def _history(counts: References) -> str:
    return f"{count(counts.chats, 'chat')} and {count(counts.messages, 'message')}"


def _pending(counts: References) -> Iterable[str]:
    if counts.in_flight_chats:
        yield f"  {count(counts.in_flight_chats, 'of the chats', 'of the chats')} in flight"
    if counts.queued_messages:
        yield f"  {count(counts.queued_messages, 'queued message')} for them"


def _settings(counts: References) -> Iterable[str]:
    if counts.overrides:
        verb = "names" if counts.overrides == 1 else "name"
        yield f"  {count(counts.overrides, 'setting')} still {verb} what goes"


def _succession(
    heir: dict[str, Any] | None,
    before: dict[str, Any] | None,
    goes: bool,
    tense: _Tense,
    enabling: str | None = None,
) -> Iterable[str]:
    if heir:
        yield f"  {_name(heir)} {tense('became')} the default"
        if not heir["enabled"] or not (
            heir["provider_enabled"] or heir["provider"] == enabling
        ):
            yield "  warning: it is not usable: it, or its provider, is disabled"
    elif before and not goes:
        yield f"  the default stays: {before['model']} of {before['provider']}"
    else:
        yield "  warning: no default is left; sexton model promote ID"


def status(document: dict[str, Any]) -> str:
    """The status document in lines."""
    default = document["default"]
    behind = "" if document["revision"] == document["head"] else ", sexton upgrade"
    lines = [
        f"revision    {document['revision'] or 'none'} "
        f"(head is {document['head']}{behind})",
        *(f"drift       {sentence}" for sentence in document["drift"]),
        f"providers   {document['providers']:,}",
        f"live        {document['live']:,} models",
        f"tombstones  {document['tombstones']:,} models, "
        f"under {count(document['chats_on_tombstones'], 'chat')}",
    ]
    if default:
        usable = "" if default["usable"] else ", NOT USABLE"
        lines.append(
            f"default     {default['model']} of {default['provider']} "
            f"({default['id']}){usable}"
        )
    else:
        lines.append("default     none")
    return "\n".join(lines)


def checks(known: Iterable[Check]) -> str:
    """The checks by name: severity and summary."""
    return table(
        [
            {"check": c.name, "severity": c.severity.value, "what it finds": c.summary}
            for c in known
        ],
        ("check", "severity", "what it finds"),
    )


def explanation(check: Check) -> str:
    """Everything about one check, its SQL last."""
    import textwrap

    lines = [
        f"{check.name} [{check.severity}]",
        "",
        check.explanation,
        "",
        "Finds its rows with:",
        "",
        textwrap.indent(textwrap.dedent(check.find).strip(), "    "),
    ]
    if check.repair:
        repair = textwrap.indent(textwrap.dedent(check.repair).strip(), "    ")
        lines += ["", "Plans its repair with:", "", repair]
    return "\n".join(lines)
