"""Our own session: what a role or a database sets for sessions does not reach us.

Statements see pg_catalog alone, so that nobody's function or operator stands in the way
of one; the caller's search_path is remembered, for it says which tables are meant.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from sexton.catalog.relations import SAFE_PATH, Relation, quoted, search_path
from sexton.postgres.session import (
    EXACT,
    LOCK_TIMEOUT,
    exchange,
    scalar,
    set_parameters,
)

Driver = psycopg.Connection[Any]

WANTED = {
    "search_path": SAFE_PATH,
    **EXACT,
    # A snapshot that is older than a lock would not see what was written before it.
    "default_transaction_isolation": "read committed",
    # Whoever has the upgrade lock says nothing for as long as a step waits.
    "idle_session_timeout": "0",
    # Rows that are hidden from us are an error, and not absent.
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
}


def is_direct(driver: Driver) -> bool:
    """Whether no pooler stands before the server: the session is this connection's own."""
    known: Any = driver
    if not hasattr(driver, "sexton_direct"):
        pid = scalar(driver, "select pg_catalog.pg_backend_pid()")
        known.sexton_direct = pid == driver.info.backend_pid
    return bool(known.sexton_direct)


def secure_session(driver: Driver, **more: str) -> None:
    """Make a connection of our own safe for as long as it lives; set `more` as well.

    Not behind a pooler, where sessions are anybody's.
    """
    if is_direct(driver):
        set_parameters(driver, WANTED | more)
        known: Any = driver
        known.sexton_own = True


@contextlib.contextmanager
def own_session(driver: Driver) -> Iterator[None]:
    """Make somebody's session safe for the block; then it is as it was.

    Again, inside, does nothing. Behind a pooler a session is anybody's: the block is one
    transaction, which has the settings and is rolled back.
    """
    if getattr(driver, "sexton_own", False):
        yield
        return
    if not is_direct(driver):
        with _own_transaction(driver):
            yield
        return
    known: Any = driver
    before_path = getattr(driver, "sexton_path", None)
    known.sexton_path = search_path(driver)
    before = exchange(driver, WANTED, local=False)
    known.sexton_own = True
    known.sexton_before = before
    try:
        yield
    finally:
        known.sexton_own = False
        known.sexton_path = before_path
        if not driver.closed and _usable(driver):
            set_parameters(driver, before)


@contextlib.contextmanager
def _own_transaction(driver: Driver) -> Iterator[None]:
    known: Any = driver
    path, read_only = getattr(driver, "sexton_path", None), driver.read_only
    idle = driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    if idle:  # a question may make a temporary table
        driver.read_only = None
    try:
        with driver.transaction(force_rollback=True):
            known.sexton_path = search_path(driver)
            known.sexton_own = True
            set_parameters(driver, WANTED, local=True)
            yield
    finally:
        known.sexton_own, known.sexton_path = False, path
        if idle and not driver.closed:
            driver.read_only = read_only


@contextlib.contextmanager
def suspended(driver: Driver) -> Iterator[None]:
    """Within `own_session`: the session as it was before, for statements not of ours."""
    known: Any = driver
    before, path = known.sexton_before, known.sexton_path
    known.sexton_own = False
    set_parameters(driver, before)
    try:
        yield
    finally:
        known.sexton_own, known.sexton_before, known.sexton_path = True, before, path
        if not driver.closed and _usable(driver):
            set_parameters(driver, WANTED)


def _usable(driver: Driver) -> bool:
    # In a transaction that failed, the rollback restores the settings.
    status = psycopg.pq.TransactionStatus
    return driver.info.transaction_status in (status.IDLE, status.INTRANS)


def path_of(relations: Sequence[Relation], driver: Driver) -> str:
    """The search_path for statements on some tables, or for making new ones.

    pg_catalog is seen first without being named; named first, new tables would go to it.
    """
    schemas = list(dict.fromkeys(relation.schema for relation in relations))
    if not schemas:
        schemas = [s for s in search_path(driver) if not s.startswith("pg_")][:1]
    return ", ".join([*map(quoted, schemas), "pg_temp"])
