"""What a run of Alembic has around it: no transaction, a lock's patience, the journal."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg

from sexton.database import rows
from sexton.ddl.execution import At
from sexton.ddl.options import Options
from sexton.ddl.session import Driver
from sexton.journal.schema_changes import moved, recorded
from sexton.online.run_steps import Record, here
from sexton.postgres.session import set_parameters


@contextlib.contextmanager
def autocommit(driver: Driver) -> Iterator[None]:
    """Out of any transaction for the block; what was begun is rolled back."""
    driver.rollback()
    before, driver.autocommit = driver.autocommit, True
    try:
        yield
    finally:
        if not driver.closed:
            driver.autocommit = before


@contextlib.contextmanager
def impatient(driver: Driver, options: Options) -> Iterator[None]:
    """Let plain operations give up a lock in time, unless the session says when itself."""
    with autocommit(driver):
        asked = rows(driver, "select pg_catalog.current_setting('lock_timeout') as value")
        if asked[0]["value"] == "0":
            stall = f"{round(options.max_stall * 1000)}ms"
            set_parameters(driver, {"lock_timeout": stall})
    try:
        yield
    finally:
        if not driver.closed:
            with contextlib.suppress(psycopg.Error), autocommit(driver):
                set_parameters(driver, {"lock_timeout": asked[0]["value"]})


@contextlib.contextmanager
def journalled(
    own: Any, at: At, record: Record, options: Options, *, idle: bool
) -> Iterator[None]:
    """Let the journal have the run, where its schema is there: none is made for it."""
    made = rows(own, "select pg_catalog.to_regnamespace('sexton') is not null as made")
    if not made[0]["made"]:
        yield
        return

    def heads() -> str | None:
        return ", ".join(sorted(here(own, at.table, at.schema).revisions)) or None

    def changed() -> dict[str, Any]:
        return moved(before, heads(), record.revisions, record.titles)

    before = heads()
    with recorded(own, lambda: record.kind, changed, options.say, idle=idle):
        yield
