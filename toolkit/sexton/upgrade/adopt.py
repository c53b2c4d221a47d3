"""Adopt: recognise a database by its catalog, and record which revision it is at.

Every subject (the two columns, the index of the default, the provider key) goes through
phases, one after the other. The revision is the newest one that no subject lags behind.
A subject that is ahead was changed by hand, and the upgrade will find it done; one that
is behind, or between phases in a way that the upgrade puts right, is said too.
"""

from typing import Any

from sexton import schema
from sexton.chat import schema as chat
from sexton.chat.schema import MODELS
from sexton.database import Connection
from sexton.ddl.upgrade_lock import require_direct, turn
from sexton.ddl.waiting import Options
from sexton.errors import Refused
from sexton.upgrade import run as upgrade
from sexton.upgrade.drift import END, Fact, drift, facts

# Between phases, and which revision's step puts it right: the columns are added, the
# index built, the key dropped, whatever the state they are found in.
CURES = {"the index of the default": "0002", "the provider key": "0003"}
# Later versions of the real product bring these.
NEWER = {"chat_model_configs": {"ai_provider_id", "organization_id"}}


def adopt(connection: Connection) -> dict[str, Any]:
    """What the database is. Reads catalogs alone.

    Returns {recognised, revision, recorded, matches, notes, problems}. `recorded` is the
    revision that the database says it has.
    """
    recorded = schema.revision(connection)
    document: dict[str, Any] = {"recognised": False, "revision": None}
    document |= {"recorded": recorded, "matches": [], "notes": [], "problems": []}
    if recorded is not None:
        return _recorded(connection, recorded, document)
    problems = document["problems"]
    for table in (chat.PROVIDERS, MODELS):
        if not schema.columns(connection, table):
            problems.append(f"there is no table {table} on the search_path")
    for table, later in NEWER.items():
        if found := sorted(later & schema.columns(connection, table)):
            problems.append(
                f"{table} has {', '.join(found)}: a version of the product that is newer "
                "than this Sexton knows"
            )
    if problems:
        return document
    return _recognise(facts(connection), document)


def _recorded(
    connection: Connection, recorded: str, document: dict[str, Any]
) -> dict[str, Any]:
    if recorded not in upgrade.revisions():
        document["problems"].append(
            f"the database is at revision {recorded!r}, which this Sexton does not know"
        )
    else:
        document["problems"] += drift(connection)
    if not document["problems"]:
        document |= {"recognised": True, "revision": recorded}
        document["notes"].append(f"it is Sexton's already, at {recorded}")
    return document


def _recognise(found: list[tuple[Fact, bool]], document: dict[str, Any]) -> dict[str, Any]:
    known = upgrade.revisions()
    steps: dict[tuple[str, str], list[tuple[Fact, bool]]] = {}
    for fact, holds in found:
        steps.setdefault((fact.table, fact.subject), []).append((fact, holds))
    reached = known[-1]
    ahead: list[tuple[str, Fact]] = []
    for (table, subject), phases in steps.items():
        held = [fact for fact, holds in phases if holds]
        if held:
            fact = held[-1]
            until = known[-1] if fact.until == END else _before(known, fact.until)
            ahead.append((until, fact))
            reached = min(reached, until)
        elif subject in CURES:
            reached = min(reached, CURES[subject])
            document["notes"].append(
                f"{table}: {phases[0][0].broken}; the upgrade puts that right"
            )
        else:
            document["problems"].append(f"{table}: {phases[-1][0].broken}")
    if document["problems"]:
        return document
    document |= {"recognised": True, "revision": reached}
    for until, fact in ahead:
        if fact.since > reached:
            document["notes"].append(
                f"{fact.table}: {fact.subject} is as {fact.since} leaves it, already"
            )
        elif until >= reached:
            document["matches"].append(f"{fact.table}: {fact.subject}")
    return document


def _before(known: list[str], revision: str) -> str:
    return known[known.index(revision) - 1]


def stamp(connection: Connection, document: dict[str, Any]) -> dict[str, Any]:
    """Record the revision that `adopt` recognised; again does no harm.

    Raises Refused where the database has changed since, or is not recognised.
    """
    require_direct(connection)
    with turn(connection, Options(deadline=10)), connection.transaction():
        now = adopt(connection)
        if not now["recognised"] or now["revision"] != document["revision"]:
            raise Refused("the schema is not what it was a moment ago: look again")
        if now["recorded"] is None:
            execute: Any = connection.execute
            name = f"{schema.VERSION_SCHEMA}.{schema.VERSION_TABLE}"
            execute(f"create schema if not exists {schema.VERSION_SCHEMA}")
            execute(
                f"""
                create table if not exists {name} (
                    version_num varchar(32) not null,
                    constraint {schema.VERSION_TABLE}_pkc primary key (version_num)
                )
                """
            )
            execute(
                f"insert into {name} (version_num) values (%s)",  # noqa: S608
                (now["revision"],),
            )
    return document | {"recorded": document["revision"]}


def text(document: dict[str, Any]) -> str:
    """The document for people."""
    lines = []
    if document["recognised"]:
        head = f"recognised: revision {document['revision']}"
        if document["recorded"] is None:
            head += ", not recorded yet: sexton adopt --apply"
        lines.append(head)
    else:
        lines.append("not recognised, so nothing is recorded:")
    lines += [f"  does not match: {problem}" for problem in document["problems"]]
    lines += [f"  note: {note}" for note in document["notes"]]
    lines += [f"  matches: {match}" for match in document["matches"]]
    return "\n".join(lines)
