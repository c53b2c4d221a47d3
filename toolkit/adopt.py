"""Adopt: recognise a database by its catalogs, and record the revision that it is at.

Nothing is guessed: a state that no revision explains is listed, not stamped.
"""

from dataclasses import dataclass
from typing import Any

from alembic import command

from toolkit import schema
from toolkit.database import Connection
from toolkit.drift import drift
from toolkit.errors import WrongSchema
from toolkit.upgrade import revisions, run_alembic

# What the product's later migrations leave behind: they bind models to another table.
NEWER = {"ai_providers": (), "chat_model_configs": ("ai_provider_id",)}


@dataclass(frozen=True)
class Recognition:
    """What a database turned out to be.

    `revision` is None where it is unknown; `differs` then says why. `ahead` lists what
    the database has of later revisions already, which `upgrade` will find done.
    """

    revision: str | None
    recorded: str | None
    product: bool
    matches: list[str]
    differs: list[str]
    ahead: list[str]

    def document(self, *, applied: bool) -> dict[str, Any]:
        """The document that `adopt --format json` prints."""
        return {
            "recognised": self.revision is not None,
            **self.__dict__,
            "applied": applied,
        }


def recognise(connection: Connection) -> Recognition:
    """Compare the catalogs with every revision. Reads only.

    Raises WrongSchema where the tables are not there at all.
    """
    schema.require_models(connection)
    recorded = schema.visible_revision(connection)
    product = bool(schema.columns(connection, "users"))
    known = revisions()

    def unknown(differs: list[str]) -> Recognition:
        return Recognition(None, recorded, product, _has(connection), differs, [])

    newer = _newer(connection)
    if recorded is not None and recorded not in known:
        newer.append(f"its recorded revision is {recorded!r}")
    if newer:
        return unknown([f"{what}: newer than this Sexton" for what in newer])
    drifts = {revision: drift(connection, revision) for revision in known}
    for place in reversed(range(len(known))):
        revision = known[place]
        # What contradicts this revision is no fault where a later one wants it so.
        later = known[place + 1 :]
        ahead = [d for d in drifts[revision] if any(d not in drifts[r] for r in later)]
        if len(ahead) == len(drifts[revision]):
            return Recognition(revision, recorded, product, _has(connection), [], ahead)
    nearest = min(reversed(known), key=lambda revision: len(drifts[revision]))
    return unknown([f"unlike {nearest}: {sentence}" for sentence in drifts[nearest]])


def adopt(connection: Connection, address: str) -> Recognition:
    """Record the revision that `recognise` finds; raises WrongSchema where it finds none.

    The work is done on a second connection to `address`.
    """
    found = recognise(connection)
    if found.revision is None:
        raise WrongSchema(
            f"the database is at no revision that this Sexton knows: {found.differs[0]}",
            hint="sexton adopt lists all that differs",
        )
    if found.revision != found.recorded:
        run_alembic(command.stamp, address, found.revision)
    return found


def _newer(connection: Connection) -> list[str]:
    return [
        f"{table} has {', '.join(names)}" if names else f"there is a table {table}"
        for table, names in NEWER.items()
        if schema.has(connection, table, *names)
    ]


def _has(connection: Connection) -> list[str]:
    """What revisions differ in, in words."""
    tombstones = {"deleted", "deleted_at"} & schema.columns(connection, schema.MODELS)
    live, every = (
        not any("unique btree" in sentence for sentence in drift(connection, revision))
        for revision in ("0003", "0002")
    )
    keys = schema.provider_keys(connection)
    return [
        f"columns {' and '.join(sorted(tombstones))}" if tombstones else "no tombstones",
        *(["one live default"] if live else []),
        *(["one default, tombstones counted"] if every else []),
        *([] if live or every else ["no index of the one default"]),
        *(
            f"foreign key {key['name']}{'' if key['valid'] else ', not valid'}"
            for key in keys
        ),
        *([] if keys else ["no foreign key on provider"]),
    ]
