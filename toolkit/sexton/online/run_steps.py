"""`op.run_steps`: a revision's steps, each in its own transaction, for anybody's revisions.

`import sexton.alembic` registers it.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text

from sexton.catalog.relations import quoted, resolve, search_path
from sexton.database import rows
from sexton.ddl.execution import At, perform, run
from sexton.ddl.options import Options
from sexton.ddl.row_changes import text_of
from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step

HERE = "here"  # where the version table says that the database is


@dataclass
class Record:
    """What a run of Alembic has done: revisions, and titles of steps by revision."""

    revisions: list[str] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    def add(self, numbers: Sequence[str]) -> None:
        """Note that these revisions are done, with the steps since the last ones."""
        self.revisions += numbers
        self.steps[", ".join(numbers)] = self.titles
        self.titles = []


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
    if context.as_sql:
        for step in operation.steps:
            _print(operations, step)
        return
    if not operation.steps:
        return
    options, record = (context.opts or {}).get("sexton") or (Options(), Record())
    way = getattr((context.opts or {}).get("fn"), "__name__", "")
    if way in ("upgrade", "downgrade"):  # the command of Alembic that runs
        options = dataclasses.replace(options, kind=way)
    connection: Any = operations.get_bind()
    driver: Any = connection.connection.driver_connection
    *first, last = operation.steps
    with own_session(driver):
        at = _at(context, driver, operation.at)
        with context.autocommit_block():
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
            record.titles.append(last.title)


def _at(context: Any, driver: Driver, at: Any) -> At | None:
    where = {"table": context.version_table, "schema": context.version_table_schema}
    if where["schema"] is None:
        found = resolve(driver, [where["table"]]).get(where["table"])
        where["schema"] = found.schema if found else search_path(driver)[-1]
    if at == HERE:
        # Alembic itself looks on the search_path, which shows pg_catalog alone by now.
        here = At((), **where)
        there = resolve(driver, [f"{here.schema}.{here.table}"])
        query = f"select version_num from {here.sql}"  # noqa: S608
        heads = rows(driver, query) if there else []
        return At(tuple(row["version_num"] for row in heads), **where)
    return At((at,) if isinstance(at, str) else tuple(at or ()), **where)


def _print(operations: Operations, step: Step) -> None:
    def send(*lines: str) -> None:
        for line in lines:
            operations.execute(text(line.replace(":", r"\:")))

    operations.execute(text(f"-- {step.title}".replace(":", r"\:")))
    if step.outside_transaction:
        with operations.migration_context.autocommit_block():
            send(*map(text_of, step.sql))
        return
    if step.tables and step.lock:
        tables = [".".join(map(quoted, name.split(".", 1))) for name in step.tables]
        send(
            f"set local lock_timeout = '{round(Options().max_stall * 1000)}ms'",
            f"lock table {', '.join(tables)} in {step.lock} mode",
        )
    send(*map(text_of, step.sql))
