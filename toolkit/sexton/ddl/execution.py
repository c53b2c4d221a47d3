"""Execution: do what is not done yet of some steps."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg

from sexton.catalog.relations import SAFE_PATH, Relation, quoted, resolve
from sexton.catalog.triggers import EVENTS, firing, meddlers
from sexton.ddl import background
from sexton.ddl.acquiring import NOT_ACQUIRED, acquire
from sexton.ddl.begun import note
from sexton.ddl.holders import LockSampler
from sexton.ddl.options import Options
from sexton.ddl.questions import is_done, look_up, missing, refuse, require_owner
from sexton.ddl.row_changes import RowChange
from sexton.ddl.sending import sender
from sexton.ddl.session import Driver, own_session, path_of
from sexton.ddl.steps import AUTOVACUUM_LOCK, Step
from sexton.ddl.waiting import LockWait
from sexton.errors import Busy, Refused
from sexton.postgres.session import rows, scalar, set_parameters
from sexton.text.printable import printable

Block = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class At:
    """Where the database must be: the revisions that a version table holds."""

    revisions: tuple[str, ...] = ()
    schema: str = "sexton"
    table: str = "alembic_version"

    @property
    def sql(self) -> str:
        """The version table's whole name."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"


def run(
    connection: Driver,
    steps: Sequence[Step | Mapping[str, Any]],
    options: Options | None = None,
    *,
    at: At | None = None,
) -> list[str]:
    """Do what is not done yet of some steps, each in a transaction of its own.

    `connection` is in autocommit mode and in no transaction. Each transaction compares
    `at`. Returns the titles of the steps that had something to do. Raises Busy, Refused,
    WrongServer.
    """
    options = options or Options()
    with own_session(connection):
        return [
            step.title
            for step in map(Step.of, steps)
            if perform(connection, step, options, at, nullcontext, connection.transaction)
        ]


def perform(
    driver: Driver,
    step: Step,
    options: Options,
    at: At | None,
    outside: Block,
    inside: Block,
) -> bool:
    """Do one step. `outside` leaves every transaction; `inside` is the step's own."""
    try:
        return _do(driver, step, options, at, outside, inside)
    except (Busy, Refused) as error:
        error.add_note(f'the step "{step.title}" was not done')
        raise
    except psycopg.Error as error:
        # For whoever says which revision it was.
        error.sexton_step = f'the step "{step.title}"'  # type: ignore[attr-defined]
        raise


def _do(
    driver: Driver,
    step: Step,
    options: Options,
    at: At | None,
    outside: Block,
    inside: Block,
) -> bool:
    with outside():
        found = look_up(driver, step)
        if is_done(driver, step, found):
            if why := missing(driver, step, _start(at), found):
                raise Refused("\n  ".join(why), hint=step.hint)
            return False
        relations = _locked(step, found)
        require_owner(driver, relations)
        refuse(driver, step, options, found)
        if step.outside_transaction:
            compare(driver, at)
            path = path_of(relations, driver)
            send = sender(step, found, options, at.revisions if at else ())
            if step.absent:
                _note(driver, step, options, at)
            try:
                background.run(
                    driver, step.statements(options.choices), path, options, send
                )
            except BaseException as error:
                if send.progress:
                    error.add_note(f"{send.progress} of it are committed, and stay")
                raise
            if not is_done(driver, step, found):
                _refuse_triggers(driver, step, options)
                raise Busy(f"{step.title}: its result is not there; was it undone?")
            return True
    wait = LockWait(
        options,
        LockSampler(driver, step.tables, step.lock or AUTOVACUUM_LOCK),
        step.title,
    )
    while True:
        if step.tables:
            with outside():
                wait.wait()
        began = time.monotonic()
        try:
            with inside():
                return _change(driver, step, options, at, wait)
        except NOT_ACQUIRED as error:
            wait.not_acquired(error, time.monotonic() - began)
            if not step.tables:
                raise


def _refuse_triggers(driver: Driver, step: Step, options: Options) -> None:
    """Raise Refused if triggers may have kept the rows of a step as they were."""
    for change in step.statements(options.choices):
        if not isinstance(change, RowChange):
            continue
        for relation in resolve(driver, [change.table]).values():
            events = EVENTS[change.kind]
            if triggers := firing(driver, {relation.oid: events}):
                by = meddlers(triggers, relation.oid, events)
                raise Refused(
                    f"{step.title}: rows of {printable(change.table)} are as they were; "
                    f"{by} may have kept them from being changed",
                    hint="change or disable the trigger, and run the same command again",
                )


def _change(
    driver: Driver, step: Step, options: Options, at: At | None, wait: LockWait
) -> bool:
    compare(driver, at)
    found = look_up(driver, step)
    relations = _locked(step, found)
    if relations and step.lock:
        acquire(driver, relations, step.lock, wait.timeout)
        # What was seen before the lock may have changed until it was had.
        found = look_up(driver, step)
        if is_done(driver, step, found):
            return False
        refuse(driver, step, options, found)
    _set_path(driver, path_of(relations, driver))
    send = sender(step, found, options, at.revisions if at else ())
    for statement in step.statements(options.choices):
        send(driver, statement)
    _set_path(driver, SAFE_PATH)
    if step.absent:
        _note(driver, step, options, at)
    return True


def _locked(step: Step, found: Mapping[str, Relation]) -> list[Relation]:
    """The tables that a step locks, in its order: parent first."""
    return [found[name] for name in step.tables if name in found]


def _start(at: At | None) -> str:
    return ", ".join(sorted(at.revisions)) if at else ""


def _note(driver: Driver, step: Step, options: Options, at: At | None) -> None:
    """Note that the step is made, which the catalog cannot tell from a wrong name."""
    make = options.makes_journal
    if why := note(driver, _start(at), step.title, make=make):
        options.say(
            f'that "{step.title}" is done cannot be noted: {printable(why)}; if its '
            "revision is interrupted after it, give the operation if_exists=True"
        )


def _set_path(driver: Driver, path: str) -> None:
    set_parameters(driver, {"search_path": path}, local=True)


def compare(driver: Driver, at: At | None) -> None:
    """Insist that the database is still where the run began; lock the version row."""
    if at is None:
        return
    there = """
        select exists (
            select from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname::pg_catalog.text = %s and c.relname::pg_catalog.text = %s
        )
    """
    found = []
    if scalar(driver, there, at.schema, at.table):
        query: Any = f"select version_num from {at.sql} for update"  # noqa: S608
        found = [row["version_num"] for row in rows(driver, query)]
    if sorted(found) != sorted(at.revisions):
        raise Busy(
            f"another upgrade is at work: the database was at {_names(at.revisions)}, "
            f"and is at {_names(found)} now"
        )


def _names(revisions: Sequence[str]) -> str:
    return ", ".join(revisions) or "no revision"
