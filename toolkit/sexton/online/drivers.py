"""Which driver a team's revisions run on: the one that their URL names."""

import os
from contextlib import closing, nullcontext
from importlib import import_module
from typing import Any

from psycopg import conninfo
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from sexton.ddl.engine import engine
from sexton.errors import UsageError
from sexton.postgres.connect import Connection, connect

PSYCOPG2 = "psycopg2"
# Of libpq's parameters: psycopg2's library may be older than psycopg's.
KNOWN_TO_BOTH = (
    *("host", "hostaddr", "port", "user", "password", "dbname", "passfile"),
    *("options", "connect_timeout", "sslmode", "sslrootcert", "sslcert", "sslkey"),
    *("sslpassword", "sslcrl", "channel_binding", "gssencmode", "krbsrvname"),
)
URL_PARTS = {"host", "port", "user", "password", "dbname"}


def driver_of(*urls: str | None) -> str:
    """The driver of SQLAlchemy's that the first of these URLs names, else DATABASE_URL's.

    Where none does, `psycopg`.
    """
    for url in (*urls, os.environ.get("DATABASE_URL")):
        try:
            named = make_url(url).drivername if url else ""
        except ArgumentError:
            continue
        dialect, _, driver = named.partition("+")
        if dialect == "postgresql" and driver:
            return driver
    return "psycopg"


def team_engine(where: str | Connection, name: str, driver: str) -> Engine:
    """An engine on psycopg2 if that is the driver, else on psycopg.

    It leads to an address, or to where a connection leads. Revisions that were written
    for psycopg2, which sends parameters as literals, may not run on psycopg, which sends
    them with types. Of asynchronous drivers psycopg takes the place. Raises UsageError if
    psycopg2 is not installed.
    """
    if driver != PSYCOPG2:
        return engine(where, name)
    try:
        psycopg2: Any = import_module(PSYCOPG2)
    except ImportError:
        raise UsageError(
            "the database URL names psycopg2, which is not installed",
            hint="pip install psycopg2-binary, or name psycopg: postgresql+psycopg://",
        ) from None

    def creator() -> Any:
        with (
            closing(connect(where, name=name))
            if isinstance(where, str)
            else nullcontext(where) as live
        ):
            place = getattr(live, "sexton_place")  # noqa: B009 - for mypy
        given = {part: place[part] for part in KNOWN_TO_BOTH if place.get(part)}
        return psycopg2.connect(
            conninfo.make_conninfo(**given, application_name=name, client_encoding="UTF8")
        )

    return create_engine(
        "postgresql+psycopg2://",
        creator=creator,
        poolclass=NullPool,
        use_native_hstore=False,
    )


def url_of(connection: Connection, named: str | None) -> URL:
    """Where a connection leads, as SQLAlchemy's URL, on the driver that `named` names."""
    place: dict[str, str] = getattr(connection, "sexton_place")  # noqa: B009 - for mypy
    dialect = "postgresql+psycopg"
    try:
        theirs = make_url(named).drivername if named else ""
    except ArgumentError:
        theirs = ""
    if theirs.partition("+")[0] == "postgresql":
        dialect = theirs
    query = {p: place[p] for p in KNOWN_TO_BOTH if place.get(p) and p not in URL_PARTS}
    if "asyncpg" in dialect:
        query = {"ssl": query["sslmode"]} if "sslmode" in query else {}
    host = place.get("host") or ""
    if host.startswith(("/", "@")):
        query["host"], host = host, ""
    return URL.create(
        dialect,
        username=place.get("user"),
        password=place.get("password") or None,
        host=host or None,
        port=int(place["port"]) if place.get("port") else None,
        database=place.get("dbname"),
        query=query,
    )
