"""Providers: listing, adding, changing and switching them."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.chat import queries
from sexton.chat.effect import Effect
from sexton.chat.election import (
    FIRST,
    USABLE,
    elect,
    ensure_default,
    make_default,
    standing,
)
from sexton.chat.errors import Missing
from sexton.chat.schema import MODELS, PROVIDERS
from sexton.chat.transaction import Row, Transaction, insist, reading, writing
from sexton.chat.validation import (
    check_policy,
    check_unencrypted,
    provider_values,
    refuse,
    without_secrets,
)
from sexton.database import Connection
from sexton.errors import UsageError
from sexton.text.printable import printable

CHANGEABLE = (
    *("display_name", "api_key", "base_url", "central_api_key_enabled"),
    *("allow_user_api_key", "allow_central_api_key_fallback"),
)


def list_providers(connection: Connection) -> list[Row]:
    """All providers by name, with their counts of models; never their keys."""
    with reading(connection) as tx:
        deleted = "c.deleted" if tx.has(MODELS, "deleted") else "false"
        found = tx.rows(
            f"""
            select
                p.*,
                (select pg_catalog.count(*) from {tx.sql(MODELS)} c
                 where c.provider = p.provider and not {deleted}) as live,
                (select pg_catalog.count(*) from {tx.sql(MODELS)} c
                 where c.provider = p.provider and {deleted}) as tombstones
            from ({queries.provider_query(tx)}) p order by p.provider
            """  # noqa: S608 - of ours
        )
    return [shown(row) for row in found]


def find_provider(tx: Transaction, name: str, strength: str) -> Row:
    """A provider by its name or id, locked where `tx` may write; raises Missing."""
    found = tx.hold(
        f"""
        {queries.provider_query(tx)}
        where p.provider = any (%(names)s::pg_catalog.text[])
           or p.id::pg_catalog.text = %(id)s::pg_catalog.text
        order by p.provider = %(name)s::pg_catalog.text desc
        limit 1
        """,
        f"{strength} of p",
        name=name,
        names=[name, name.strip().lower()],
        id=name.strip().lower(),
    )
    if found is None:
        names = [row["provider"] for row in queries.list_providers(tx)]
        near = difflib.get_close_matches(name.strip().lower(), names, n=1)
        raise Missing(
            f"no provider is called {name!r}",
            hint=f"did you mean {printable(near[0])}?" if near else "sexton provider list",
        )
    return found


def shown(provider: Row | None) -> Row:
    """A provider's row as commands print it: without what may be a secret."""
    assert provider
    return {**provider, "base_url": without_secrets(provider["base_url"])}


def add_provider(
    connection: Connection,
    name: str,
    *,
    display_name: str = "",
    api_key: str = "",
    base_url: str = "",
    enabled: bool = True,
    central_api_key_enabled: bool = True,
    allow_user_api_key: bool = False,
    allow_central_api_key_fallback: bool = False,
    heir: str = USABLE,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Add a provider, and return its row without the key.

    Live configs of that name, orphans until now, become usable; one of them becomes the
    default if there is none.
    """
    values = provider_values(
        {
            "provider": name,
            "display_name": display_name,
            "api_key": api_key,
            "base_url": base_url,
            "enabled": enabled,
            "central_api_key_enabled": central_api_key_enabled,
            "allow_user_api_key": allow_user_api_key,
            "allow_central_api_key_fallback": allow_central_api_key_fallback,
        }
    )
    check_policy(values, has_key=bool(values["api_key"]))
    with writing(connection, "provider add", actor=actor, recorded=recorded) as tx:
        tx.product.require_tombstones()
        if values["api_key"]:
            check_unencrypted(tx)
        if tx.user:
            values["created_by"] = tx.user
        try:
            id = queries.insert_provider(tx, values, "added")
        except errors.UniqueViolation:
            raise refuse(
                f"there is a provider {values['provider']} already",
                f"sexton provider update {values['provider']}",
                "Chat provider already exists.",
                409,
            ) from None
        tx.lock_models()
        ensure_default(
            tx, heir, f"there was no default, and {values['provider']} was added"
        )
        return shown(queries.get_provider(tx, id))


def update_provider(
    connection: Connection,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str | None = None,
    recorded: bool = True,
) -> Row:
    """Change a provider's columns, those given and no others; return it without the key.

    An empty `api_key` takes the key away. The policy is checked as it will be, if the
    change touches it.
    """
    if not changes or set(changes) - set(CHANGEABLE):
        raise UsageError(
            "nothing to change was named", hint="sexton provider update --help"
        )
    values = provider_values(changes)
    with writing(connection, "provider update", actor=actor, recorded=recorded) as tx:
        key = values.get("api_key")
        if key:
            check_unencrypted(tx)
        before = find_provider(tx, name, "no key update")
        if set(changes) - {"display_name", "base_url"}:
            has_key = before["has_api_key"] if key is None else bool(key)
            check_policy({**before, **values}, has_key=has_key)
        if key is not None:
            values["api_key_key_id"] = None  # it is stored as it is, not encrypted
        why = f"asked for: {', '.join(changes)}"
        id = before["id"]
        insist(queries.update_provider(tx, id, values, why), [id], PROVIDERS)
        return shown(queries.get_provider(tx, id))


@dataclass(frozen=True)
class SwitchProvider:
    """Enable or disable a provider.

    Disabling the default's provider moves the default to the heir, if there is one; else
    the default stays, unusable. Enabling elects a default if there is none.
    """

    name: str
    enabled: bool
    heir: str = USABLE

    @property
    def kind(self) -> str:
        """The command."""
        return f"provider {'enable' if self.enabled else 'disable'}"

    def plan(self, tx: Transaction) -> Effect:
        """Raises Missing, and what an election raises."""
        tx.product.require_tombstones()
        provider = find_provider(tx, self.name, "no key update")
        tx.lock_models()
        stands = standing(
            tx,
            "c.provider = %(provider)s and not c.deleted",
            {"provider": provider["provider"]},
            usable=self.heir != FIRST,
            excluding=not self.enabled,
            enabling=provider["provider"] if self.enabled else None,
        )
        if self.enabled:
            heir = None if stands.default else elect(tx, self.heir, stands)
        else:
            heir = elect(tx, self.heir, stands, stands.ids)
            if stands.default and not stands.default_goes:
                heir = None
        own = {
            "provider": provider["provider"],
            "enabled": self.enabled,
            "affected": stands.ids,
        }
        return Effect(own, stands, heir, provider)

    def execute(self, tx: Transaction, effect: Effect) -> None:
        """Switch it, and move the default."""
        assert effect.provider
        id = effect.provider["id"]
        written = queries.update_provider(tx, id, {"enabled": self.enabled}, "asked for")
        insist(written, [id], PROVIDERS)
        if effect.heir:
            why = effect.inherits("was switched")
            make_default(tx, effect.heir["id"], why, effect.stands.default)
