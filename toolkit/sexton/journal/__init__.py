"""The journal: who changed which rows through Sexton, when, and how they were before.

It lies in the schema `sexton` and is written in the transaction of the change itself. API
keys never enter it.
"""

from sexton.journal.history import (
    get_run,
    has_journal,
    last_step,
    list_changes,
    list_runs,
    run_of_plan,
)
from sexton.journal.runs import add_loss, begin_run, finish_run, mark_undone
from sexton.journal.tables import find_objection, require_journal

__all__ = [
    "add_loss",
    "begin_run",
    "find_objection",
    "finish_run",
    "get_run",
    "has_journal",
    "last_step",
    "list_changes",
    "list_runs",
    "mark_undone",
    "require_journal",
    "run_of_plan",
]
