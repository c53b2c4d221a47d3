"""Audits as SARIF 2.1.0, for code scanning: a rule for each check, clean or not."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sexton import __version__
from sexton.check import Check, Severity
from sexton.project import all_checks
from sexton.reporters.formats import Format

if TYPE_CHECKING:
    from sexton.audit.outcome import Finding, Outcome
    from sexton.audit.report import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.INFO: "note", Severity.WARNING: "warning", Severity.ERROR: "error"}


def render(report: "Report", _: str = "") -> str:
    """All rules stand there even when clean, so that resolved alerts close."""
    checks = [outcome.check for outcome in report.outcomes]
    indexes = {check.name: index for index, check in enumerate(checks)}
    return document(
        [_rule(check) for check in checks],
        [
            _result(report, outcome, finding, indexes[outcome.check.name])
            for outcome in report.outcomes
            for finding in outcome.findings
        ],
        {
            "executionSuccessful": report.status != "incomplete",
            "exitCode": report.code,
            "startTimeUtc": _time(report.run.started_at),
            "endTimeUtc": _time(report.run.finished_at),
            "toolExecutionNotifications": [
                _notification(outcome)
                for outcome in report.outcomes
                if outcome.status in ("incomplete", "skipped")
            ],
        },
        f"sexton/audit/{report.run.id}",
    )


def document(
    rules: list[dict[str, Any]],
    results: list[dict[str, Any]],
    invocation: dict[str, Any],
    name: str,
) -> str:
    """A document of one run; `name` tells apart what is compared, run by run."""
    driver = {"name": "Sexton", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": name},
        "invocations": [invocation],
        "results": results,
    }
    found = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(found, indent=2, ensure_ascii=False)


def location(file: str, line: int) -> dict[str, Any]:
    """A line of a file, which is relative to the working directory."""
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": file},
            "region": {"startLine": line},
        }
    }


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.name,
        "shortDescription": {"text": check.summary},
        "fullDescription": {"text": check.explanation},
        "help": {"text": f"sexton explain {check.name}"},
        "defaultConfiguration": {"level": LEVELS[check.severity]},
    }


def _notification(outcome: "Outcome") -> dict[str, Any]:
    level = "error" if outcome.status == "incomplete" else "note"
    return {
        "level": level,
        "message": {"text": f"{outcome.status}: {outcome.reason}"},
        "associatedRule": {"id": outcome.check.name},
    }


def _result(
    report: "Report", outcome: "Outcome", finding: "Finding", index: int
) -> dict[str, Any]:
    where = ", ".join(f"{name}={value}" for name, value in finding.key.items())
    row = f"{finding.table}({where})"
    result = {
        "ruleId": outcome.check.name,
        "ruleIndex": index,
        "level": LEVELS[outcome.check.severity],
        "message": {"text": finding.message},
        "locations": [
            location(_file(outcome.check), 1)
            | {"logicalLocations": [{"fullyQualifiedName": row, "kind": "row"}]}
        ],
        "partialFingerprints": {"sextonFinding/v1": finding.fingerprint},
    }
    if change := report.changes.get(outcome.check.name):
        since = change.since.get(finding.fingerprint)
        new = since is not None and _time(report.run.started_at) == since
        result["baselineState"] = "new" if new else "unchanged"
    return result


def _file(check: Check) -> str:
    """Where the promise is written down, for rows lie in no file."""
    module = sys.modules.get(check.module)
    file = Path((module and module.__file__) or check.name)
    if check.name in all_checks():
        return f"checks/{file.name}"
    with contextlib.suppress(ValueError):
        return file.resolve().relative_to(Path.cwd()).as_posix()
    return file.name


def _time(when: Any) -> str:
    return str(when.isoformat()).replace("+00:00", "Z")


FORMAT = Format(render, (".sarif",))
