"""Adopt: recognise a database by its catalog, and record which revision it is at.

Every subject that revisions have facts of (a column, the index of the default, the
provider key) goes through phases, one after the other. The revision is the newest one
that no subject lags behind. A subject that is ahead was changed by hand, and the upgrade
will find it done; one that is between phases is put right by the revision that brings its
last one, if its steps do not refuse.
"""

from typing import Any

from sexton.catalog import schema
from sexton.catalog.relations import literal, resolve
from sexton.database import Connection
from sexton.ddl.options import Options
from sexton.ddl.own_schema import make_schema, require_own_schema
from sexton.ddl.questions import is_done, look_up, objections
from sexton.ddl.revisions import Fact
from sexton.ddl.session import own_session
from sexton.ddl.upgrade_lock import require_direct, upgrade_lock
from sexton.errors import Refused
from sexton.journal.schema_changes import recorded
from sexton.upgrade.drift import drift, held, revision_found
from sexton.upgrade.right_database import ADOPTED, adopted_at
from sexton.upgrade.route import known

REPLACED = " is recorded, and --apply replaces it"


def adopt(connection: Connection) -> dict[str, Any]:
    """What the database is. Reads catalogs alone.

    Returns {recognised, revision, recorded, matches, notes, problems}. `recorded` is the
    revision that the database says it has.
    """
    recorded = schema.revision(connection)
    document: dict[str, Any] = {"recognised": False, "revision": None}
    document |= {"recorded": recorded, "matches": [], "notes": [], "problems": []}
    if recorded is not None:
        _recorded(connection, recorded, document)
    else:
        with own_session(connection):
            _recognise(connection, document)
    return document


def _recorded(connection: Connection, recorded: str, document: dict[str, Any]) -> None:
    if recorded not in [revision.number for revision in known()]:
        document["problems"].append(
            f"the database is at revision {recorded!r}, which this Sexton does not know"
        )
        return
    broken = drift(connection)
    found = revision_found(connection) if broken else recorded
    if found is None:
        document["problems"] += broken
        return
    document |= {"recognised": True, "revision": found}
    if found == recorded:
        document["notes"].append(f"it is Sexton's already, at {recorded}")
    else:
        document["notes"].append(f"{recorded}{REPLACED}")


def _recognise(connection: Connection, document: dict[str, Any]) -> None:
    # What steps lock must be there; of what facts name besides, the facts will say.
    locked = {
        table for revision in known() for step in revision.up for table in step.tables
    }
    there = resolve(connection, locked)
    absent = sorted(locked - set(there))
    document["problems"] += [f"there is no table {n} on the search_path" for n in absent]
    if document["problems"]:
        return
    phases: dict[tuple[str, str], list[tuple[Fact, bool]]] = {}
    for fact, holds in held(connection):
        phases.setdefault((fact.table, fact.subject), []).append((fact, holds))
    reached = len(known())
    ahead: list[Fact] = []
    for subject in phases.values():
        ordinal, reason = _reached(connection, subject, document)
        reached = min(reached, ordinal)
        if reason is not None:
            ahead.append(reason)
    if reached == 0 and not document["problems"]:
        document["problems"].append("it is older than the first revision")
    if document["problems"]:
        return
    document |= {"recognised": True, "revision": known()[reached - 1].number}
    for fact in ahead:
        if fact.since > reached:
            number = known()[fact.since - 1].number
            document["notes"].append(
                f"{fact.table}: {fact.subject} is as {number} leaves it, already"
            )
        else:
            document["matches"].append(f"{fact.table}: {fact.subject}")


def _reached(
    connection: Connection,
    phases: list[tuple[Fact, bool]],
    document: dict[str, Any],
) -> tuple[int, Fact | None]:
    """The ordinal that one subject has reached, and the fact that says so."""
    everything = len(known())
    holding = [fact for fact, holds in phases if holds]
    last = phases[-1][0]
    if holding:
        until = holding[-1].until
        return (until - 1 if until else everything), holding[-1]
    if len(phases) == 1 and last.since > 1:
        return last.since - 1, None  # its revision has not brought it yet
    first, said = phases[0][0], f"{last.table}: {last.broken}"
    if len(phases) == 1:
        document["problems"].append(said)
        return everything, None
    refused = [
        sentence
        for step in known()[last.since - 1].up
        if not is_done(connection, step)
        for sentence in objections(connection, step, Options(), look_up(connection, step))
    ]
    if refused:
        document["problems"] += [said, *refused]
        return everything, None
    document["notes"].append(f"{last.table}: {first.broken}; the upgrade puts that right")
    return last.since - 1, None


def stamp(connection: Connection, document: dict[str, Any]) -> dict[str, Any]:
    """Record the revision that `adopt` recognised; again does no harm.

    Raises Refused where the database has changed since, or is not recognised, or the
    schema `sexton` is a stranger's, and WrongServer without the right to make it.
    """
    require_direct(connection)
    made: dict[str, Any] = {}
    with (
        own_session(connection),
        upgrade_lock(connection, Options(deadline=10)),
        recorded(connection, "adopt", lambda: made),
        connection.transaction(),
    ):
        now = adopt(connection)
        if not now["recognised"] or now["revision"] != document["revision"]:
            raise Refused("the schema is not what it was a moment ago: run it again")
        if now["recorded"] != now["revision"]:
            _record(connection, now["revision"], now["recorded"])
            made["to"] = now["revision"]
    notes = [n for n in document["notes"] if not n.endswith(REPLACED)]
    return document | {"recorded": document["revision"], "notes": notes}


def _record(connection: Connection, revision: str, recorded: str | None) -> None:
    if not require_own_schema(connection, schema.VERSION_SCHEMA):
        make_schema(connection, schema.VERSION_SCHEMA)
    name = schema.VERSIONS
    execute: Any = connection.execute
    if not resolve(connection, [name]):
        execute(
            f"""
            create table {name} (
                version_num varchar(32) not null,
                constraint {schema.VERSION_TABLE}_pkc primary key (version_num)
            )
            """
        )
    if recorded is not None:
        execute(
            f"update {name} set version_num = %s where version_num = %s",  # noqa: S608
            (revision, recorded),
        )
        if adopted_at(connection) is None:
            return  # what Sexton made stays Sexton's to take away
    else:
        execute(
            f"insert into {name} (version_num) values (%s)",  # noqa: S608
            (revision,),
        )
    execute(f"comment on table {name} is {literal(ADOPTED + revision)}")


def text(document: dict[str, Any]) -> str:
    """The document for people."""
    lines = []
    if document["recognised"]:
        head = f"recognised: revision {document['revision']}"
        if document["recorded"] is None:
            head += ", not recorded yet: sexton adopt --apply"
        elif document["recorded"] != document["revision"]:
            head += ", which is not what is recorded: sexton adopt --apply"
        lines.append(head)
    else:
        lines.append("not recognised, so nothing is recorded:")
    lines += [f"  does not match: {problem}" for problem in document["problems"]]
    lines += [f"  note: {note}" for note in document["notes"]]
    if document["matches"]:
        lines.append(f"  {len(document['matches'])} facts of the schema match")
    return "\n".join(lines)
