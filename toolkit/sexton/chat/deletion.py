"""Deleting a provider while its history stays, and bringing its models back."""

from dataclasses import dataclass

from sexton.chat import queries
from sexton.chat.effect import Effect, count_cascades, refuse_model_keys
from sexton.chat.election import FIRST, USABLE, elect, make_default, standing
from sexton.chat.errors import Missing, ProviderMissing
from sexton.chat.providers import find_provider
from sexton.chat.schema import MODELS
from sexton.chat.transaction import Row, Transaction, insist
from sexton.chat.validation import add_command
from sexton.errors import Refused, UsageError


@dataclass(frozen=True)
class DeleteProvider:
    """Tombstone a provider's live configs, find the heir, delete the provider.

    `name` is the provider's name or id; `heir` is `usable`, `first`, `none` or a config's
    id. Users' keys for the provider go with it; chats and messages stay, on tombstones.
    """

    name: str
    heir: str = USABLE
    allow_cascades: bool = False

    kind = "provider delete"

    def plan(self, tx: Transaction) -> Effect:
        """Raises Missing, UsageError for a malformed heir, Refused for one that cannot be.

        WrongSchema before revision 0002, Refused before 0004 and wherever the deletion
        would reach a model config by a foreign key.
        """
        tx.product.require_tombstones()
        refuse_model_keys(tx)
        statement = queries.deletion(tx) if tx.recorder else None
        provider = find_provider(tx, self.name, "update")
        cascades = count_cascades(tx, provider["id"])
        tx.lock_models()
        stands = standing(
            tx,
            "c.provider = %(provider)s and not c.deleted",
            {"provider": provider["provider"]},
            usable=self.heir != FIRST,
        )
        chosen = elect(tx, self.heir, stands, stands.ids)
        stays = stands.default is not None and not stands.default_goes
        return Effect(
            own={"provider": provider["provider"], "tombstoned": stands.ids},
            stands=stands,
            heir=None if stays else chosen,
            provider=provider,
            cascades=cascades,
            statement=statement,
        )

    def execute(self, tx: Transaction, effect: Effect) -> None:
        """Write tombstones and heir, and delete the row; raises Refused for cascades."""
        assert effect.provider
        assert effect.statement
        if effect.cascades and not self.allow_cascades:
            raise Refused(
                "; ".join(
                    f"{row['rows']:,} rows of {row['table']} would be {row['does']} by the "
                    f"foreign key {row['key']}"
                    for row in effect.cascades
                ),
                hint="no undo brings them back; if they may go: --allow-cascades",
            )
        name, id = effect.provider["provider"], effect.provider["id"]
        tombs, promotion, gone = effect.statement.changes
        heir = [effect.heir["id"]] if effect.heir else []
        promoted, inherits = next(iter(heir), None), effect.inherits("was deleted")
        parts = (
            (tombs.given(f"its provider {name} was deleted", provider=name), effect.models),
            (promotion.given(inherits, promoted=promoted), heir),
            (gone.given("asked for", id=id), [id]),
        )
        counted = ((change, len(meant)) for change, meant in parts)
        written = tx.write(*counted, composed=effect.statement)
        for found, (change, meant) in zip(written, parts, strict=True):
            insist(found, meant, change.table.relation.name)
        tx.lose(effect.losses())


@dataclass(frozen=True)
class RestoreProvider:
    """Bring the tombstones of a re-created provider's latest deletion back to life.

    Those are the ones with the newest deleted_at before the provider was created: older
    lineages stay dead, also when it is asked for twice. They come back without the
    default's flag, which has an heir; one of them gets it only if there is no default.
    """

    name: str
    heir: str = USABLE

    kind = "provider restore"

    def plan(self, tx: Transaction) -> Effect:
        """Raises ProviderMissing unless re-created, UsageError for nothing to restore."""
        tx.product.require_tombstones()
        try:
            provider = find_provider(tx, self.name, "key share")
        except Missing:
            raise ProviderMissing(
                f"there is no provider {self.name!r} to restore models under",
                hint=f"create it again first: {add_command(self.name)}",
            ) from None
        tx.lock_models()
        ids = [row["id"] for row in self._dead(tx, provider)]
        if not ids:
            raise UsageError(
                f"no deletion left tombstones of {provider['provider']} to restore",
                hint="sexton model list --all",
            )
        stands = standing(
            tx,
            "c.id = any (%(ids)s)",
            {"ids": ids},
            usable=self.heir != FIRST,
            excluding=False,
        )
        heir = None if stands.default else elect(tx, self.heir, stands)
        own = {"provider": provider["provider"], "restored": stands.ids}
        return Effect(own, stands, heir, provider)

    def _dead(self, tx: Transaction, provider: Row) -> list[Row]:
        return tx.rows(
            f"""
            with dead as (
                select * from {tx.sql(MODELS)}
                where provider = %(provider)s and deleted and deleted_at < %(created)s
            )
            select id from dead
            where deleted_at = (select pg_catalog.max(deleted_at) from dead)
              and not exists (
                  -- Older than the provider, written since: restored. The rest is older.
                  select from {tx.sql(MODELS)} c
                  where c.provider = %(provider)s
                    and c.created_at < %(created)s and c.updated_at > %(created)s
              )
            """,  # noqa: S608 - of ours
            provider=provider["provider"],
            created=provider["created_at"],
        )

    def execute(self, tx: Transaction, effect: Effect) -> None:
        """Revive them, and elect."""
        why = f"restored under the re-created provider {self.name}"
        revived = queries.revive_models(tx, effect.models, tx.user, why)
        insist(revived, effect.models, MODELS)
        if effect.heir:
            make_default(tx, effect.heir["id"], "there was no default", None)
