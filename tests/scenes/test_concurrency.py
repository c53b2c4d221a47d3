"""Every pair of operations, beside each other, ends as one after the other would.

Two connections, a barrier before each statement, both orders. The same against the
product's own transactions, which know nothing of Sexton's lock.
"""

import contextlib
import uuid

import pytest

from sexton.chat import keys, models, providers
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.reassign import Reassign
from sexton.database import connect, rows
from tests.support import product_server
from tests.support.interleaving import Actor, gated, lockstep, ours, outcome, preempt

SPACE = uuid.UUID(int=0)
USER = uuid.uuid5(SPACE, "a user")


def id_of(name):
    return uuid.uuid5(SPACE, name)


# provider, model, is_default
WORLDS = {
    "several": [
        ("openai", "first", True),
        ("openai", "second", False),
        ("anthropic", "first", False),
        ("anthropic", "second", False),
    ],
    # In this order in the heap, which is the order in which a provider's rows are locked.
    "lone": [("openai", "second", False), ("openai", "first", True)],
    "elsewhere": [
        ("anthropic", "first", True),
        ("openai", "first", False),
        ("openai", "second", False),
    ],
}
MINE = {
    "delete openai": ours(DeleteProvider, "openai"),
    "delete anthropic": ours(DeleteProvider, "anthropic"),
    "disable openai": ours(providers.SwitchProvider, "openai", enabled=False),
    "enable azure": ours(providers.SwitchProvider, "azure", enabled=True),
    "rotate openai": ours(providers.update_provider, "openai", {"api_key": "new"}),
    "add vercel": ours(providers.add_provider, "vercel", api_key="sk"),
    "delete the default": ours(models.DeleteModel, id_of("openai first")),
    "delete the heir": ours(models.DeleteModel, id_of("anthropic first")),
    "promote the sibling": ours(models.promote, id_of("openai second")),
    "promote the stranger": ours(models.promote, id_of("anthropic second")),
    "create under openai": ours(
        models.create_model, provider="openai", model="new", context_limit=1
    ),
    "create a default under anthropic": ours(
        models.create_model,
        provider="anthropic",
        model="new",
        context_limit=1,
        is_default=True,
    ),
    "rename the default": ours(
        models.update_model, id_of("openai first"), {"display_name": "x"}
    ),
    "step down": ours(models.update_model, id_of("openai first"), {"is_default": False}),
    "restore azure": ours(RestoreProvider, "azure"),
    "reassign": ours(Reassign, id_of("openai second"), id_of("anthropic second")),
    "user key": ours(keys.set_user_key, "openai", USER, "sk"),
}
THEIRS = {
    "delete openai": product_server.delete_provider("openai"),
    "delete anthropic": product_server.delete_provider("anthropic"),
    "delete the default": product_server.delete_model(id_of("openai first")),
    "delete the heir": product_server.delete_model(id_of("anthropic first")),
    "create under openai": product_server.create_model("openai", "theirs"),
    "create under anthropic": product_server.create_model("anthropic", "theirs"),
    "create a default under anthropic": product_server.create_model(
        "anthropic", "theirs", is_default=True
    ),
    "set-default": product_server.patch_model(id_of("anthropic second"), is_default=True),
    "step down": product_server.patch_model(id_of("openai first"), is_default=False),
    "rename the default": product_server.patch_model(
        id_of("openai first"), display_name="y"
    ),
    "rename the heir": product_server.patch_model(
        id_of("anthropic first"), display_name="y"
    ),
    "rotate openai": product_server.rotate_key("openai"),
    "user key": product_server.set_user_key(id_of("openai"), USER),
    "start a chat": product_server.start_chat(id_of("openai first")),
}
# The server merges these on a copy that it reads before its transaction (2.24).
STALE = ("rename the default", "rename the heir", "set-default", "step down")


class Stage:
    """A database, two gated connections, an observer, and the serial outcomes."""

    def __init__(self, url):
        self.observer = connect(url, name="observer")
        self.pair = [gated(url), gated(url)]
        self.serial_outcomes = {}
        with self.observer.transaction():
            from sexton.journal.tables import TABLES

            self.observer.execute(TABLES)

    def close(self):
        for connection in (self.observer, *self.pair):
            connection.close()

    def reset(self, world):
        self.observer.execute(
            """
            delete from chats; delete from user_chat_provider_keys;
            delete from chat_model_configs; delete from chat_providers
            """
        )
        with self.observer.pipeline(), self.observer.transaction():
            for name in ("anthropic", "azure", "openai"):
                self.observer.execute(
                    "insert into chat_providers "
                    "(id, provider, enabled, api_key, allow_user_api_key) "
                    "values (%s, %s, %s, 'sk-made-up', true)",
                    (id_of(name), name, name != "azure"),
                )
            for provider, model, is_default in WORLDS[world]:
                self.observer.execute(
                    "insert into chat_model_configs (id, provider, model, is_default, "
                    "context_limit, compression_threshold) values (%s, %s, %s, %s, 1, 7)",
                    (id_of(f"{provider} {model}"), provider, model, is_default),
                )

            self.observer.execute(
                "insert into chat_model_configs (provider, model, context_limit, "
                "compression_threshold, created_at, updated_at, deleted, deleted_at) "
                "values ('azure', 'buried', 1, 7, '2026-01-01', '2026-01-02', true, "
                "'2026-01-02')"
            )
            self.observer.execute(
                "insert into chats (owner_id, last_model_config_id) values (%s, %s)",
                (USER, id_of("openai second")),
            )

    def state(self):
        """Everything but generated ids and times."""
        models = rows(
            self.observer,
            """
            select provider, model, display_name, enabled, is_default, deleted,
                   deleted_at is not null as dated
            from chat_model_configs order by provider, model, is_default, deleted
            """,
        )
        found = rows(
            self.observer,
            """
            select p.provider, p.enabled, p.api_key, k.user_id
            from chat_providers p
            left join user_chat_provider_keys k on k.chat_provider_id = p.id
            order by p.provider, k.user_id
            """,
        )
        chats = rows(
            self.observer,
            """
            select c.provider, c.model from chats h
            join chat_model_configs c on c.id = h.last_model_config_id
            order by c.provider, c.model
            """,
        )
        return [tuple(row.values()) for row in (*models, *found, *chats)]

    def serial(self, world, works):
        """The outcome of one piece of work after the other."""
        self.reset(world)
        for connection in self.pair:
            connection.gate = lambda: None
        results = [outcome(self.pair[0], guard(work)) for work in works]
        return results, self.state()

    def concurrently(self, world, works, schedule=lockstep, *args):
        """The outcome of both, interleaved: the first has the first turn."""
        self.reset(world)
        actors = [
            Actor(connection, guard(work), self.observer)
            for connection, work in zip(self.pair, works, strict=True)
        ]
        if schedule is lockstep:
            lockstep(actors)
        else:
            schedule(*actors, *args)
        return [actor.result for actor in actors], self.state()

    def orders(self, world, names, works):
        """The outcomes of the two serial orders, each as [first, second], state."""
        made = []
        for order in ((0, 1), (1, 0)):
            key = world, tuple(names[i] for i in order)
            if key not in self.serial_outcomes:
                self.serial_outcomes[key] = self.serial(world, [works[i] for i in order])
            results, state = self.serial_outcomes[key]
            made.append(([results[order.index(i)] for i in (0, 1)], state))
        return made

    def serially(self, world, name, work):
        """The outcome of one piece of work with nobody beside it."""
        key = world, (name,)
        if key not in self.serial_outcomes:
            self.serial_outcomes[key] = self.serial(world, [work])
        return self.serial_outcomes[key]

    def defaults(self):
        """How many defaults there are, and how many usable configs."""
        [found] = rows(
            self.observer,
            """
            select count(*) filter (where c.is_default) as defaults,
                   count(*) filter (where c.enabled and p.enabled) as usable
            from chat_model_configs c
            left join chat_providers p on p.provider = c.provider
            where not c.deleted
            """,
        )
        return found["defaults"], found["usable"]


def guard(work):
    """Let the server's failures end like errors."""

    def guarded(connection):
        try:
            return work(connection)
        except product_server.Failed as failure:
            from sexton.errors import SextonError

            raise SextonError(f"upstream: {failure}") from None

    return guarded


@pytest.fixture(scope="module")
def stage(administrator, template):
    from tests.conftest import origin

    name = f"sexton_stage_{uuid.uuid4().hex[:8]}"
    administrator.execute(f"create database {name} template {template('head')}")
    with contextlib.closing(Stage(origin().url(name))) as made:
        yield made
    administrator.execute(f"drop database {name} with (force)")


def check_default(stage):
    defaults, usable = stage.defaults()
    assert defaults <= 1
    assert defaults == 1 or usable == 0, "no default though a usable config lives"


# Where there is more than one way to lose the default, only what moves it is of interest.
MOVERS = (
    *("delete openai", "delete the default", "disable openai", "promote the sibling"),
    *("create under openai", "create a default under anthropic", "step down"),
)
CASES = [
    (world, name) for world in WORLDS for name in (MINE if world == "several" else MOVERS)
]


@pytest.mark.parametrize(("world", "first"), CASES)
def test_ours_beside_ours_ends_as_a_serial_order(stage, world, first):
    for second in MINE if world == "several" else MOVERS:
        names, works = (first, second), (MINE[first], MINE[second])
        found = stage.concurrently(world, works)
        assert found in stage.orders(world, names, works), f"{first} beside {second}"
        check_default(stage)


def check_with_theirs(stage, world, mine, theirs, order, schedule=lockstep, *args):
    """Ours ends as in a serial order; theirs too, or fails on its own account."""
    works = {"ours": MINE[mine], "theirs": THEIRS[theirs]}
    results, state = stage.concurrently(
        world, [works[who] for who in order], schedule, *args
    )
    found = dict(zip(order, results, strict=True))
    where = f"{mine} beside the server's {theirs}, {order[0]} first"
    check_default(stage)
    allowed = stage.orders(
        world,
        (f"our {mine}", f"their {theirs}"),
        (works["ours"], works["theirs"]),
    )
    serial = [(*results, state) for results, state in allowed]
    assert found["ours"] in [outcome[0] for outcome in serial], where
    if (found["ours"], found["theirs"], state) in serial:
        return
    if found["theirs"] != "done":
        alone = stage.serially(world, f"our {mine}", works["ours"])
        assert ([found["ours"]], state) == alone, f"{where}: {found['theirs']}"
    else:
        assert theirs in STALE, f"{where}: {found}, {state}"


@pytest.mark.parametrize("mine", MINE)
def test_ours_beside_the_servers_never_fails_for_it(stage, mine):
    for theirs in THEIRS:
        check_with_theirs(stage, "several", mine, theirs, ("ours", "theirs"))
        check_with_theirs(stage, "several", mine, theirs, ("theirs", "ours"))


# The known races (2.25 to 2.30), ours on one side, interrupted after every statement.
RACES = [
    ("several", "delete openai", "delete anthropic"),  # 2.25
    ("several", "delete anthropic", "delete openai"),
    ("several", "promote the sibling", "delete openai"),  # 2.26
    ("several", "promote the stranger", "set-default"),
    ("several", "delete the default", "set-default"),
    ("several", "delete openai", "delete the default"),  # 2.27
    ("several", "delete the default", "delete openai"),
    ("lone", "delete openai", "create under anthropic"),  # 2.28
    ("lone", "create a default under anthropic", "delete openai"),
    ("several", "create under openai", "delete openai"),  # 2.29
    ("several", "user key", "delete openai"),
    ("several", "delete openai", "user key"),
    ("several", "delete openai", "start a chat"),
    ("several", "rename the default", "set-default"),  # 2.24
]


@pytest.mark.parametrize(("world", "mine", "theirs"), RACES)
def test_known_races_interrupted_after_each_statement_of_the_server(
    stage, world, mine, theirs
):
    for after in range(8):
        check_with_theirs(stage, world, mine, theirs, ("theirs", "ours"), preempt, after)


@pytest.mark.parametrize(("world", "mine", "theirs"), RACES)
def test_known_races_interrupted_after_each_of_our_statements(stage, world, mine, theirs):
    for after in range(0, 42, 6):
        check_with_theirs(stage, world, mine, theirs, ("ours", "theirs"), preempt, after)


def test_a_crowd_of_both_kinds_leaves_one_default(stage):
    # Nobody lets statements through here: six clients run as they like.
    import random
    import threading

    crowd = [*MINE.items(), *THEIRS.items()]
    stage.reset("several")
    url = stage.observer.info.dsn
    unexpected, looks = [], []

    def client(seed):
        pick = random.Random(seed)
        with contextlib.closing(connect(url, name=f"client {seed}")) as connection:
            for _ in range(20):
                name, work = pick.choice(crowd)
                result = outcome(connection, guard(work))
                if work is MINE.get(name) and result != "done" and not said(result):
                    unexpected.append((name, result))
                looks.append(live_defaults(connection))

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    assert len(looks) == 120
    assert max(looks) <= 1


def said(result):
    """Whether this is a rule's refusal, and not the neighbours' doing."""
    kinds = ("Missing", "Deleted", "ProviderMissing", "ProviderDisabled", "Disabled")
    return result[0] in (*kinds, "Refused", "UsageError")


def live_defaults(connection):
    [found] = rows(
        connection,
        "select count(*) as n from chat_model_configs where is_default and not deleted",
    )
    return found["n"]


def with_itself(stage, world, first, second, schedule=lockstep, *args):
    return stage.concurrently(world, (THEIRS[first], THEIRS[second]), schedule, *args)


def test_the_restated_server_has_the_race_that_loses_the_default(stage):
    # 2.28: else the tests above would prove nothing.
    found = set()
    for after in range(8):
        results, _ = with_itself(
            stage, "lone", "delete openai", "create under anthropic", preempt, after
        )
        if results == ["done", "done"]:
            found.add(stage.defaults())
    assert (0, 1) in found


def test_the_restated_server_deadlocks_and_answers_false_conflicts(stage):
    # 2.25, 2.26 and 2.27.
    found: set[str] = set()
    for world, first, second in (
        ("several", "delete openai", "delete anthropic"),
        ("several", "delete the default", "set-default"),
        ("lone", "delete the default", "delete openai"),
    ):
        for after in range(8):
            results, _ = with_itself(stage, world, first, second, preempt, after)
            found.update(result[0] for result in results if result != "done")
    assert {"DeadlockDetected", "SextonError", "UniqueViolation"} <= found
