"""`op.run_steps`: a revision's steps, each in its own transaction, for anybody's revisions.

`import sexton.alembic` registers it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import psycopg
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Connection, text

from sexton.catalog.relations import quoted, resolve, search_path
from sexton.database import rows
from sexton.ddl.begun import note
from sexton.ddl.execution import At, perform, run
from sexton.ddl.options import Options
from sexton.ddl.row_changes import text_of
from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step
from sexton.errors import Refused
from sexton.online.beside import (
    AROUND,
    AROUND_HINT,
    asked,
    beside,
    is_psycopg,
    see_path,
)
from sexton.online.team_code import plainly
from sexton.postgres.trust import stranger
from sexton.text.printable import printable

HERE = "here"  # where the version table says that the database is


@dataclass
class Record:
    """What a run of Alembic has done: revisions, and titles of steps by revision.

    `kind` is upgrade, downgrade or stamp. Of a revision that is not done yet, `titles` are
    the steps that are committed, `pending` those in the transaction that is open.
    """

    kind: str = "upgrade"
    revisions: list[str] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    given: bool = True  # by `sexton upgrade`, which makes the journal
    begun: str | None = None  # what to note before the first commit in the revision
    beside: Driver | None = None  # the steps' connection, if the team's is not psycopg's

    def add(self, numbers: Sequence[str]) -> None:
        """Note that these revisions are done, with the steps since the last ones."""
        self.confirm()
        self.revisions += numbers
        self.steps[", ".join(numbers)] = self.titles
        self.titles = []

    def confirm(self) -> None:
        """Note that the open transaction is committed."""
        self.titles += self.pending
        self.pending = []


@Operations.register_operation("run_steps")
class RunSteps(MigrateOperation):
    """The operation behind `op.run_steps`."""

    def __init__(self, steps: Sequence[Step], at: Any) -> None:
        self.steps = steps
        self.at = at

    @classmethod
    def run_steps(
        cls,
        operations: Operations,
        steps: Sequence[Step | Mapping[str, Any]],
        *,
        at: Any = HERE,
    ) -> None:
        """Run a revision's steps.

        `at` is the revision, or the revisions, that they start from, None for none; each
        step's transaction compares it. By default it is what the database says.
        """
        operations.invoke(cls([Step.of(step) for step in steps], at))


@Operations.implementation_for(RunSteps)
def _run_steps(operations: Operations, operation: RunSteps) -> None:
    context = operations.migration_context
    options, record = (context.opts or {}).get("sexton") or (Options(), Record())
    if context.as_sql:
        for step in operation.steps:
            _print(operations, step, options)
        return
    if not operation.steps:
        return
    way = getattr((context.opts or {}).get("fn"), "__name__", "")
    if way in ("upgrade", "downgrade"):  # the command of Alembic that runs
        options = replace(options, kind=way)
    with stepping(operations) as driver, own_session(driver):
        if not is_psycopg(_bound(operations)):
            with context.autocommit_block():
                at = _at(context, driver, operation.at)
                _note(driver, record, at)
                record.titles += run(driver, operation.steps, options, at=at)
            return
        *first, last = operation.steps
        at = _at(context, driver, operation.at)
        _note(driver, record, at)
        with context.autocommit_block():
            record.confirm()
            record.titles += run(driver, first, options, at=at)

        @contextlib.contextmanager
        def inside() -> Iterator[None]:
            # Alembic's own transaction, which it commits with the version row in it.
            try:
                yield
            except psycopg.Error:
                if not driver.closed:
                    driver.rollback()
                raise

        if perform(driver, last, options, at, context.autocommit_block, inside):
            record.pending.append(last.title)


def _note(driver: Driver, record: Record, at: At) -> None:
    """Note that operations of the revision begin to commit: it may be interrupted."""
    if record.begun is not None:
        note(driver, ", ".join(sorted(at.revisions)), record.begun, make=True)
    record.begun = None


def _bound(operations: Operations) -> Connection:
    bound = operations.get_bind()
    assert isinstance(bound, Connection)
    return bound


@contextlib.contextmanager
def stepping(operations: Operations) -> Iterator[Driver]:
    """The psycopg connection that steps run on: the team's, or else one beside it.

    Beside another driver's, what the revision did so far is committed first: the steps
    could not see it, or would wait for it. Raises Refused in a transaction that env.py
    began itself.
    """
    context: Any = operations.migration_context
    connection = _bound(operations)
    managed = (context.opts or {}).get("sexton")
    with plainly(managed is None):
        if context._in_external_transaction:
            raise Refused(AROUND, hint=AROUND_HINT)
        if is_psycopg(connection):
            yield cast("Driver", connection.connection.driver_connection)
            return
        record = managed[1] if managed else Record()
        theirs = asked(connection)
        with context.autocommit_block():
            record.confirm()
        with contextlib.ExitStack() as stack:
            driver = record.beside or stack.enter_context(beside(connection))
            see_path(driver, theirs)
            yield driver


def _at(context: Any, driver: Driver, at: Any) -> At:
    found = here(driver, context.version_table, context.version_table_schema)
    if at == HERE:
        return found
    return replace(found, revisions=(at,) if isinstance(at, str) else tuple(at or ()))


def here(driver: Driver, table: str, schema: str | None) -> At:
    """Where a version table says that the database is, and in which schema it lies.

    Without a schema, as Alembic does it: where the search_path shows the table, else where
    it would be made. The caller's path counts, also while pg_catalog alone is in sight.
    Raises Refused for what is no table, or not a trusted owner's: whoever writes into it
    runs its triggers.
    """
    name = f"{schema}.{table}" if schema else table
    found = resolve(driver, [name], judged=False).get(name)
    if found is None:
        seen = [s for s in search_path(driver) if not s.startswith("pg_")]
        return At((), schema or next(iter(seen), "public"), table)
    if found.kind != "r":  # a view would run its owner's functions
        raise Refused(f"{printable(name)} is no table, so it does not say the revision")
    if refused := found.refusal(writes=True):
        raise refused
    if not found.trusted:
        raise stranger(f"{found.schema}.{found.name}", found.kind, found.owner)
    query: Any = f"select version_num from {found.sql}"  # noqa: S608
    heads = tuple(row["version_num"] for row in rows(driver, query))
    return At(heads, found.schema, table)


def _print(operations: Operations, step: Step, options: Options) -> None:
    def send(*lines: str) -> None:
        for line in lines:
            operations.execute(text(line.replace(":", r"\:")))

    operations.execute(text(f"-- {step.title}".replace(":", r"\:")))
    statements = map(text_of, step.statements(options.choices))
    if step.outside_transaction:
        with operations.migration_context.autocommit_block():
            send(*statements)
        return
    if step.tables and step.lock:
        tables = [".".join(map(quoted, name.split(".", 1))) for name in step.tables]
        send(
            f"set local lock_timeout = '{round(options.max_stall * 1000)}ms'",
            f"lock table {', '.join(tables)} in {step.lock} mode",
        )
    send(*statements)
