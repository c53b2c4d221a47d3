"""Steps: what a revision does, one lock at a time, and only what is not done yet.

A revision declares its steps as data and calls `op.run_steps`. A step is a dictionary:

`title`     what it does, as an imperative sentence
`lock`      the lock mode it takes
`tables`    the tables it locks, parent first
`done`      a query that returns true when the step's result is there, by definition and
            not by name; then nothing is sent, for even a needless statement queues
`refuse`    pairs of a query and a sentence: where the query returns a row, the step is
            refused, with the sentence filled from that row
`warn`      such pairs for what does not stop the step, but should be known before
`sql`       the statements
`alone`     true for statements that run for long beside the others' work: outside any
            transaction, on a connection of their own
`choice`    an option, as `tombstones=disable`, that lifts `refuse`
`chosen`    statements that then come before `sql`
`scans`     the tables whose rows it reads
`loses`     what cannot be taken back, as a sentence

Each step commits by itself, except a revision's last one: it shares its transaction with
the version row. Killed anywhere, the revision can be run again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from alembic.operations import MigrateOperation, Operations
from psycopg.rows import dict_row
from sqlalchemy import text

from sexton.ddl import background as beside
from sexton.ddl import waiting as locks
from sexton.ddl.waiting import Driver, LockSampler, LockWait, Options
from sexton.errors import Busy, Refused, WrongServer
from sexton.schema import VERSION_SCHEMA, VERSION_TABLE

Step = dict[str, Any]
Block = Callable[[], AbstractContextManager[Any]]

VERSION = f"{VERSION_SCHEMA}.{VERSION_TABLE}"
ANY = "any"  # a revision that is not compared


def run(
    connection: Driver,
    steps: Sequence[Step],
    options: Options | None = None,
    *,
    at: str | None = ANY,
) -> list[str]:
    """Do what is not done yet of some steps, each in a transaction of its own.

    `connection` is in autocommit mode and in no transaction. `at` is the revision that
    the database must be at, None for none at all; each transaction compares it. Returns
    the titles of the steps that had something to do. Raises Busy, Refused, WrongServer.
    """
    options = options or Options()
    return [
        step["title"]
        for step in steps
        if _perform(connection, step, options, at, nullcontext, connection.transaction)
    ]


def _perform(
    driver: Driver,
    step: Step,
    options: Options,
    at: str | None,
    outside: Block,
    inside: Block,
) -> bool:
    """Do one step. `outside` leaves every transaction; `inside` is the step's own."""
    try:
        return _do(driver, step, options, at, outside, inside)
    except (Busy, Refused) as error:
        error.add_note(f'the step "{step["title"]}" was not done')
        raise


def _do(
    driver: Driver,
    step: Step,
    options: Options,
    at: str | None,
    outside: Block,
    inside: Block,
) -> bool:
    with outside():
        if is_done(driver, step):
            return False
        require_owner(driver, step)
        refuse(driver, step, options)
        if step.get("alone"):
            _compare(driver, at)
            beside.run(driver, step["sql"], options)
            if not is_done(driver, step):
                raise Busy(f"{step['title']}: its result is not there; was it undone?")
            return True
    patience = LockWait(
        options,
        LockSampler(
            driver, step.get("tables", ()), step.get("lock", locks.AUTOVACUUM_LOCK)
        ),
    )
    while True:
        if step.get("tables"):
            with outside():
                patience.wait()
        asked = time.monotonic()
        try:
            with inside():
                return _change(driver, step, options, at, patience)
        except locks.NOT_ACQUIRED as error:
            patience.missed(error, time.monotonic() - asked)
            if not step.get("tables"):
                raise


def _change(
    driver: Driver, step: Step, options: Options, at: str | None, patience: LockWait
) -> bool:
    _compare(driver, at)
    if step.get("tables"):
        locks.acquire(driver, step["tables"], step["lock"], patience.timeout)
        # What was seen before the lock may have changed until it was had.
        if is_done(driver, step):
            return False
        refuse(driver, step, options)
    for statement in statements(step, options):
        driver.execute(statement)
    return True


def statements(step: Step, options: Options) -> list[Any]:
    """What a step sends, the user's choices regarded."""
    if step.get("choice") in options.choices:
        return [*step["chosen"], *step["sql"]]
    return list(step["sql"])


def is_done(driver: Driver, step: Step) -> bool:
    """Whether the step's result is there already."""
    if not step.get("done"):
        return False
    row = driver.cursor(row_factory=dict_row).execute(step["done"]).fetchone()
    return row is not None and all(row.values())


def objections(
    driver: Driver, step: Step, options: Options, kind: str = "refuse"
) -> list[str]:
    """What the data has against a step; with kind `warn`, what should be known."""
    if kind == "refuse" and step.get("choice") in options.choices:
        return []
    cursor = driver.cursor(row_factory=dict_row)
    return [
        sentence.format_map(row)
        for query, sentence in step.get(kind, ())
        if (row := cursor.execute(query).fetchone()) is not None
    ]


def refuse(driver: Driver, step: Step, options: Options) -> None:
    """Raise Refused where the data forbids the step."""
    if found := objections(driver, step, options):
        raise Refused("\n  ".join(found), hint=step.get("hint"))


def require_owner(driver: Driver, step: Step) -> None:
    """Raise WrongServer where the role does not own the step's tables."""
    found = driver.cursor(row_factory=dict_row).execute(
        """
        select string_agg(c.relname, ', ' order by c.relname) as tables,
               current_user::text as "user", min(c.relowner::regrole::text) as owner
        from pg_catalog.pg_class c
        where c.oid in (
            select to_regclass(name)::oid from unnest(%s::text[]) as name
        )
          and not pg_has_role(c.relowner, 'usage')
        having count(*) > 0
        """,
        (list(step.get("tables", ())),),
    )
    if row := found.fetchone():
        raise WrongServer(
            f"the role {row['user']} does not own {row['tables']}, "
            "so it may not change the schema",
            hint=f"connect as {row['owner']}",
        )


def _compare(driver: Driver, at: str | None) -> None:
    """Insist that the database is still where the run began; lock the version row."""
    if at == ANY:
        return
    cursor = driver.cursor(row_factory=dict_row)
    [found] = cursor.execute(
        "select to_regclass(%s) is not null as there", (VERSION,)
    ).fetchall()
    query: Any = f"select version_num from {VERSION} for update"  # noqa: S608
    versions = cursor.execute(query).fetchall() if found["there"] else []
    if [row["version_num"] for row in versions] != ([at] if at else []):
        now = ", ".join(row["version_num"] for row in versions) or "no revision"
        raise Busy(
            f"another upgrade is at work: the database was at {at or 'no revision'}, "
            f"and is at {now} now"
        )


# -- inside alembic ------------------------------------------------------------------


def register() -> None:
    """Make `op.run_steps` known to alembic; again does no harm."""
    if not hasattr(Operations, "run_steps"):
        Operations.register_operation("run_steps")(RunSteps)
        Operations.implementation_for(RunSteps)(_run_steps)


class RunSteps(MigrateOperation):
    """The operation behind `op.run_steps`."""

    def __init__(self, steps: Sequence[Step], at: str | None) -> None:
        self.steps = steps
        self.at = at

    @classmethod
    def run_steps(
        cls, operations: Operations, steps: Sequence[Step], *, at: str | None
    ) -> None:
        """Run a revision's steps; `at` is the revision that they start from."""
        operations.invoke(cls(steps, at))


def _run_steps(operations: Operations, operation: RunSteps) -> None:
    context = operations.migration_context
    if context.as_sql:
        for step in operation.steps:
            _print(operations, step)
        return
    options = (context.opts or {}).get("sexton") or Options()
    connection = operations.get_bind()
    driver: Any = connection.connection.driver_connection
    *first, last = operation.steps
    with context.autocommit_block():
        run(driver, first, options, at=operation.at)

    @contextmanager
    def inside() -> Any:
        # Alembic's own transaction, which it commits with the version row in it.
        try:
            yield
        except psycopg.Error:
            if not driver.closed:
                driver.rollback()
            raise

    _perform(driver, last, options, operation.at, context.autocommit_block, inside)


def _print(operations: Operations, step: Step) -> None:
    def send(*lines: str) -> None:
        for line in lines:
            operations.execute(text(line.replace(":", r"\:")))

    operations.execute(text(f"-- {step['title']}"))
    if step.get("alone"):
        with operations.migration_context.autocommit_block():
            send(*step["sql"])
        return
    if step.get("tables") and step.get("lock"):
        send(
            f"set local lock_timeout = '{round(Options().max_stall * 1000)}ms'",
            f"lock table {', '.join(step['tables'])} in {step['lock']} mode",
        )
    send(*step["sql"])
