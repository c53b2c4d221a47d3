"""The throw-away server, and the redirection of a team's own connections to it."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy import Engine, event

from sexton.embedded import SUPERUSER, Server
from sexton.errors import UsageError
from sexton.postgres.connect import Connection, connect

NAME = "sexton rehearse"
# Nothing here outlives the command.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "50",
    "jit": "off",
}
MEMORY = Path("/dev/shm")
# What an env.py may say of the database that it connects to.
ADDRESS = {
    *("host", "hostaddr", "port", "user", "password", "dbname", "database", "dsn"),
    *("service", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "ssl"),
    *("channel_binding", "gssencmode", "target_session_attrs", "sslnegotiation"),
}
DATABASE = "rehearsal"


class Place:
    """A server of our own; databases on it are made by copying one another."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.main: Connection = connect(server.url(), name=NAME)
        self._numbers = itertools.count()

    def create(self, template: str = "template0") -> str:
        """Make a database; nobody may be connected to its template."""
        name = f"{DATABASE}_{next(self._numbers)}"
        self.main.execute(
            sql.SQL("create database {} template {} strategy wal_log").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self.main.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )

    @contextlib.contextmanager
    def empty(self) -> Iterator[str]:
        """Make an empty database, and drop it after the block."""
        name = self.create()
        try:
            yield name
        finally:
            self.drop(name)

    def url(self, database: str) -> str:
        """The address of one of the databases."""
        return self.server.url(database)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Start a server in a temporary directory; it ends, and is removed, with the block."""
    from sexton.embedded.programs import let_pass

    parent = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sexton-", dir=parent) as folder:
        directory = Path(folder)
        if os.geteuid() == 0:
            directory.chmod(0o711)
            let_pass(directory)
        with Server(directory / "db", settings=SETTINGS) as server:
            made = Place(server)
            with contextlib.closing(made.main):
                yield made


@contextlib.contextmanager
def redirected(sockets: Path, database: str) -> Iterator[None]:
    """Lead every engine that env.py makes, and libpq's defaults, to the server.

    So no rehearsal reaches a real database, whichever address env.py reads, and none has
    to be there.
    """
    host = str(sockets)

    def lead(dialect: Any, _record: Any, _arguments: Any, parameters: Any) -> None:
        if dialect.name != "postgresql":
            raise UsageError(
                f"env.py connects to {dialect.name}, and a rehearsal runs on PostgreSQL",
                hint="let env.py use the sqlalchemy.url of its configuration",
            )
        for name in ADDRESS & set(parameters):
            del parameters[name]
        _arguments[:] = []
        named = "database" if dialect.driver == "asyncpg" else "dbname"
        parameters.update(host=host, port=5432, user=SUPERUSER)
        parameters[named] = database

    url = f"postgresql+psycopg://{SUPERUSER}@/{database}?host={host}&port=5432"
    variables = {
        "DATABASE_URL": url,
        "PGHOST": host,
        "PGPORT": "5432",
        "PGUSER": SUPERUSER,
        "PGDATABASE": database,
    }
    gone = ("PGPASSWORD", "PGSERVICE", "PGHOSTADDR", "PGSSLMODE", "PGOPTIONS")
    before = {name: os.environ.get(name) for name in (*variables, *gone)}
    os.environ.update(variables)
    for name in gone:
        os.environ.pop(name, None)
    event.listen(Engine, "do_connect", lead)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", lead)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
