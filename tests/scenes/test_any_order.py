"""Random operations against PostgreSQL and against a plain Python model of the rules.

After each one all rows must agree: who is live, who is the default, who was touched.
"""

import contextlib
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sexton.chat import models, providers
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.database import connect, rows
from sexton.errors import SextonError
from tests.support.collations import sorted_database
from tests.support.interleaving import ours

PROVIDERS = ["anthropic", "openai", "openai-compat"]
NAMES = ["GPT-5", "Zeta", "alpha", "gpt-4", "gpt_4"]

NOT_FOUND = "Resource not found or you do not have access to this resource"
NOT_CONFIGURED = "Chat provider is not configured."


class No(Exception):
    """The model refuses: the error's kind and, where upstream has one, its message."""

    def __init__(self, kind, message=None):
        self.kind, self.message = kind, message


@dataclass
class Provider:
    created: int
    enabled: bool
    display_name: str = ""


@dataclass
class Config:
    id: uuid.UUID
    provider: str
    model: str
    created: int
    updated: int
    enabled: bool = True
    is_default: bool = False
    deleted: int | None = None
    display_name: str = ""


class Rules:
    """The rules, in memory. `rank` is the database's order of the names."""

    def __init__(self, rank):
        self.rank = rank
        self.now = 0
        self.providers = {}
        self.configs = {}

    # -- elections

    def live(self):
        return [config for config in self.configs.values() if config.deleted is None]

    def default(self):
        return next((config for config in self.live() if config.is_default), None)

    def usable(self, config):
        provider = self.providers.get(config.provider)
        return (
            config.deleted is None
            and config.enabled
            and provider is not None
            and provider.enabled
        )

    def order(self, config):
        names = self.rank[config.provider], self.rank[config.model]
        return *names, -config.updated, -config.id.int

    def elect(self, heir, excluding=()):
        if heir == "none":
            return None
        if heir in ("usable", "first"):
            candidates = [
                config
                for config in self.live()
                if config.id not in excluding and (heir == "first" or self.usable(config))
            ]
            return min(candidates, key=self.order, default=None)
        config = self.configs.get(uuid.UUID(heir))
        if config is None:
            raise No("Missing", NOT_FOUND)
        self.require_usable(config)
        if config.id in excluding:
            raise No("Refused")
        return config

    def require_usable(self, config):
        if config.deleted is not None:
            raise No("Deleted", NOT_FOUND)
        if config.provider not in self.providers:
            raise No("ProviderMissing", NOT_CONFIGURED)
        if not config.enabled:
            raise No("Disabled")
        if not self.providers[config.provider].enabled:
            raise No("ProviderDisabled", "Provider is disabled.")

    def give(self, config):
        for other in self.live():
            if other.is_default and other is not config:
                other.is_default, other.updated = False, self.now
        config.is_default, config.updated = True, self.now

    def ensure(self, heir):
        if heir != "none" and self.default() is None:
            found = self.elect(heir)
            if found:
                self.give(found)

    # -- operations

    def find_provider(self, name):
        if name not in self.providers:
            raise No("Missing", NOT_FOUND)
        return self.providers[name]

    def find_live(self, id):
        config = self.configs.get(id)
        if config is None:
            raise No("Missing", NOT_FOUND)
        if config.deleted is not None:
            raise No("Deleted", NOT_FOUND)
        return config

    def add_provider(self, name, enabled):
        if name in self.providers:
            raise No("Refused", "Chat provider already exists.")
        self.providers[name] = Provider(self.now, enabled)
        self.ensure("usable")

    def delete_provider(self, name, heir):
        self.find_provider(name)
        going = [config for config in self.live() if config.provider == name]
        before = self.default()
        chosen = self.elect(heir, [config.id for config in going])
        for config in going:
            config.deleted = config.updated = self.now
        if chosen and (before is None or before in going):
            self.give(chosen)
        del self.providers[name]

    def switch_provider(self, name, enabled, heir):
        provider = self.find_provider(name)
        before = self.default()
        if enabled:
            provider.enabled = True
            chosen = None if before else self.elect(heir)
        else:
            under = [config.id for config in self.live() if config.provider == name]
            chosen = self.elect(heir, under)
            if before and before.id not in under:
                chosen = None
            provider.enabled = False
        if chosen:
            self.give(chosen)

    def restore_provider(self, name):
        if name not in self.providers:
            raise No("ProviderMissing", NOT_CONFIGURED)
        dead = [
            config
            for config in self.configs.values()
            if config.provider == name
            and config.deleted is not None
            and config.deleted < self.providers[name].created
        ]
        created = self.providers[name].created
        restored = [
            config
            for config in self.configs.values()
            if config.provider == name and config.created < created < config.updated
        ]
        if restored or not dead:
            raise No("UsageError")
        latest = max(config.deleted for config in dead)
        for config in dead:
            if config.deleted == latest:
                config.deleted, config.is_default, config.updated = None, False, self.now
        self.ensure("usable")

    def create(self, id, provider, model, enabled, is_default, heir):
        if provider not in self.providers:
            raise No("ProviderMissing", NOT_CONFIGURED)
        config = Config(id, provider, model, self.now, self.now, enabled)
        if is_default and heir == "usable":
            self.require_usable(config)
        first = self.default() is None
        self.configs[id] = config
        if is_default or (first and (heir == "first" or self.usable(config))):
            self.give(config)
        self.ensure(heir)

    def update(self, id, changes, heir):
        config = self.find_live(id)
        if changes.get("provider", config.provider) not in self.providers:
            raise No("ProviderMissing", NOT_CONFIGURED)
        wanted = {k: v for k, v in changes.items() if k != "is_default"}
        for name, value in wanted.items():
            setattr(config, name, value)
        config.updated = self.now
        if changes.get("is_default") and not config.is_default:
            if heir == "usable":
                self.require_usable(config)
            self.give(config)
        elif changes.get("is_default") is False and config.is_default:
            other = self.elect(heir, [id])
            if other:
                self.give(other)
        self.ensure(heir)

    def delete(self, id, heir):
        config = self.find_live(id)
        before = self.default()
        chosen = self.elect(heir, [id])
        config.deleted = config.updated = self.now
        if chosen and (before is None or before is config):
            self.give(chosen)

    def promote(self, id):
        config = self.find_live(id)
        self.require_usable(config)
        if not config.is_default:
            self.give(config)


index = st.integers(0, 7)
heirs = st.sampled_from(["usable", "first", "none"]) | index.map(str)
elections = st.sampled_from(["usable", "first"])


class Comparison(RuleBasedStateMachine):
    """Each rule is made in both; they must end alike."""

    connection: Any = None  # set by the test
    rank: Any = None

    @initialize()
    def begin(self):
        self.connection.execute(
            """
            delete from user_chat_provider_keys; delete from chat_model_configs;
            delete from chat_providers
            """
        )
        self.world = Rules(self.rank)
        self.moments = {}
        for name in PROVIDERS[:2]:
            self.add_provider(name, True)
        for name in NAMES[:3]:
            self.create(PROVIDERS[1], name, True, False, "usable")

    def pick(self, index):
        """The id of some config, tombstones too, or of none."""
        ids = sorted(self.world.configs)
        return ids[index % len(ids)] if ids and index < 7 else uuid.UUID(int=index)

    def heir(self, heir):
        return heir if heir in ("usable", "first", "none") else str(self.pick(int(heir)))

    def both(self, function, *args, rules, **kwargs):
        """Do it in the database and in the model; return what the database gave."""
        import copy

        self.world.now += 1
        made, error = None, None
        try:
            made = ours(function, *args, **kwargs)(self.connection)
        except SextonError as raised:
            error = raised
        before, refusal = copy.deepcopy(self.world), None
        try:
            rules(made)
        except No as raised:
            self.world, refusal = before, raised
        kind = type(error).__name__ if error else None
        assert kind == (refusal.kind if refusal else None), repr(error)
        if error and refusal and refusal.message:
            assert error.upstream == refusal.message

    @rule(name=st.sampled_from(PROVIDERS), enabled=st.booleans() | st.just(True))
    def add_provider(self, name, enabled):
        self.both(
            providers.add_provider,
            name,
            enabled=enabled,
            api_key="sk-made-up",
            rules=lambda _: self.world.add_provider(name, enabled),
        )

    @rule(name=st.sampled_from(PROVIDERS), heir=heirs)
    def delete_provider(self, name, heir):
        heir = self.heir(heir)
        self.both(
            DeleteProvider,
            name,
            heir=heir,
            rules=lambda _: self.world.delete_provider(name, heir),
        )

    @rule(name=st.sampled_from(PROVIDERS), enabled=st.booleans(), heir=heirs)
    def switch_provider(self, name, enabled, heir):
        heir = self.heir(heir)
        self.both(
            providers.SwitchProvider,
            name,
            enabled=enabled,
            heir=heir,
            rules=lambda _: self.world.switch_provider(name, enabled, heir),
        )

    @rule(name=st.sampled_from(PROVIDERS))
    def restore_provider(self, name):
        self.both(
            RestoreProvider,
            name,
            rules=lambda _: self.world.restore_provider(name),
        )

    @rule(
        provider=st.sampled_from(PROVIDERS),
        name=st.sampled_from(NAMES),
        enabled=st.booleans() | st.just(True),
        is_default=st.booleans(),
        heir=elections,
    )
    def create(self, provider, name, enabled, is_default, heir):
        wanted = {"enabled": enabled, "is_default": is_default, "heir": heir}
        self.both(
            models.create_model,
            provider=provider,
            **{"context_limit": 1, **wanted},
            rules=lambda made: self.world.create(
                made["id"] if made else uuid.uuid4(), provider, name, **wanted
            ),
            model=name,
        )

    @rule(
        index=index,
        changes=st.fixed_dictionaries(
            {},
            optional={
                "provider": st.sampled_from(PROVIDERS),
                "enabled": st.booleans(),
                "is_default": st.booleans(),
                "display_name": st.sampled_from(["", "x"]),
            },
        ).filter(bool),
        heir=elections,
    )
    def update(self, index, changes, heir):
        id = self.pick(index)
        self.both(
            models.update_model,
            id,
            changes,
            heir=heir,
            rules=lambda _: self.world.update(id, changes, heir),
        )

    @rule(index=index, heir=heirs)
    def delete(self, index, heir):
        id, heir = self.pick(index), self.heir(heir)
        self.both(
            models.DeleteModel,
            id,
            heir=heir,
            rules=lambda _: self.world.delete(id, heir),
        )

    @rule(index=index)
    def promote(self, index):
        id = self.pick(index)
        self.both(models.promote, id, rules=lambda _: self.world.promote(id))

    @rule(provider=st.sampled_from(PROVIDERS), name=st.sampled_from(NAMES))
    def insert_past_the_tool(self, provider, name):
        """An old replica, or psql: it asks nobody whether the provider is there."""
        self.world.now += 1
        [made] = rows(
            self.connection,
            """
            insert into chat_model_configs
                (provider, model, context_limit, compression_threshold)
            values (%s, %s, 1, 70) returning id
            """,
            provider,
            name,
        )
        now = self.world.now
        config = Config(made["id"], provider, name, now, now)
        self.world.configs[config.id] = config

    @invariant()
    def rows_agree(self):
        if not hasattr(self, "world"):
            return
        found = rows(
            self.connection,
            """
            select id, provider, model, enabled, is_default, deleted, display_name,
                   deleted_at, updated_at
            from chat_model_configs order by id
            """,
        )
        there = [
            (
                *(row[name] for name in ("id", "provider", "model", "enabled")),
                *(row[name] for name in ("is_default", "deleted", "display_name")),
            )
            for row in found
        ]
        here = [
            (
                *(c.id, c.provider, c.model, c.enabled),
                *(c.is_default, c.deleted is not None, c.display_name),
            )
            for _, c in sorted(self.world.configs.items())
        ]
        assert there == here
        for row in found:
            config = self.world.configs[row["id"]]
            self.same_moment(config.updated, row["updated_at"])
            if config.deleted is None:
                assert row["deleted_at"] is None
            else:
                self.same_moment(config.deleted, row["deleted_at"])
        named = rows(
            self.connection,
            'select provider, enabled from chat_providers order by provider collate "C"',
        )
        assert [(row["provider"], row["enabled"]) for row in named] == [
            (name, provider.enabled)
            for name, provider in sorted(self.world.providers.items())
        ]

    def same_moment(self, step, time):
        """Rows that the model touched in one step carry one time, and no other's."""
        assert self.moments.setdefault(step, time) == time


@pytest.mark.parametrize("kind", ["bytes", "language"])
def test_postgresql_and_the_rules_agree(kind):
    with (
        sorted_database(kind) as url,
        contextlib.closing(connect(url, name="tests")) as connection,
    ):
        found = rows(
            connection,
            "select x from unnest(%s::text[]) as x order by x",
            PROVIDERS + NAMES,
        )
        rank = {row["x"]: index for index, row in enumerate(found)}
        assert (rank["alpha"] < rank["GPT-5"]) == (kind == "language")
        machine = type("Machine", (Comparison,), {"connection": connection, "rank": rank})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
