"""Results as text: one line a thing, worst first, plain in a pipe as on a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from checks import Check, Severity
from toolkit.audit import Outcome
from toolkit.providers import Deletion

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


def deletion(what: Deletion, *, done: bool) -> str:
    """What deleting a provider does, or did, in sentences."""
    would = "" if done else "would "
    verb = {"became": "became", "went": "went", "was": "was"}
    if not done:
        verb = {"became": "become", "went": "go", "was": "be"}
    lines = [
        f"{'deleted' if done else 'would delete'} provider {what.provider}",
        f"  {count(len(what.tombstoned), 'model')} {would}{verb['became']} tombstones; "
        f"{count(what.chats, 'chat')} and {count(what.messages, 'message')} stay on them",
        f"  {count(what.user_keys, 'user key')} {would}{verb['went']} with it",
    ]
    if what.overrides:
        lines.append(f"  {count(what.overrides, 'setting')} still name these models")
    before, heir = what.previous_default, what.heir
    if heir:
        lines.append(
            f"  {heir['model']} of {heir['provider']} ({heir['id']}) "
            f"{would}{verb['became']} the default"
        )
        if not heir["usable"]:
            lines.append("  warning: it is not usable: it, or its provider, is disabled")
    elif before and not what.default_goes:
        lines.append(f"  the default stays: {before['model']} of {before['provider']}")
    else:
        lines.append("  warning: no default is left; sexton model promote ID")
    return "\n".join(lines)


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
