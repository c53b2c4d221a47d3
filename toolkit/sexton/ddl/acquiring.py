"""Locks: all tables of a step at once, parent first, under a timeout."""

from collections.abc import Sequence

from psycopg import errors

from sexton.catalog.relations import Relation
from sexton.ddl.session import Driver
from sexton.ddl.steps import AUTOVACUUM_LOCK
from sexton.postgres.session import scalar, set_parameters

OVER_DEADLOCK_TIMEOUT = 2.0  # autovacuum yields to the deadlock check, no sooner
STATEMENT = 5.0  # for each statement under the lock

# The lock was not had, or lost to somebody: rolled back, it may be asked for again.
NOT_ACQUIRED = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)


def acquire(driver: Driver, tables: Sequence[Relation], mode: str, timeout: float) -> None:
    """Lock all tables at once, parent first, in the caller's transaction.

    Raises LockNotAvailable or DeadlockDetected where it cannot be had in `timeout`.
    """
    limits = {
        "idle_in_transaction_session_timeout": 10.0,
        "client_connection_check_interval": 1.0,
    }
    if driver.info.server_version >= 170000:
        limits["transaction_timeout"] = 4 * STATEMENT
    if mode != AUTOVACUUM_LOCK:
        yields = scalar(
            driver,
            "select setting::pg_catalog.float8 / 1000::pg_catalog.float8 "
            "from pg_catalog.pg_settings where name = 'deadlock_timeout'",
        )
        first = yields + OVER_DEADLOCK_TIMEOUT
        set_local(driver, {**limits, "lock_timeout": first, "statement_timeout": 0})
        _lock(driver, tables, AUTOVACUUM_LOCK)
        limits = {}
    # lock_timeout counts anew for each table; statement_timeout counts them together.
    set_local(driver, {**limits, "lock_timeout": timeout, "statement_timeout": timeout})
    try:
        _lock(driver, tables, mode)
    except errors.QueryCanceled as error:
        raise errors.LockNotAvailable(str(error)) from error
    set_local(driver, {"statement_timeout": STATEMENT})


def _lock(driver: Driver, tables: Sequence[Relation], mode: str) -> None:
    names = ", ".join(table.sql for table in tables)
    driver.execute(f"lock table {names} in {mode} mode")


def set_local(driver: Driver, seconds: dict[str, float]) -> None:
    """Set parameters that are times until the end of the transaction."""
    set_parameters(
        driver, {n: f"{round(s * 1000)}ms" for n, s in seconds.items()}, local=True
    )
