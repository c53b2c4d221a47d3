"""An audit that never began: its report says why, and reads as incomplete everywhere."""

import datetime
import uuid
from collections.abc import Sequence

import psycopg
from psycopg import conninfo

from sexton.audit.outcome import Outcome, Run
from sexton.check import Check
from sexton.errors import SextonError
from sexton.project import current


def unreached(
    selected: Sequence[Check],
    error: SextonError,
    address: str | None,
    label: str | None,
) -> tuple[Run, list[Outcome]]:
    """The run and outcomes of an audit that an error kept from beginning.

    `address` is the connection string, if it could be read; where it leads is said, and no
    more of it.
    """
    now = datetime.datetime.now(datetime.UTC)
    parameters: dict[str, str] = {}
    try:
        # With what libpq takes from the environment and its service file.
        made = psycopg.pq.Conninfo.get_defaults()
        parameters = {o.keyword.decode(): o.val.decode() for o in made if o.val is not None}
        parameters |= {
            k: str(v) for k, v in conninfo.conninfo_to_dict(address or "").items()
        }
    except (psycopg.Error, UnicodeDecodeError):
        pass  # what cannot be read names no server
    port = parameters.get("port", "")
    run = Run(
        id=str(uuid.uuid4()),
        started_at=now,
        finished_at=now,
        database=parameters.get("dbname", "") or parameters.get("user", ""),
        server_version="",
        revision=None,
        snapshot="",
        host=parameters.get("host", ""),
        port=int(port) if port.isdecimal() else None,
        role=parameters.get("user", ""),
        project=current().name,
        label=label,
    )
    why = f"not looked at: {error.message}"
    return run, [Outcome(check, "incomplete", why) for check in selected]
