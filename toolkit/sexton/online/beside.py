"""The connection that Sexton's own steps use: psycopg's, whatever the team's driver is.

A team's environment may run on psycopg2, asyncpg or psycopg's asynchronous connections.
Sexton's steps then run beside it, on a connection of their own to the same database and
as the same role, while the team's session is in no transaction.
"""

import contextlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
from psycopg import conninfo, pq
from psycopg.rows import dict_row
from sqlalchemy import Connection, text

from sexton.ddl.options import Options
from sexton.ddl.session import Driver, secure_session
from sexton.errors import ConnectionFailed, Refused, SextonError, WrongServer
from sexton.postgres.connect import connect
from sexton.postgres.session import SAFE_PATH, set_parameters
from sexton.text.printable import printable

AROUND = (
    "env.py begins a transaction around the migrations, but an operation of Sexton's "
    "commits what comes before it"
)
AROUND_HINT = (
    "in env.py use engine.connect(), not engine.begin(), and run the migrations inside "
    "context.begin_transaction()"
)
NAME = "sexton, beside Alembic"
ASKED = """
    select pg_catalog.current_schemas(true)::pg_catalog.text as path,
           current_user::pg_catalog.text as role,
           session_user::pg_catalog.text as login,
           pg_catalog.pg_backend_pid() as pid,
           pg_catalog.current_database()::pg_catalog.text as database,
           (select system_identifier::pg_catalog.text
            from pg_catalog.pg_control_system()) as system,
           extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text
               as started
"""
SAME = ("database", "system", "started")


def is_psycopg(connection: Connection) -> bool:
    """Whether Sexton's steps can use this connection as it is."""
    return isinstance(connection.connection.driver_connection, psycopg.Connection)


def asked(connection: Connection) -> dict[str, Any]:
    """Which server, database and session a connection of SQLAlchemy's leads to.

    It leaves the connection in the transaction that it was in, or in none.
    """
    if connection.dialect.name != "postgresql":
        raise WrongServer(
            f"this environment migrates {printable(connection.dialect.name)}, and Sexton "
            "is for PostgreSQL alone"
        )
    inside = connection.in_transaction()
    found = dict(connection.exec_driver_sql(ASKED).mappings().one())
    if not inside:
        connection.rollback()
    return found


@contextlib.contextmanager
def beside(connection: Connection) -> Iterator[Driver]:
    """A psycopg connection to where this one leads, as the same role; raises WrongServer.

    The caller's search_path is remembered: it tells which tables are meant.
    """
    theirs = asked(connection)
    name = connection.dialect.driver
    try:
        made = connect(_address(connection), name=NAME)
    except SextonError as error:
        raise ConnectionFailed(
            f"the operations of Sexton need a psycopg connection beside {name}, and there "
            f"is none: {error.message}",
            hint="name the driver psycopg in the URL: postgresql+psycopg://",
        ) from None
    with closing(made):
        cursor = made.cursor(row_factory=dict_row)
        [ours] = cursor.execute(ASKED).fetchall()
        if not same_database(ours, theirs):
            raise WrongServer(
                f"a connection beside {name} led to another server or database: "
                f"{printable(str(ours['database']))}",
                hint="name host, port and database in the URL",
            )
        if ours["role"] != theirs["role"]:
            set_parameters(made, {"role": theirs["role"]})
        secure_session(made)
        see_path(made, theirs)
        yield made


def same_database(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether what `asked` found of two connections is one database of one server."""
    return all(one[part] == other[part] for part in SAME)


def end_transaction(connection: Connection) -> None:
    """Commit what env.py did before the migrations, as to set a search_path.

    Raises Refused in a transaction that env.py holds open around them.
    """
    begun = connection.get_transaction()
    if begun is None:
        return
    if getattr(connection, "_trans_context_manager", None) is not None:
        raise Refused(AROUND, hint=AROUND_HINT)
    with begun:
        pass


def see_path(driver: Driver, theirs: dict[str, Any]) -> None:
    """Let names mean what they mean in the team's session."""
    [row] = driver.cursor(row_factory=dict_row).execute(
        "select %s::pg_catalog.text[] as path", (theirs["path"],)
    )
    driver.sexton_path = row["path"]  # type: ignore[attr-defined]


def _address(connection: Connection) -> str:
    """Where the connection leads, in libpq's words."""
    live: Any = connection.connection.driver_connection
    if hasattr(live, "info"):
        info = live.info
        psycopg2 = hasattr(info, "dsn_parameters")
        said = dict(info.dsn_parameters if psycopg2 else info.get_parameters())
        said |= {"password": info.password, "host": info.host, "port": info.port}
        said["dbname"] = info.dbname
    else:
        said = _of_asyncpg(live) if hasattr(live, "_params") else {}
        said = _of_url(connection) | said
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = {k: v for k, v in said.items() if k in known and v not in (None, "")}
    given.pop("application_name", None)
    return conninfo.make_conninfo(**given)


def _of_url(connection: Connection) -> dict[str, Any]:
    url = connection.engine.url
    said: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username}
    said |= {"password": url.password, "dbname": url.database}
    query = {k: v for k, v in url.query.items() if isinstance(v, str)}
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")
    return said | query


def _of_asyncpg(live: Any) -> dict[str, Any]:
    at, known = live._addr, live._params
    said: dict[str, Any] = {"user": known.user, "dbname": known.database}
    said["password"] = known.password if isinstance(known.password, str) else None
    if isinstance(at, str):  # a socket: its folder, and the port in its name
        said["host"], _, last = at.rpartition("/")
        said["port"] = last.rpartition(".")[2]
    else:
        said["host"], said["port"] = at[:2]
    mode = getattr(getattr(known, "sslmode", None), "name", None)
    if mode:
        said["sslmode"] = mode.replace("_", "-")
    return {name: value for name, value in said.items() if value}


class OtherSession:
    """The team's session on a driver that is not psycopg's, made safe as psycopg's is."""

    def __init__(self, connection: Connection) -> None:
        """Note what the session has set."""
        self._connection = connection
        self._path = self._get("search_path")
        self._lock_timeout = self._get("lock_timeout")

    @contextlib.contextmanager
    def impatient(self, options: Options) -> Iterator[None]:
        """Let plain operations give up a lock in time, unless the session has a limit."""
        if self._lock_timeout == "0":
            self._set("lock_timeout", f"{round(options.max_stall * 1000)}ms")
        try:
            yield
        finally:
            self._restore("lock_timeout", self._lock_timeout)

    @contextlib.contextmanager
    def secured(self) -> Iterator[None]:
        """Let Alembic's own statements see pg_catalog alone."""
        self._set("search_path", SAFE_PATH)
        try:
            yield
        finally:
            self._restore("search_path", self._path)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """The session as its author knows it; a revision that fails is rolled back."""
        self._set("search_path", self._path)
        yield
        self._set("search_path", SAFE_PATH)

    def _get(self, name: str) -> str:
        inside = self._connection.in_transaction()
        found = self._connection.execute(
            text("select pg_catalog.current_setting(cast(:name as pg_catalog.text))"),
            {"name": name},
        ).scalar_one()
        if not inside:
            self._connection.rollback()
        return str(found)

    def _set(self, name: str, value: str) -> None:
        inside = self._connection.in_transaction()
        with contextlib.nullcontext() if inside else self._connection.begin():
            self._connection.execute(
                text(
                    "select pg_catalog.set_config(cast(:name as pg_catalog.text), "
                    "cast(:value as pg_catalog.text), false)"
                ),
                {"name": name, "value": value},
            )

    def _restore(self, name: str, value: str) -> None:
        if not (self._connection.closed or self._connection.invalidated):
            self._connection.rollback()
            self._set(name, value)
