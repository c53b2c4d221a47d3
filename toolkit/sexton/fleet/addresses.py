"""Where a target is, as libpq understands it; resolved where the work is done."""

import os
import re
from typing import Protocol

from psycopg import ProgrammingError, conninfo

from sexton.errors import ConnectionFailed


class Place(Protocol):
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


def address(place: Place) -> str:
    """The connection string; raises ConnectionFailed where there is none."""
    if place.url_env and place.url_env not in os.environ:
        raise ConnectionFailed(
            f"the environment has no variable {place.url_env}",
            hint="set it where the work is done",
        )
    url = os.environ[place.url_env] if place.url_env else place.url
    # SQLAlchemy's spelling names a driver, which libpq does not know.
    url = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url)
    try:
        return conninfo.make_conninfo(url, service=place.service or None)
    except ProgrammingError:  # what it says may hold a password
        raise ConnectionFailed(
            "the target's address is no connection string",
            hint="postgresql://HOST/DATABASE, or host=… dbname=…",
        ) from None


def server(place: Place) -> str:
    """What to count connections by: the host and port, else the service or variable."""
    if place.service or (place.url_env and place.url_env not in os.environ):
        return place.service or place.url_env
    try:
        known = conninfo.conninfo_to_dict(address(place))
    except ConnectionFailed:
        return "nowhere"  # each of these is told as unreachable, and the others go on
    return f"{known.get('host') or 'local'}:{known.get('port') or 5432}"
