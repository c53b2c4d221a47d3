"""Plan: what an upgrade or downgrade would do now, step by step. Writes nothing."""

import contextlib
from typing import Any

import psycopg
from alembic.script import ScriptDirectory

from sexton.chat import schema as chat
from sexton.database import Connection, rows, set_local
from sexton.ddl import steps
from sexton.ddl.waiting import LockSampler, Options
from sexton.durations import duration
from sexton.guard import parts
from sexton.upgrade import run as upgrade

# Measured on 5 million rows, two cores: a unique index built CONCURRENTLY took 11.1 s.
ROWS_PER_SECOND = 450_000
STATEMENT_TIMEOUT = "60s"
NOT_YET = "cannot be looked at yet: an earlier step makes what it reads"


GUARD = upgrade.GUARD
Move = tuple[str, str | None, list[steps.Step]]


def moves(
    connection: Connection, way: str, target: str, *, guarded: bool = False
) -> list[Move]:
    """The revisions on the way: number, the one it starts from, and its steps.

    `way` is `up` or `down`; with `guarded`, the guard is among the moves up. Raises as
    `upgrade` and `downgrade` do.
    """
    script = ScriptDirectory.from_config(upgrade.config())
    looked = (upgrade.way_up if way == "up" else upgrade.way_down)(connection, target)
    chosen, goal = looked
    found = []
    for number in chosen:
        module = script.get_revision(number).module
        start = module.down_revision if way == "up" else number
        made = module.UPGRADE if way == "up" else module.DOWNGRADE
        found.append((number, start, made))
    place = upgrade.place_of_guard(connection, way, chosen, goal, guarded=guarded)
    if place is not None:
        at = upgrade.current_revision(connection)
        if place:
            at = chosen[place - 1] if way == "up" else upgrade.below(chosen[place - 1])
        made = parts.ADD if way == "up" else parts.REMOVE
        found.insert(place, (GUARD, at, made))
    return found


def plan(
    connection: Connection,
    way: str,
    target: str,
    options: Options,
    *,
    guarded: bool = False,
) -> dict[str, Any]:
    """The document that `upgrade --plan --format json` prints; no steps: nothing to do.

    A step: {revision, title, done, lock, tables, alone, rewrites, rows, bytes,
    estimate_s, blockers[], refused[], warnings[], irreversible}. `done` is true where
    the catalog has its result already, and None where it depends on the steps before.
    """
    chosen = moves(connection, way, target, guarded=guarded)
    return _document(connection, way, chosen, options)


def plan_guard(connection: Connection, verb: str, options: Options) -> dict[str, Any]:
    """The same document for `guard add` or `guard remove`; raises WrongSchema."""
    return _document(connection, verb, guard_moves(connection, verb), options)


def guard_moves(connection: Connection, verb: str) -> list[Move]:
    """What `guard add` or `guard remove` do, as a list of one move."""
    chat.require_models(connection)
    if verb == "add":
        chat.require_tombstones(connection)
    made = parts.ADD if verb == "add" else parts.REMOVE
    return [(GUARD, upgrade.current_revision(connection), made)]


def _document(
    connection: Connection, way: str, chosen: list[Move], options: Options
) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for number, _, made in chosen:
        for step in made:
            looked = _step(connection, number, step, options)
            if looked["done"] and not all(before["done"] for before in found):
                # What comes before may bring what this step takes away.
                looked["done"] = None
            found.append(looked)
    return {
        "from": upgrade.current_revision(connection),
        "way": way,
        "revisions": [number for number, _, _ in chosen if number != GUARD],
        "steps": found,
    }


def _step(
    connection: Connection, number: str, step: steps.Step, options: Options
) -> dict[str, Any]:
    tables = list(step.get("tables", ()))
    size = _size(connection, list(step.get("scans", ())))
    document: dict[str, Any] = {"revision": number, "title": step["title"]}
    document |= {"done": None, "lock": step.get("lock"), "tables": tables}
    document |= {"alone": bool(step.get("alone")), "rewrites": False, **size}
    document |= {"blockers": [], "refused": [], "warnings": []}
    document |= {"irreversible": step.get("loses")}
    try:
        with _looking(connection):
            document["done"] = steps.is_done(connection, step)
    except psycopg.errors.ProgrammingError:
        pass
    for kind, name in (("warn", "warnings"), ("refuse", "refused")):
        if document["done"] and kind == "refuse":
            return document
        try:
            with _looking(connection):
                document[name] = steps.objections(connection, step, options, kind)
        except psycopg.errors.ProgrammingError:
            document["warnings"].append(f"the data {NOT_YET}")
    if document["refused"] and step.get("hint"):
        document["hint"] = step["hint"]
    if tables and not step.get("alone"):
        document["blockers"] = [
            holder.document(options.show_queries)
            for holder in LockSampler(connection, tables, step["lock"]).look()
            if not holder.autovacuum and holder.age > options.max_stall
        ]
    return document


@contextlib.contextmanager
def _looking(connection: Connection) -> Any:
    with connection.transaction(force_rollback=True):
        set_local(connection, "statement_timeout", STATEMENT_TIMEOUT)
        yield


def _size(connection: Connection, tables: list[str]) -> dict[str, Any]:
    """How much a step reads: the planner's estimate of rows, and bytes."""
    if not tables:
        return {"rows": 0, "bytes": 0, "estimate_s": 0.0}
    [found] = rows(
        connection,
        """
        select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as rows,
               coalesce(sum(pg_table_size(c.oid)), 0)::bigint as bytes
        from pg_catalog.pg_class c
        where c.oid in (select to_regclass(name)::oid from unnest(%s::text[]) as name)
        """,
        tables,
    )
    return {**found, "estimate_s": round(found["rows"] / ROWS_PER_SECOND, 3)}


def text(document: dict[str, Any]) -> str:
    """The document for people."""
    if not document["steps"]:
        return f"at {document['from'] or 'base'} already: nothing to do"
    lines = []
    for step in document["steps"]:
        lines += ["", f"{step['revision']}  {step['title']}"]
        lines += [f"        {line}" for line in _told(step)]
    refused = any(step["refused"] for step in document["steps"])
    lines += ["", "refused: see above" if refused else "nothing was written"]
    return "\n".join(lines[1:])


def _told(step: dict[str, Any]) -> list[str]:
    know = [f"know: {sentence}" for sentence in step["warnings"]]
    if step["done"]:
        return ["done already: nothing is sent", *know]
    lines = []
    if step["done"] is None:
        lines.append("nothing is sent unless the steps before make it necessary")
    if step["lock"]:
        lines.append(f"lock: {step['lock']} on {', '.join(step['tables'])}; no rewrite")
    if step["rows"] or step["bytes"]:
        lines.append(
            f"reads: about {step['rows']:,} rows, {step['bytes']:,} bytes, "
            f"{duration(step['estimate_s'])}"
            + (", beside the others' work" if step["alone"] else ", under the lock")
        )
    for holder in step["blockers"]:
        who = (
            f"prepared transaction {holder['prepared']!r}"
            if holder["prepared"]
            else f"pid {holder['pid']}, {holder['user']} ({holder['application']})"
        )
        lines.append(
            f"blocked now by: {who}, {holder['state'] or 'in a transaction'}, "
            f"{duration(holder['age_s'])} old, has {', '.join(holder['modes'])}"
        )
    lines += [f"refused: {sentence}" for sentence in step["refused"]]
    if step.get("hint"):
        lines.append(f"next: {step['hint']}")
    lines += know
    if step["irreversible"]:
        lines.append(f"no way back: {step['irreversible']}")
    return lines
