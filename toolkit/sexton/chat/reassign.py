"""Reassigning: what points at one config shall point at another."""

import uuid
from dataclasses import dataclass
from typing import Any

from sexton.chat import queries
from sexton.chat.election import require_usable
from sexton.chat.models import brief, require_live
from sexton.chat.operations import Act, begin
from sexton.chat.schema import require_tombstones
from sexton.chat.settings import (
    count_overrides,
    find_overrides,
    lock_overrides,
    move_override,
)
from sexton.chat.usage import IN_FLIGHT
from sexton.database import Connection, rows
from sexton.errors import NotFound, UsageError
from sexton.schema import has

Row = dict[str, Any]

OPEN = "last_model_config_id = %s and not archived"


@dataclass(frozen=True)
class Reassignment:
    """What reassigning does: the same document before and after the deed."""

    source: Row
    target: Row
    overrides: int
    kept: int  # thresholds that stay: the user has one for the target already
    chats: int  # open ones; archived chats and messages are history
    in_flight_chats: int
    queued_messages: int

    def document(self) -> Row:
        """The document that `model reassign --format json` prints."""
        return {
            "from": brief(self.source),
            "to": brief(self.target),
            "overrides": self.overrides,
            "overrides_kept": self.kept,
            "chats": self.chats,
            "in_flight_chats": self.in_flight_chats,
            "queued_messages": self.queued_messages,
        }


def preview_reassignment(
    connection: Connection, source: uuid.UUID, target: uuid.UUID
) -> Reassignment:
    """What `reassign` would do now. Reads only, takes no lock."""
    require_tombstones(connection)
    return _plan(connection, source, target)


def reassign(
    connection: Connection,
    source: uuid.UUID,
    target: uuid.UUID,
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Reassignment:
    """Make overrides, open chats and queued messages of one config name another.

    `source` may be a tombstone; `target` must be usable. The journal names each override
    and says the rest in one record each. Its cost grows with the open chats.
    """
    require_tombstones(connection)
    act = begin(connection, "model reassign", actor=actor, recorded=recorded)
    # Neither the server nor anybody else may delete the target until we are done.
    rows(connection, "select from chat_model_configs where id = %s for share", target)
    lock_overrides(connection, find_overrides(connection, source))
    plan = _plan(connection, source, target)
    why = f"reassigned from {source} to {target}"
    for setting in find_overrides(connection, source):
        after = move_override(connection, setting, source, target)
        if after is None:
            continue
        before = {name: setting[name] for name in after}
        names = ("key",) if setting["user_id"] is None else ("user_id", "key")
        if setting["user_id"] is None:
            before.pop("user_id"), after.pop("user_id")
        key = {name: after[name] for name in names}
        act.record(setting["table_name"], key, before, after, why)
    query: Any = f"update chats set last_model_config_id = %s where {OPEN}"  # noqa: S608
    chats = connection.execute(query, (target, source)).rowcount
    _summary(act, "chats", "last_model_config_id", source, target, chats)
    queued = 0
    if _queues(connection):
        queued = connection.execute(
            "update chat_queued_messages set model_config_id = %s "
            "where model_config_id = %s",
            (target, source),
        ).rowcount
        _summary(act, "chat_queued_messages", "model_config_id", source, target, queued)
    return Reassignment(
        source=plan.source,
        target=plan.target,
        overrides=plan.overrides,
        kept=plan.kept,
        chats=chats,
        in_flight_chats=plan.in_flight_chats,
        queued_messages=queued,
    )


def _summary(
    act: Act, table: str, column: str, source: uuid.UUID, target: uuid.UUID, count: int
) -> None:
    if count:
        why = f"{count} rows reassigned from {source} to {target}, in one record"
        act.record(table, {column: source}, {column: source}, {column: target}, why)


def _queues(connection: Connection) -> bool:
    return has(connection, "chat_queued_messages", "model_config_id")


def _plan(connection: Connection, source: uuid.UUID, target: uuid.UUID) -> Reassignment:
    if source == target:
        raise UsageError("the two model configs are the same", hint="sexton model list")
    old = queries.get_any_model(connection, source)
    if old is None:
        raise NotFound(hint=f"no model config has the id {source}: sexton model list --all")
    new = require_live(connection, target)
    require_usable(new)
    [chats] = rows(
        connection,
        f"""
        select count(*) as n,
               count(*) filter (where status::text = any (%s)) as in_flight
        from chats where {OPEN}
        """,  # noqa: S608 - a condition of ours
        IN_FLIGHT,
        source,
    )
    queued = 0
    if _queues(connection):
        [found] = rows(
            connection,
            "select count(*) as n from chat_queued_messages where model_config_id = %s",
            source,
        )
        queued = found["n"]
    named = count_overrides(connection, [source])
    kept = _kept(connection, source, target)
    return Reassignment(
        source=old,
        target=new,
        overrides=named - kept,
        kept=kept,
        chats=chats["n"],
        in_flight_chats=chats["in_flight"],
        queued_messages=queued,
    )


def _kept(connection: Connection, source: uuid.UUID, target: uuid.UUID) -> int:
    """How many users have a threshold for both configs: theirs for the target stays."""
    if not has(connection, "user_configs", "user_id", "key"):
        return 0
    [found] = rows(
        connection,
        """
        select count(*) as n
        from user_configs o
        join user_configs t on t.user_id = o.user_id
        where lower(o.key) = 'chat_compaction_threshold_pct:' || %s
          and t.key = 'chat_compaction_threshold_pct:' || %s
        """,
        str(source),
        str(target),
    )
    return int(found["n"])
