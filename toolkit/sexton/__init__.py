"""Sexton: from foreign keys to soft deletes, and honest references afterwards.

Every function takes an open psycopg connection, runs inside the caller's transaction, and
neither commits, prints nor exits; where one walks in batches, its docstring says so. From
SQLAlchemy, pass `session.connection().connection.driver_connection`. What goes wrong is a
`SextonError`: one sentence, a hint, an exit code.

    sexton.database    connect, snapshot, transact
    sexton.check       Check, and in sexton.cure what repairs it
    sexton.project     what a team declares about its database
    sexton.audit       select_checks, run_checks; baselines; reports
    sexton.repair      plan_repair, apply_plan, undo_run
    sexton.upgrade     sexton.upgrade.run: upgrade, downgrade; adopt, drift, previews
    sexton.guard       a foreign key for live rows alone
    sexton.chat        the chat product's declarations and operations
    sexton.embedded    Server: a PostgreSQL in a directory
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sexton.audit.auditor import run_checks
    from sexton.audit.selection import select_checks
    from sexton.check import Check, Reference, Severity
    from sexton.cure import Delete, Insert, Update
    from sexton.database import connect, snapshot, transact
    from sexton.errors import SextonError
    from sexton.project import Project, all_checks
    from sexton.repair.apply import apply_plan
    from sexton.repair.planner import plan_repair
    from sexton.repair.undo import undo_run

__version__ = "0.1.0"
__all__ = [
    "Check",
    "Delete",
    "Insert",
    "Project",
    "Reference",
    "Severity",
    "SextonError",
    "Update",
    "__version__",
    "all_checks",
    "apply_plan",
    "connect",
    "plan_repair",
    "run_checks",
    "select_checks",
    "snapshot",
    "transact",
    "undo_run",
]

# Imported at the first use: `import sexton`, and `sexton --help`, must stay quick.
_MODULES = {
    "audit.auditor": ("run_checks",),
    "audit.selection": ("select_checks",),
    "check": ("Check", "Reference", "Severity"),
    "cure": ("Delete", "Insert", "Update"),
    "database": ("connect", "snapshot", "transact"),
    "errors": ("SextonError",),
    "project": ("Project", "all_checks"),
    "repair.apply": ("apply_plan",),
    "repair.planner": ("plan_repair",),
    "repair.undo": ("undo_run",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
