"""What an operation does: the same document before and after it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sexton.catalog.cascades import DOES, count_reached
from sexton.chat.election import Standing, summary
from sexton.chat.releases import drops_the_key
from sexton.chat.schema import MODELS, PROVIDERS, USER_KEYS
from sexton.chat.transaction import Row, Transaction
from sexton.chat.usage import References, count_references
from sexton.errors import Refused
from sexton.journal.recorder import Statement


@dataclass(frozen=True)
class Effect:
    """What deleting, switching or restoring does to configs and to the default."""

    own: Mapping[str, Any]  # the operation's own part of the document
    stands: Standing
    heir: Row | None
    provider: Row | None = None  # whose keys and settings are counted
    references: References = field(default_factory=References)
    cascades: tuple[Row, ...] = ()  # rows that other tables' foreign keys take with it
    run: int | None = None
    statement: Statement | None = None  # composed before the locks, where it is to be sent

    @property
    def models(self) -> list[uuid.UUID]:
        """The configs it touches, in election order."""
        return self.stands.ids

    def document(self) -> Row:
        """The document that the commands print with `--format json`."""
        before = self.stands.default
        counts = self.references.document()
        if self.provider is None:
            del counts["user_keys"]  # they hang on the provider, which stays
        cascades = {"cascades": list(self.cascades)} if self.cascades else {}
        return {
            **self.own,
            "heir": summary(self.heir),
            "previous_default": before and before["id"],
            **counts,
            **cascades,
        }

    def inherits(self, verb: str) -> str:
        """Why the heir becomes the default, for the journal."""
        before = self.stands.default
        subject = self.own["provider"]
        if before and self.stands.default_goes:
            return f"inherits from {before['id']}: {subject} {verb}"
        return f"there was no default when {subject} {verb}"

    def losses(self) -> list[str]:
        """What no undo brings back, a sentence for each kind; the provider's key apart."""
        keys = self.references.user_keys
        found = [f"{keys:,} users' keys for {self.own['provider']}"] if keys else []
        return found + [
            f"{row['rows']:,} rows of {row['table']}, {row['does']} by {row['key']}"
            for row in self.cascades
        ]

    def counted(self, tx: Transaction, seen: "Effect | None") -> "Effect":
        """With the counts of a preview, if it saw the same configs; else counted now."""
        if seen and seen.models == self.models:
            return replace(self, references=seen.references)
        return replace(self, references=count_references(tx, self.models, self.provider))


def refuse_model_keys(tx: Transaction) -> None:
    """Refuse a foreign key by which the deletion of a provider reaches model configs.

    A tombstone is history: neither may it go, nor may it keep its provider from going.
    """
    models = tx.product.tables[MODELS].relation.oid
    how = drops_the_key(own_migrations="schema_migrations" in tx.product.tables)
    for key in tx.product.keys:
        if key.child_oid == models:
            raise Refused(
                f"the foreign key {key.name} still stands: deleting the provider row "
                f"would have its model configs {DOES[key.action]}",
                hint=f"{how}, if the key is the product's own; else drop it",
            )
    for name in tx.product.provider_keys:
        raise Refused(
            f"the foreign key {name} still stands: the provider row cannot be deleted "
            "while tombstones name it",
            hint=how,
        )


def count_cascades(tx: Transaction, provider: uuid.UUID) -> tuple[Row, ...]:
    """What else would go with a provider's row, beside its users' keys."""
    tables = tx.product.tables
    known = {tables[USER_KEYS].relation.oid} if USER_KEYS in tables else set()
    if all(key.child_oid in known for key in tx.product.keys):
        return ()
    found = count_reached(
        tx.connection,
        tx.product.keys,
        tables[PROVIDERS].relation.oid,
        "this.id = %(id)s",
        {"id": provider},
    )
    return tuple(
        {
            "table": key.child.replace("%%", "%"),
            "key": key.name,
            "rows": count,
            "does": DOES[key.action],
        }
        for key, count in found
        if key.child_oid not in known
    )
