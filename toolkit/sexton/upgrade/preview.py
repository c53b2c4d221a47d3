"""Plan: what an upgrade or downgrade would do now, step by step. Writes nothing."""

from typing import Any

from sexton.catalog.relations import resolve
from sexton.database import Connection, rows
from sexton.ddl.holders import LockSampler, grant_statistics
from sexton.ddl.options import Options
from sexton.ddl.row_changes import unrecorded
from sexton.ddl.session import is_direct, own_session
from sexton.ddl.upgrade_lock import NAME_THE_SERVER, POOLED
from sexton.postgres.blockers import summary
from sexton.text.durations import duration
from sexton.upgrade.drift import drift
from sexton.upgrade.plain import Plain
from sexton.upgrade.preflight import Answer, preflight
from sexton.upgrade.route import BASE, HEAL, Route

# Measured on 5 million rows, two cores: a unique index built CONCURRENTLY took 11.1 s.
ROWS_PER_SECOND = 450_000


def plan(connection: Connection, route: Route, options: Options) -> dict[str, Any]:
    """The document that `upgrade --plan --format json` prints; no steps: nothing to do.

    {from, to, way, revisions[], drift[], steps[], refused}. A step: {revision, heal, title,
    done, lock, tables, outside_transaction, rewrites, opaque, rows, bytes, estimate_s,
    blockers[], refused[], warnings[], irreversible, hint}. `done` is true where the catalog
    has its result already, and None where it depends on the steps before. `refused` says
    why nothing of it would be done here. `opaque` is what cannot be looked into: a plain
    operation, or SQL; `rewrites` is None where that is not known. `drift` is what the route
    does not put right.
    """
    with own_session(connection):
        answers = preflight(connection, route, options)
        steps = [_step(connection, answer, options) for answer in answers]
        healing = any(answer.move.kind == HEAL for answer in answers)
        known = route.promised and not healing
        found = drift(connection, until=route.goal) if known else [*route.reported]
    return {
        "from": route.start,
        "to": route.goal,
        "way": route.direction,
        "revisions": route.revisions,
        "drift": found,
        "steps": steps,
        "refused": None if is_direct(connection) else POOLED,
    }


def _step(connection: Connection, answer: Answer, options: Options) -> dict[str, Any]:
    step = answer.step
    document: dict[str, Any] = {
        "revision": answer.move.name,
        "heal": answer.move.kind == HEAL,
        "title": step.title,
        "done": answer.done,
        "lock": step.lock,
        "tables": list(step.tables),
        "outside_transaction": step.outside_transaction,
        "rewrites": step.rewrites if isinstance(step, Plain) else False,
        "opaque": isinstance(step, Plain),
        **_size(connection, step.scans),
        "blockers": [],
        "refused": answer.refused,
        "warnings": answer.warnings,
        "irreversible": step.irreversible,
        "hint": step.hint if answer.refused else None,
    }
    if answer.done is False:
        sent = step.statements(options.choices)
        document["warnings"] += unrecorded(connection, sent)
    if step.lock and not answer.done:
        document["blockers"] = [
            holder.document(options.show_queries)
            for holder in LockSampler(connection, step.tables, step.lock).sample()
            if not holder.autovacuum and (holder.age > options.max_stall or holder.hidden)
        ]
        if any(blocker["hidden"] for blocker in document["blockers"]):
            document["warnings"].append(
                "how long that one has been in the way cannot be seen: "
                f"{grant_statistics(connection)}"
            )
    return document


def _size(connection: Connection, tables: tuple[str, ...]) -> dict[str, Any]:
    """How much a step reads: the planner's estimate of rows, and bytes."""
    if not tables:
        return {"rows": 0, "bytes": 0, "estimate_s": 0.0}
    [found] = rows(
        connection,
        """
        select
            coalesce(pg_catalog.sum(
                greatest(c.reltuples, 0::pg_catalog.float4)
            ), 0::pg_catalog.float4)::pg_catalog.int8 as rows,
            coalesce(pg_catalog.sum(
                pg_catalog.pg_table_size(c.oid)
            ), 0::pg_catalog.numeric)::pg_catalog.int8 as bytes
        from pg_catalog.pg_class c where c.oid = any (%s::pg_catalog.oid[])
        """,
        [relation.oid for relation in resolve(connection, tables).values()],
    )
    return {**found, "estimate_s": round(found["rows"] / ROWS_PER_SECOND, 3)}


def text(document: dict[str, Any], command: str) -> str:
    """The document for people; `command` is what makes the plan happen."""
    drifted = [f"drift: {sentence}" for sentence in document["drift"]]
    if not document["steps"]:
        at = document["from"] or BASE
        return "\n".join([f"at {at} already: nothing to do", *drifted])
    lines = [_summary(document, command), *drifted]
    idle: list[dict[str, Any]] = []
    for step in [*document["steps"], None]:
        if step is not None and _sends_nothing(step):
            idle.append(step)
            continue
        if idle:
            titles = "; ".join(one["title"] for one in idle)
            named = ", ".join(dict.fromkeys(one["revision"] for one in idle))
            lines += ["", f"{named}  probably nothing to do, asked again then: {titles}"]
            idle = []
        if step is not None:
            lines += ["", f"{step['revision']}  {step['title']}"]
            lines += [f"        {line}" for line in _details(step)]
    if document["refused"]:
        lines += ["", f"refused here: {document['refused']}", f"next: {NAME_THE_SERVER}"]
    return "\n".join(lines)


def _sends_nothing(step: dict[str, Any]) -> bool:
    """Whether its result is there now, though an earlier step might take it away."""
    quiet = not step["refused"] and not step["warnings"] and not step["blockers"]
    return quiet and step["done"] is not False


def _summary(document: dict[str, Any], command: str) -> str:
    """The first line: how many steps, how strong, who is in the way, what next."""
    sent = [step for step in document["steps"] if not _sends_nothing(step)]
    count = f"{len(sent)} step" + "s" * (len(sent) != 1)
    strong = sum(step["lock"] == "access exclusive" for step in sent)
    locks = (
        f"{strong} take{'s' * (strong == 1)} ACCESS EXCLUSIVE"
        if strong
        else ("none takes ACCESS EXCLUSIVE")
    )
    if opaque := sum(step["opaque"] for step in document["steps"]):
        locks += f", {opaque} cannot be looked into"
    if document["refused"] or any(step["refused"] for step in document["steps"]):
        return f"{count}, {locks}; refused, see below; nothing was changed"
    blocked = any(step["blockers"] for step in document["steps"])
    way = "somebody is in the way, see below" if blocked else "nobody is in the way"
    return f"{count}, {locks}, {way}; nothing was changed; next: {command}"


def _details(step: dict[str, Any]) -> list[str]:
    lines = []
    if step["lock"]:
        rewrite = "no rewrite" if step["rewrites"] is False else "it may rewrite"
        lines.append(f"lock: {step['lock']} on {', '.join(step['tables'])}; {rewrite}")
    if step["rows"] or step["bytes"]:
        about = "" if not step["rows"] else f"about {step['rows']:,} rows, "
        lines.append(
            f"reads: {about}{step['bytes']:,} bytes, {duration(step['estimate_s'])}, "
            + ("beside the others' work" if step["outside_transaction"] else "locked")
        )
    lines += [f"in the way now: {summary(holder)}" for holder in step["blockers"]]
    lines += [f"refused: {sentence}" for sentence in step["refused"]]
    if step["hint"]:
        lines.append(f"next: {step['hint']}")
    lines += [f"warning: {sentence}" for sentence in step["warnings"]]
    if step["irreversible"]:
        lines.append(f"irreversible: {step['irreversible']}")
    return lines
