"""Documents of audits, made by hand: what pages and reports are tested with."""

from typing import Any

from tests.support.project import HEAD

Document = dict[str, Any]


def finding(key: int, message: str = "it is wrong") -> Document:
    """A finding of table `t`."""
    return {
        "table": "t",
        "key": {"id": key},
        "message": message,
        "values": {},
        "fingerprint": f"{key:032x}",
    }


def check(name: str, *keys: int, **more: Any) -> Document:
    """A check that found these rows; without any, it passed."""
    found = [finding(key) for key in keys]
    return {
        "check": name,
        "severity": "error",
        "status": "fail" if keys else "pass",
        "reason": None,
        "strategy": "scan",
        "count": len(found),
        "count_is": "exact",
        "known": 0,
        "findings": found,
        "truncated": False,
        "elapsed_ms": 1.0,
        "repair": True,
        **more,
    }


def audited(day: int, *checks: Document, **run: Any) -> Document:
    """An audit of a day in January."""
    statuses = [found["status"] for found in checks]
    status = "clean"
    if "fail" in statuses:
        status = "findings"
    if "incomplete" in statuses:
        status = "incomplete"
    return {
        "schema_version": 1,
        "run": {
            "id": f"run-{day}",
            "tool_version": "0",
            "started_at": f"2026-01-{day:02}T03:00:00+00:00",
            "finished_at": f"2026-01-{day:02}T03:00:01+00:00",
            "database": "chat",
            "server_version": "18.6",
            "revision": HEAD,
            "snapshot": "1:1:",
            **run,
        },
        "summary": {
            "status": status,
            "passed": statuses.count("pass"),
            "failed": statuses.count("fail"),
            "incomplete": statuses.count("incomplete"),
            "skipped": statuses.count("skipped"),
            "findings": sum(found["count"] for found in checks),
        },
        "checks": list(checks),
    }
