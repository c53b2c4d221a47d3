"""Checks as text: a list of them, and everything about one."""

import textwrap
from collections.abc import Iterable
from typing import Any

from sexton.check import Check
from sexton.reporters.text import table
from sexton.text.printable import printable


def checks(known: Iterable[Check]) -> str:
    """The checks by name: severity and summary."""
    return table(
        [
            {
                "check": c.name,
                "severity": c.severity.value,
                "what it finds": f"skipped: {c.absent}" if c.absent else c.summary,
            }
            for c in known
        ],
        ("check", "severity", "what it finds"),
    )


def explanation(check: Check, choice: str = "") -> str:
    """Everything about one check, its SQL last; `choice` is how it would look today."""

    def indented(sql: str) -> str:
        return textwrap.indent(textwrap.dedent(sql).strip(), "    ")

    lines = [f"{check.name} [{check.severity}]", "", check.explanation, ""]
    if check.absent:
        lines += [f"It is skipped: {check.absent}.", ""]
    if choice:
        lines += [choice, ""]
    lines += ["Finds its rows with:", "", indented(check.find)]
    if check.repairs:
        lines += ["", "Plans its repair with:", "", *map(indented, check.repair_texts)]
    return "\n".join(lines)


def choice(document: dict[str, Any]) -> str:
    """How a check would look at a database, and why so."""
    if document["barred"]:
        return f"On this database it cannot look: {printable(document['barred'])}."
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
