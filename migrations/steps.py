"""Steps: what a revision does, one lock at a time, and only what is not done yet.

A revision declares its steps as data and calls `op.run_steps`. A step is a dictionary:

`title`     what it does, as an imperative sentence
`lock`      the lock mode it takes
`tables`    the tables it locks, parent first
`refuse`    pairs of a query and a sentence: where the query returns a row, the step is
            refused, with the sentence filled from that row
`done`      a query that returns true when the step's result is there, by definition and
            not by name; then nothing is sent
`sql`       the statements
`alone`     true for statements that cannot run in a transaction (CONCURRENTLY)

Each step commits by itself, except the last one: it shares its transaction with the
version row. Killed anywhere, the revision can be run again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from psycopg.rows import dict_row
from sqlalchemy import Connection, text

Step = dict[str, Any]

LOCK_TIMEOUT = "1s"  # a migration must never queue behind a long query for longer
REFUSED = "refused: "  # begins the message of a CommandError that is no mistake


def register() -> None:
    """Make `op.run_steps` known to alembic; again does no harm."""
    if not hasattr(Operations, "run_steps"):
        Operations.register_operation("run_steps")(RunSteps)
        Operations.implementation_for(RunSteps)(run_steps)


class RunSteps(MigrateOperation):
    """The operation behind `op.run_steps`."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    @classmethod
    def run_steps(cls, operations: Operations, steps: Sequence[Step]) -> None:
        """Run a revision's steps."""
        operations.invoke(cls(steps))


def make_schema(connection: Connection, name: str) -> None:
    """Make a schema where there is none, in a transaction of its own."""
    with connection.begin():
        absent = text("select to_regnamespace(:name) is null")
        if connection.execute(absent, {"name": name}).scalar():
            connection.execute(text(f'create schema "{name}"'))


def run_steps(operations: Operations, operation: RunSteps) -> None:
    """Do what is not done yet of a revision's steps."""
    context = operations.migration_context
    if context.as_sql:
        for step in operation.steps:
            _print(operations, step)
        return
    *first, last = operation.steps
    for step in first:
        with context.autocommit_block():
            _run(operations.get_bind(), step)
    if last.get("alone"):
        with context.autocommit_block():
            _run(operations.get_bind(), last)
    else:
        _run(operations.get_bind(), last)


def _print(operations: Operations, step: Step) -> None:
    def send() -> None:
        for statement in step["sql"]:
            operations.execute(text(statement.replace(":", r"\:")))

    operations.execute(text(f"-- {step['title']}"))
    if step.get("alone"):
        with operations.migration_context.autocommit_block():
            send()
    else:
        send()


def _run(connection: Connection, step: Step) -> None:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(row_factory=dict_row)
    for query, sentence in step.get("refuse", ()):
        if row := cursor.execute(query).fetchone():
            raise CommandError(REFUSED + sentence.format_map(row))
    if _is_done(cursor, step):
        return
    with _transaction(driver, step):
        if step.get("tables") and not step.get("alone"):
            cursor.execute(f"lock table {', '.join(step['tables'])} in {step['lock']} mode")
        for statement in step["sql"]:
            cursor.execute(statement)


def _is_done(cursor: Any, step: Step) -> bool:
    if not step.get("done"):
        return False
    return all(cursor.execute(step["done"]).fetchone().values())


@contextmanager
def _transaction(driver: Any, step: Step) -> Iterator[None]:
    if step.get("alone"):
        yield
        return
    with driver.transaction():
        driver.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        yield
