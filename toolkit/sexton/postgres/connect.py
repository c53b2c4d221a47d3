"""Connections: the one place that opens them.

`connect` asks libpq what an address means, with what the environment, the service file and
the defaults add to it, and passes all of it explicitly. `another` opens a further
connection to where an open one leads: to the same host, address, port, user and database,
whatever the environment says; another server or database that answers there is refused
before the first statement.
"""

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import conninfo, pq
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from sexton.errors import ConnectionFailed, WrongServer
from sexton.postgres.session import Found, first_statement
from sexton.server_errors import to_connection_error
from sexton.text.printable import printable
from sexton.text.redaction import redact

Connection = psycopg.Connection[DictRow]

OLDEST = 140000  # server_version_num of the oldest release that is supported
CONNECT_SECONDS = 10  # a dead host must not hold a cron job for minutes
# A parameter that has no effect beside application_name marks an embedded server.
MARK = "fallback_application_name"
EMBEDDED = "sexton-embedded"
PROBE = "sexton"  # no value of any parameter that has a list of them

CANCELS = 5
CANCEL_WAIT = 0.5  # seconds

_environment = threading.RLock()


class OwnConnection(psycopg.Connection[Any]):
    """A connection that no interrupt leaves at work on a statement that nobody reads.

    psycopg cancels such a statement, but may not fetch its end: all that is asked of the
    connection fails from then on. This one is closed instead.
    """

    busy_since: float | None = None  # when the statement that is under way began

    def wait(self, *arguments: Any, **options: Any) -> Any:
        """As psycopg's."""
        self.busy_since = time.monotonic()
        try:
            return super().wait(*arguments, **options)
        except KeyboardInterrupt:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                try:
                    self._end_statement()
                finally:
                    self.close()
            raise
        finally:
            self.busy_since = None

    def _end_statement(self) -> None:
        # A cancel that comes before its statement has begun ends nothing.
        with contextlib.suppress(psycopg.Error):
            for _ in range(CANCELS):
                self.cancel_safe(timeout=CANCEL_WAIT)
                select.select([self.pgconn.socket], [], [], CANCEL_WAIT)
                self.pgconn.consume_input()
                if not self.pgconn.is_busy():
                    return


@contextlib.contextmanager
def closed_on_error(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Close a connection if the block, which prepares it, fails."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def connect(address: str, *, name: str, read_only: bool = False) -> Connection:
    """Connect to a libpq connection string; raises ConnectionFailed, or Busy."""
    asked = parsed(address)
    asked.setdefault("application_name", name)
    # Whatever PGCLIENTENCODING says: else names and values could not be read or printed.
    asked["client_encoding"] = "UTF8"
    if asked.get("host"):
        # libpq prefers an address to a name: PGHOSTADDR would be another server.
        asked.setdefault("hostaddr", "")
    embedded = asked.get(MARK) == EMBEDDED
    try:
        with _without_environment() if embedded else contextlib.nullcontext():
            complete = _completed(asked)
            complete.setdefault("connect_timeout", str(CONNECT_SECONDS))
            made, _ = _open(complete)
    except (psycopg.Error, UnicodeError) as error:
        said = redact(str(error), address)
        raise to_connection_error(said, _where(address)) from None
    made.read_only = read_only or None
    return made


def another(
    live: psycopg.Connection[Any], *, name: str = "", read_only: bool = False
) -> Connection:
    """Another connection to where `live` leads, as the same user; errors as for `connect`.

    `live` may be anybody's. Of one of ours, all is known that is needed, so it may be busy,
    or closed. Raises WrongServer if another server or database answers.
    """
    place: dict[str, str] = getattr(live, "sexton_place", None) or _place(live)
    found: Found = getattr(live, "sexton_found", None) or first_statement(live, keep=False)
    if name:
        place = place | {"application_name": name}
    embedded = place.get(MARK) == EMBEDDED
    try:
        with _without_environment() if embedded else contextlib.nullcontext():
            made, there = _open(place)
    except psycopg.Error as error:
        raise to_connection_error(redact(str(error)), "try again") from None
    with closed_on_error(made):
        if (there.server, there.database) != (found.server, found.database):
            where = f"{place.get('host')}:{place.get('port')}"
            raise WrongServer(
                f"a second connection to {printable(where)} leads to another server or "
                "database than the first one",
                hint="name the server itself in --url (or DATABASE_URL), and no proxy that "
                "chooses one of several",
            )
    made.read_only = read_only or None
    return made


def _open(parameters: dict[str, Any]) -> tuple[Connection, Found]:
    """Connect to what is wholly said, and make the session a safe one."""
    made: Any = OwnConnection.connect(
        **parameters,
        row_factory=dict_row,
        autocommit=True,
        prepare_threshold=None,  # behind a pooler they meet another client's
    )
    with closed_on_error(made):
        if made.info.server_version < OLDEST:
            version = made.info.parameter_status("server_version")
            raise WrongServer(
                f"the server is PostgreSQL {printable(version or '?')}",
                hint="Sexton supports PostgreSQL 14 to 18",
            )
        made.sexton_place = _place(made)
        made.sexton_found = found = first_statement(made)
    return made, found


def _place(live: psycopg.Connection[Any]) -> dict[str, str]:
    """All parameters of a connection, defaults included, for the one host that it is on."""
    told = _values(live.pgconn)
    address = live.pgconn.hostaddr.decode()
    here = {"host": live.info.host, "hostaddr": address, "port": str(live.info.port)}
    # Which of several hosts was chosen is settled.
    return told | here | {"target_session_attrs": "any", "client_encoding": "UTF8"}


def _values(connection: Any) -> dict[str, str]:
    return {
        option.keyword.decode(): option.val.decode()
        for option in connection.info
        if option.val is not None
    }


def completed(address: str) -> dict[str, str]:
    """All parameters of an address, with those that `connect` would add to it here.

    Raises ConnectionFailed for what libpq cannot read, such as an unknown service.
    """
    try:
        return _completed(parsed(address))
    except (psycopg.Error, UnicodeError) as error:
        said = redact(str(error), address)
        raise to_connection_error(said, _where(address)) from None


def _completed(asked: dict[str, str]) -> dict[str, str]:
    """The parameters, with what libpq takes from environment, service file and defaults.

    libpq says so of a connection that it does not begin, for a value is none. psycopg
    looks up host names in the environment even if a service names another host.
    """
    complete: dict[str, str] = {}
    with _environment:
        for wrong in ("sslmode", "target_session_attrs"):
            said = conninfo.make_conninfo("", **{**asked, wrong: PROBE})
            probe = pq.PGconn.connect_start(said.encode())
            try:
                values = _values(probe)
                if values.get(wrong) != PROBE:
                    raise psycopg.OperationalError(probe.error_message.decode())
            finally:
                probe.finish()
            complete |= {name: value for name, value in values.items() if value != PROBE}
    return complete


@contextlib.contextmanager
def _without_environment() -> Iterator[None]:
    """Hide libpq's variables, some of which no parameter overrides.

    Others that connect meanwhile read them under the same lock.
    """
    hidden: dict[str, str] = {}
    with _environment:
        try:
            for name in [n for n in os.environ if n.startswith("PG")]:
                hidden[name] = os.environ.pop(name)
            yield
        finally:
            os.environ.update(hidden)


# SQLAlchemy's spelling names a driver, which libpq does not know.
SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")


def parsed(address: str) -> dict[str, Any]:
    """A libpq connection string, or SQLAlchemy's URL, as parameters.

    Raises ConnectionFailed.
    """
    try:
        return conninfo.conninfo_to_dict(in_libpqs_words(address))
    except (psycopg.Error, ValueError) as error:  # ValueError: not UTF-8
        unknown = re.search(r'invalid URI query parameter: "([\w.-]+)"', str(error))
    # libpq quotes what it cannot read, password included. A query is behind the last @.
    if unknown and "@" not in address.partition("?")[2]:
        name = unknown[1]
        hint = (
            "leave it out, or write it as libpq does: sslmode, connect_timeout, options …"
        )
        if name == "ssl":
            hint = "write sslmode=require in its place (or verify-full)"
        raise ConnectionFailed(
            f"the database URL has the parameter {name}, which PostgreSQL's own library "
            "does not know",
            hint=hint,
        )
    raise ConnectionFailed(
        "the database URL cannot be read: it is neither a URL nor key=value pairs",
        hint="it looks like postgresql://user@host:5432/database",
    )


def in_libpqs_words(address: str) -> str:
    """SQLAlchemy's URL as libpq writes it; anything else as it is."""
    if not SCHEME.match(address):
        return address
    url = SCHEME.sub("postgresql://", address)
    start, mark, query = url.partition("?")
    hosts, rest = [], []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "host":
            hosts += value.split(",")
        else:
            rest.append((name, value))
    # SQLAlchemy's spelling of several hosts: host=a:5432&host=b:5433.
    apart = [re.fullmatch(r"([\w.-]+|\[[\w:.]+\])(?::(\d+))?", host) for host in hosts]
    if not mark or not all(apart) or not any(found and found[2] for found in apart):
        return url if len(hosts) < 2 else _joined(start, rest, hosts, [])
    names = [found[1].strip("[]") for found in apart if found]
    return _joined(start, rest, names, [found[2] or "" for found in apart if found])


def _joined(
    start: str, rest: list[tuple[str, str]], hosts: list[str], ports: list[str]
) -> str:
    pairs = [*rest, ("host", ",".join(hosts))]
    if ports:
        pairs = [pair for pair in pairs if pair[0] != "port"]
        pairs.append(("port", ",".join(ports)))
    return f"{start}?{urlencode(pairs, quote_via=quote)}"


def marked_as_embedded(address: str) -> str:
    """The address of a server of ours, for which the environment does not count."""
    return conninfo.make_conninfo(address, **{MARK: EMBEDDED})


def _where(address: str) -> str:
    if address:
        return "check --url (or DATABASE_URL), and that the server is up"
    if any(v in os.environ for v in ("PGHOST", "PGSERVICE", "PGDATABASE", "PGPORT")):
        return "check the PG* variables, and that the server is up"
    return "no database was named: pass --url or set DATABASE_URL"
