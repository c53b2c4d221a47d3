"""The inventory: which databases there are, under which labels, in which waves.

    [fleet]
    per_server = 4                       # connections to one server at a time

    [[target]]
    name = "eu-1"
    service = "eu-1"                     # or url = "postgresql://…", or url_env = "EU1_URL"
    schema = "tenant_1"                  # puts this schema first on the search path
    labels = { region = "eu", tier = "canary" }

    [[source]]                           # targets from a query on a control database
    service = "control"
    query = "select name, service, labels from tenants where ready order by name"

    [[wave]]
    name = "canary"
    match = "tier=canary"
    parallel = 2
    max_failures = 0
    soak = "10min"

A query returns `name`, one of `service`, `url` and `url_env`, and where wanted `schema`
and `labels` (jsonb). A URL that carries a password stays on this machine: it is never
sent to another's worker.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sexton import documents
from sexton.errors import Refused, UsageError
from sexton.text import durations
from sexton.text.printable import printable, shown


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One database, or one schema of it, by a name that no other target has."""

    name: str
    service: str = ""
    url: str = ""
    url_env: str = ""
    schema: str = ""
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Insist on one way to the database."""
        if sum(map(bool, (self.service, self.url, self.url_env))) != 1:
            raise ValueError(
                f"the target {self.name!r} needs one of `service`, `url` and `url_env`"
            )

    def matches(self, conditions: Sequence[tuple[str, str]]) -> bool:
        """Whether it has these labels; the label `name` is its name."""
        mine = {"name": self.name, **self.labels}
        return all(mine.get(label) == value for label, value in conditions)


class Wave(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Targets that go together: how many at once, and how many may fail."""

    name: str
    match: str = ""
    parallel: int = 8
    max_failures: int = 0
    soak: str = "0s"

    def __post_init__(self) -> None:
        """Read what only looks like text."""
        conditions(self.match)
        durations.parse(self.soak)
        if self.parallel < 1 or self.max_failures < 0:
            raise ValueError(
                f"the wave {self.name!r} has a negative number, or none at all"
            )


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A control database, and the query that lists targets."""

    query: str
    service: str = ""
    url: str = ""
    url_env: str = ""


class General(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for all targets."""

    per_server: int = 4
    deadline: str = "10min"


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    fleet: General = General()
    target: tuple[Target, ...] = ()
    source: tuple[Source, ...] = ()
    wave: tuple[Wave, ...] = ()


def load(file: Path) -> Inventory:
    """Read an inventory and ask its sources; raises UsageError, naming what is wrong."""
    found = documents.load_toml(
        file, Inventory, noun="inventory", hint="docs/fleet.md shows one"
    )
    targets = [*found.target]
    for source in found.source:
        targets += _ask(file, source)
    names = [target.name for target in targets]
    if twice := sorted(n for n, number in Counter(names).items() if number > 1)[:3]:
        raise UsageError(
            printable(f"{file}: two targets are called {', '.join(twice)}"),
            hint="each needs a name of its own, for the report names it once",
        )
    return msgspec.structs.replace(found, target=tuple(targets), source=())


def _ask(file: Path, source: Source) -> list[Target]:
    from psycopg import errors

    from sexton.database import database, rows, snapshot
    from sexton.fleet.addresses import address

    # With parameters it is one statement and no second, which might end the snapshot.
    query: Any = f"{source.query.replace('%', '%%')}\n-- %s"
    with (
        database(address(source), name="sexton fleet", read_only=True) as connection,
        snapshot(connection),
    ):
        try:
            listed = rows(connection, query, 0)
        except errors.InsufficientPrivilege:
            raise
        except (errors.ProgrammingError, errors.DataError, errors.InternalError) as error:
            raise UsageError(
                f"{shown(file)}: a source's query is refused: {error.diag.message_primary}",
                hint="it is one SELECT, in a read-only transaction",
            ) from None
    try:
        return [
            msgspec.convert({k: v for k, v in row.items() if v is not None}, Target)
            for row in listed
        ]
    except ValueError as error:
        raise UsageError(
            f"{shown(file)}: a source's query returned a row that is no target: {error}",
            hint="it returns name, one of service, url and url_env, and schema, labels",
        ) from None


def conditions(match: str) -> list[tuple[str, str]]:
    """`tier=canary,region=eu` as pairs; raises ValueError."""
    found = []
    for part in filter(None, (part.strip() for part in match.split(","))):
        label, equals, value = part.partition("=")
        if not equals or not label.strip():
            raise ValueError(f"{part!r} is no condition: write LABEL=VALUE")
        found.append((label.strip(), value.strip()))
    return found


def select_targets(
    targets: Sequence[Target], match: str = "", shard: tuple[int, int] = (1, 1)
) -> list[Target]:
    """The targets that match, and belong to shard `i` of `n`; raises UsageError for none.

    A target's shard follows from its name alone, so that machines need not talk.
    """
    try:
        wanted = conditions(match)
    except ValueError as error:
        raise UsageError(str(error), hint="--match tier=canary,region=eu") from None
    matched = [target for target in targets if target.matches(wanted)]
    if not targets:
        raise UsageError(
            "the inventory has no targets", hint="docs/fleet.md shows how to name some"
        )
    if not matched:
        raise UsageError(f"no target matches {match!r}", hint=_nearest(targets, wanted))
    number, of = shard
    return [target for target in matched if shard_of(target.name, of) == number - 1]


def _nearest(targets: Sequence[Target], wanted: Sequence[tuple[str, str]]) -> str:
    """What the labels of the targets are, near to what was asked for."""
    named = [{"name": target.name, **target.labels} for target in targets]
    for label, value in wanted:
        known = sorted({labels[label] for labels in named if label in labels})
        if not known:
            every = sorted({name for labels in named for name in labels})
            return printable(f"the inventory's labels are {', '.join(every[:20])}")
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            if near:
                return printable(f"did you mean {label}={near[0]}?")
            return printable(f"the values of {label} are {', '.join(known[:20])}")
    return "each condition matches some target, but no target matches all of them"


def digest(targets: Sequence[Target]) -> str:
    """A digest of the targets' names, by which machines know one set from another."""
    names = "\n".join(sorted(repr(target.name) for target in targets))
    return hashlib.sha256(names.encode()).hexdigest()[:32]


def shard_of(name: str, of: int) -> int:
    """The shard of a name, from 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % of


def waves(found: Inventory, targets: Sequence[Target]) -> list[tuple[Wave, list[Target]]]:
    """The waves in order with their targets; who is in none goes last.

    A target goes with the first wave that it matches.
    """
    left = list(targets)
    ordered = []
    for wave in found.wave:
        wanted = conditions(wave.match)
        mine = [target for target in left if target.matches(wanted)]
        left = [target for target in left if not target.matches(wanted)]
        ordered.append((wave, mine))
    if left:
        last = found.wave[-1] if found.wave else Wave(name="all", max_failures=len(left))
        rest = msgspec.structs.replace(last, name="rest", match="") if found.wave else last
        ordered.append((rest, left))
    return [(wave, mine) for wave, mine in ordered if mine]


def require_no_secrets(targets: Sequence[Target]) -> None:
    """Refuse to send a target whose URL carries a password to another machine.

    Raises Refused, and UsageError for a URL that cannot be read.
    """
    from psycopg import Error, conninfo

    from sexton.fleet.addresses import CONNECTION_STRING, as_libpq_has_it

    for target in targets:
        try:
            known = conninfo.conninfo_to_dict(as_libpq_has_it(target.url))
        except (Error, ValueError):  # what it says may hold a password
            raise UsageError(
                f"the URL of the target {target.name!r} is no connection string",
                hint=CONNECTION_STRING,
            ) from None
        if {"password", "sslpassword"}.intersection(known):
            raise Refused(
                f"the URL of the target {target.name!r} carries a password, which would "
                "travel to the workers",
                hint="name a `service` or a `url_env` that each worker knows",
            )


def tolerant(wave: Wave) -> Wave:
    """The wave as for looking: no failure stops it, and nothing needs to soak."""
    return msgspec.structs.replace(wave, max_failures=2**31, soak="0s")
