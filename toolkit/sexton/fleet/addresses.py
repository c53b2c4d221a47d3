"""Where a target is, as libpq understands it; resolved where the work is done."""

import hashlib
import os
import re
from typing import Protocol

from psycopg import ProgrammingError, conninfo

from sexton.errors import ConnectionFailed, SextonError
from sexton.postgres.connect import completed

PLACE = ("host", "hostaddr", "port", "dbname", "user", "options")
CONNECTION_STRING = "postgresql://HOST/DATABASE, or host=… dbname=…"


class DatabaseAddress(Protocol):
    """What says where a database is."""

    @property
    def service(self) -> str:
        """A libpq service's name."""

    @property
    def url(self) -> str:
        """A URL or key=value string."""

    @property
    def url_env(self) -> str:
        """The environment variable that holds the URL."""


def address(of: DatabaseAddress) -> str:
    """The connection string; raises ConnectionFailed where there is none."""
    if of.url_env and of.url_env not in os.environ:
        raise ConnectionFailed(
            f"the environment has no variable {of.url_env}",
            hint="set it where the work is done",
        )
    url = os.environ[of.url_env] if of.url_env else of.url
    try:
        return conninfo.make_conninfo(as_libpq_has_it(url), service=of.service or None)
    except (ProgrammingError, ValueError):  # what it says may hold a password
        raise ConnectionFailed(
            "the target's address is no connection string", hint=CONNECTION_STRING
        ) from None


def as_libpq_has_it(url: str) -> str:
    """The URL without the driver that SQLAlchemy's spelling names."""
    return re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url)


def server(of: DatabaseAddress) -> str:
    """What to count connections by: the host and port, else the service or variable."""
    if of.service or (of.url_env and of.url_env not in os.environ):
        return of.service or of.url_env
    try:
        known = conninfo.conninfo_to_dict(address(of))
    except ConnectionFailed:
        return "nowhere"  # each of these is reported as unreachable, and the others go on
    return f"{known.get('host') or 'local'}:{known.get('port') or 5432}"


def digest(of: DatabaseAddress, schema: str = "") -> str:
    """What tells one address from another: no secret enters it.

    It is what libpq makes of the address here, with service file and environment; of one
    that is known only where the work is done, the name of the service or variable.
    """
    try:
        known = completed(address(of))
        place = [known.get(name, "") for name in PLACE]
    except SextonError:
        place = [of.service, of.url_env]
    text = repr([schema, *place])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
