"""Databases that sort by bytes, and databases that sort as people do.

The order of an election is the database's. The wheel's PostgreSQL knows no ICU, so the
second kind comes from the tests' server where that one has it, else from an installed
PostgreSQL; where neither is there, the tests fail and say what to install.
"""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from sexton.database import connect
from sexton.embedded import Server
from sexton.upgrade.run import upgrade
from tests import conftest

INSTALLATIONS = Path("/usr/lib/postgresql")  # where Debian keeps its versions
BYTES = "locale 'C'"
ICU = "locale 'C' locale_provider icu icu_locale 'en-US'"
MIXED = ("alpha", "GPT-5")  # which comes first tells the two kinds apart


@contextlib.contextmanager
def sorted_database(kind: str) -> Iterator[str]:
    """A database at head that sorts by `bytes` or by `language`: its address."""
    with contextlib.ExitStack() as stack:
        if kind == "bytes":
            yield stack.enter_context(_made(conftest.origin().address, BYTES))
            return
        for address in _servers(stack):
            for clause in _languages(address):
                with contextlib.suppress(psycopg.Error):
                    url = stack.enter_context(_made(address, clause))
                    if _order(url) == list(MIXED):
                        yield url
                        return
        pytest.fail(
            "no PostgreSQL here sorts otherwise than by bytes: install one with ICU "
            "(apt-get install postgresql), or name one with TEST_DATABASE_URL"
        )


def _servers(stack: contextlib.ExitStack) -> Iterator[str]:
    yield conftest.origin().address
    for programs in sorted(INSTALLATIONS.glob("[1-9]*"), reverse=True):
        if (programs / "bin" / "postgres").exists():
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            directory.chmod(0o711)
            settings = {"fsync": "off", "autovacuum_naptime": "1d"}
            server = Server(directory / "db", settings=settings, programs=programs)
            yield stack.enter_context(server).url()


def _languages(address: str) -> Iterator[str]:
    yield ICU
    with psycopg.connect(address) as connection:
        found = connection.execute(
            """
            select collname from pg_catalog.pg_collation
            where collprovider = 'c' and collname ~ '^[a-z]{2}_.*utf-?8$'
            order by collname
            """
        ).fetchall()
    for (name,) in found:
        yield f"locale '{name}'"


@contextlib.contextmanager
def _made(address: str, clause: str) -> Iterator[str]:
    name = sql.Identifier(f"sexton_sorted_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template template0 encoding 'UTF8' ").format(name)
            + sql.SQL(clause)
        )
        try:
            url = conninfo.make_conninfo(address, dbname=name.as_string().strip('"'))
            with contextlib.closing(connect(url, name="tests")) as opened:
                upgrade(opened, "head")
            yield url
        finally:
            drop = sql.SQL("drop database {} with (force)").format(name)
            connection.execute(drop)


def _order(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = "select x from unnest(%s::text[]) as x order by x"
        return [x for (x,) in connection.execute(query, (list(MIXED),)).fetchall()]
