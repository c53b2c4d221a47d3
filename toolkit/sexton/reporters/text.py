"""Results as text: one line a thing, worst first, plain in a pipe as on a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from sexton.audit.baseline import Comparison
from sexton.audit.outcome import Outcome, Status
from sexton.audit.report import Report
from sexton.check import Check, Severity

ORDER: tuple[Status, ...] = ("pass", "fail", "incomplete", "skipped")
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


def audit(report: Report) -> str:
    """One line a check, worst first, with a sample of what it found."""
    ordered = sorted(
        report.outcomes,
        key=lambda o: (RANK[o.status], -o.check.severity.rank, o.check.name),
    )
    lines = [line for outcome in ordered for line in _outcome(outcome)]
    if report.comparison:
        lines += _comparison(report.comparison)
    counted = ", ".join(
        f"{n} {status}" for status in ORDER if (n := report.counted(status))
    )
    where = f"Snapshot {report.run.snapshot}. " if report.run.snapshot else ""
    total = count(len(report.outcomes), "check")
    lines.append(f"{total}: {counted}. {where}Exit {report.code}.")
    return "\n".join(lines)


def headline(outcome: Outcome) -> str:
    """How many findings, in words; empty where there are none."""
    if not outcome.count:
        return ""
    at_least = "at least " if outcome.count_is == "at_least" else ""
    known = f", {outcome.new:,} new" if outcome.known else ""
    return f"{at_least}{count(outcome.count, 'finding')}{known}"


def _outcome(outcome: Outcome) -> Iterable[str]:
    check = outcome.check
    word = {"incomplete": "INCOMPLETE", "skipped": "skipped", "pass": "ok"}.get(
        outcome.status, "FAIL" if check.severity is not Severity.INFO else "info"
    )
    said = [
        headline(outcome) if outcome.status in ("fail", "pass") else "",
        outcome.reason or "",
        outcome.scope,
    ]
    if outcome.strategy and outcome.strategy != "constraint":
        said[-1] += f", {outcome.strategy}, {outcome.elapsed_ms:.1f} ms"
    yield f"{word:<10}  {check.name:<33}{'; '.join(filter(None, said))}"
    for finding in outcome.findings:
        where = "".join(f" {name}={value}" for name, value in finding.key.items())
        yield f"{'':<12}{finding.message}" + (f" [{where.strip()}]" if where else "")
    if outcome.findings and outcome.truncated:
        hidden = outcome.new - len(outcome.findings)
        yield f"{'':<12}… and {hidden:,} more (--sample N shows more)"
    if outcome.status == "fail" and check.repairs:
        yield f"{'':<12}to cure it: sexton repair {check.name}"
    elif outcome.status == "fail" and check.manual_action:
        yield f"{'':<12}to decide: {check.manual_action}"


def _comparison(comparison: Comparison) -> Iterable[str]:
    for word, entries in (("stale", comparison.stale), ("expired", comparison.expired)):
        for entry in entries:
            key = ", ".join(f"{name}={value}" for name, value in entry.key.items())
            owner = f"; ask {entry.owner}" if entry.owner else ""
            yield f"{word:<10}  {entry.check:<33}{entry.table} {key}{owner}"
    if comparison.stale:
        yield f"{'':<12}to drop them: sexton audit --write-baseline {comparison.file}"


def status(document: dict[str, Any]) -> str:
    """The status document in lines."""
    default = document["default"]
    behind = "" if document["revision"] == document["head"] else ", sexton upgrade"
    if document["revision"] is None:
        behind = "; not recorded yet, sexton adopt recognises it"
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


def explanation(check: Check, choice: str = "") -> str:
    """Everything about one check, its SQL last; `choice` is how it would look today."""
    import textwrap

    def indented(sql: str) -> str:
        return textwrap.indent(textwrap.dedent(sql).strip(), "    ")

    lines = [f"{check.name} [{check.severity}]", "", check.explanation, ""]
    if choice:
        lines += [choice, ""]
    lines += ["Finds its rows with:", "", indented(check.find)]
    if check.repairs:
        lines += ["", "Plans its repair with:", "", *map(indented, check.repair_texts)]
    return "\n".join(lines)


def choice(document: dict[str, Any]) -> str:
    """How a check would look at a database, and why so."""
    import textwrap

    if document["skipped"]:
        return f"On this database it is skipped: {document['skipped']}."
    lines = [f"On this database: {document['scope']}."]
    if facts := document["facts"]:
        distinct = facts["distinct"]
        lines += [
            f"  children   about {facts['children']:,.0f}",
            f"  parents    about {facts['parents']:,.0f}",
            f"  distinct   {'not known' if distinct is None else f'about {distinct:,.0f}'}",
            f"  index      {facts['index'] or 'none that can be used'}",
        ]
        if not facts["comparable"]:
            lines.append("  the two columns differ in type or collation")
    for strategy, cost in (document["costs_ms"] or {}).items():
        mark = " <- chosen" if strategy == document["strategy"] else ""
        lines.append(f"  {strategy:<17} about {cost:,.1f} ms{mark}")
    if document["enforced_by"]:
        lines.append(
            f"  enforced by CONSTRAINT {document['enforced_by']}; --recheck looks anyway"
        )
    if document["sql"]:
        sql = textwrap.indent(textwrap.dedent(document["sql"]).strip(), "    ")
        lines += ["", f"Looks by {document['strategy']}:", "", sql]
    if document["advice"]:
        lines += ["", "This index would make it a matter of milliseconds:", ""]
        lines.append(f"    {document['advice']};")
    return "\n".join(lines)
