"""Reassigning: what points at one config shall point at another."""

import uuid
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.chat import queries
from sexton.chat.election import require_live, require_usable, summary
from sexton.chat.errors import Missing
from sexton.chat.schema import MODELS
from sexton.chat.settings import hold_overrides, move_override, swap
from sexton.chat.transaction import Row, Transaction
from sexton.chat.usage import IN_FLIGHT
from sexton.errors import UsageError

QUEUE = "chat_queued_messages"


@dataclass(frozen=True)
class Reassignment:
    """What reassigning does: the same document before and after it."""

    source: Row
    target: Row
    moving: list[Row]  # settings
    kept: int  # thresholds that stay: the user has one for the target already
    chats: int  # open ones; archived chats and messages are history
    in_flight_chats: int
    queued_messages: int
    run: int | None = None

    def document(self) -> Row:
        """The document that `model reassign --format json` prints."""
        return {
            "from": summary(self.source),
            "to": summary(self.target),
            "overrides": len(self.moving),
            "overrides_kept": self.kept,
            "chats": self.chats,
            "in_flight_chats": self.in_flight_chats,
            "queued_messages": self.queued_messages,
        }

    def counted(self, tx: Transaction, seen: Any) -> "Reassignment":
        """As it is: its counts are part of the plan, for each row is written."""
        del tx, seen
        return self


@dataclass(frozen=True)
class Reassign:
    """Make overrides, open chats and queued messages of one config name another.

    `source` may be a tombstone; `target` must be usable. Its cost, and that of its record,
    grows with the open chats.
    """

    source: uuid.UUID
    target: uuid.UUID

    kind = "model reassign"

    def plan(self, tx: Transaction) -> Reassignment:
        """Raises Missing, UsageError for one and the same, Refused for an unusable one."""
        tx.product.require_tombstones()
        if self.source == self.target:
            raise UsageError("a model cannot take over from itself", hint="--to another ID")
        # Neither the server nor anybody else may delete the target until we are done.
        held = f"select c.id from {tx.sql(MODELS)} c where c.id = %(id)s"  # noqa: S608
        tx.hold(held, "share", id=self.target)
        source = queries.get_any_model(tx, self.source)
        if source is None:
            raise Missing(
                f"no model config has the id {self.source}", hint="sexton model list --all"
            )
        target = require_live(tx, self.target)
        require_usable(target)
        named = hold_overrides(tx, self.source)
        theirs = self._thresholds(tx, named)
        chats = self._chats(tx)
        return Reassignment(
            source=source,
            target=target,
            moving=[row for row in named if self._moved(row) not in theirs],
            kept=sum(self._moved(row) in theirs for row in named),
            chats=chats["chats"],
            in_flight_chats=chats["in_flight"],
            queued_messages=chats["queued"],
        )

    def _moved(self, setting: Row) -> tuple[Any, str] | None:
        key = swap(setting["key"], self.source, self.target)
        return None if key == setting["key"] else (setting["user_id"], key)

    def _thresholds(self, tx: Transaction, named: list[Row]) -> set[tuple[Any, str]]:
        """Those settings that would be in the way of a key that moves."""
        keys = sorted({moved[1] for row in named if (moved := self._moved(row))})
        if not keys:
            return set()
        found = tx.rows(
            f"select s.user_id, s.key from {tx.sql('user_configs')} s "  # noqa: S608
            "where s.key::pg_catalog.text = any (%(keys)s::pg_catalog.text[])",
            keys=keys,
        )
        return {(row["user_id"], row["key"]) for row in found}

    def _chats(self, tx: Transaction) -> Row:
        counts = {"chats": "0", "in_flight": "0", "queued": "0"}
        if tx.has("chats", "last_model_config_id", "status", "archived"):
            count = f"""(
                select pg_catalog.count(*) from {tx.sql("chats")}
                where last_model_config_id = %(id)s and not archived
            """  # noqa: S608 - of ours
            counts["chats"] = f"{count})"
            live = "status::pg_catalog.text = any (%(live)s::pg_catalog.text[])"
            counts["in_flight"] = f"{count} and {live})"
        if tx.has(QUEUE, "model_config_id"):
            counts["queued"] = (
                f"(select pg_catalog.count(*) from {tx.sql(QUEUE)} "  # noqa: S608 - of ours
                "where model_config_id = %(id)s)"
            )
        selected = ", ".join(f"{count} as {name}" for name, count in counts.items())
        found = tx.one(f"select {selected}", id=self.source, live=IN_FLIGHT)
        assert found
        return found

    def execute(self, tx: Transaction, effect: Reassignment) -> None:
        """Move the settings, the open chats and the queue."""
        why = f"reassigned from {self.source} to {self.target}"
        for setting in effect.moving:
            move_override(tx, setting, self.source, self.target, why)
        ids = {"old": self.source, "new": self.target}
        moved = [0, 0]
        if tx.has("chats", "last_model_config_id", "status", "archived"):
            where = "this.last_model_config_id = %(old)s and not this.archived"
            new = {"last_model_config_id": "%(new)s"}
            moved[0] = len(tx.update("chats", new, where, why, ids))
        if tx.has(QUEUE, "model_config_id"):
            where = "this.model_config_id = %(old)s"
            new = {"model_config_id": "%(new)s"}
            moved[1] = len(tx.update(QUEUE, new, where, why, ids))
        if moved != [effect.chats, effect.queued_messages]:
            # Somebody began a chat or queued a message meanwhile: once more, from the plan.
            raise errors.SerializationFailure("chats on the model moved meanwhile")
