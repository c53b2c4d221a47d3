"""Deleting a provider: what goes, what stays, who inherits."""

import contextlib
import threading
import uuid

import pytest

from tests.tools import add_chat, add_message, add_model, add_provider, table
from toolkit import models
from toolkit.database import connect, scalar, transact
from toolkit.errors import NotFound, Refused, UsageError
from toolkit.providers import delete_provider, list_providers, preview_deletion


@pytest.fixture
def delete(connection):
    """Delete a provider after checking that the preview promises the same."""

    def do(name, **options):
        preview = preview_deletion(connection, name, **options)
        done = transact(connection, lambda: delete_provider(connection, name, **options))
        assert done.document() == preview.document()
        return done

    return do


def model(connection, id):
    return models.get_model(connection, id)


def test_its_models_become_tombstones_and_history_stays(connection, delete):
    add_provider(connection, "openai")
    gone = add_model(connection, "openai")
    chat = add_chat(connection, gone)
    add_message(connection, chat, gone)
    deletion = delete("openai")
    assert deletion.tombstoned == [gone]
    assert (deletion.chats, deletion.messages) == (1, 1)
    assert model(connection, gone)["deleted"]
    assert model(connection, gone)["deleted_at"] == model(connection, gone)["updated_at"]
    assert table(connection, "chats")[0]["last_model_config_id"] == gone
    assert table(connection, "chat_providers") == []


def test_older_tombstones_keep_their_time(connection, delete):
    add_provider(connection, "openai")
    old = add_model(connection, "openai", deleted=True, deleted_at="2020-01-01T00:00Z")
    delete("openai")
    assert model(connection, old)["deleted_at"].year == 2020


def test_user_keys_go_with_it(connection, delete):
    provider = add_provider(connection, "openai")
    connection.execute(
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)"
        " values (gen_random_uuid(), %s, 'k')",
        (provider,),
    )
    assert delete("openai").user_keys == 1
    assert table(connection, "user_chat_provider_keys") == []


def test_the_first_usable_model_inherits(connection, delete):
    for name, enabled in {"azure": False, "google": True, "openai": True}.items():
        add_provider(connection, name, enabled=enabled)
    add_model(connection, "anthropic", "an orphan")
    add_model(connection, "azure", "under a disabled provider")
    add_model(connection, "google", "a disabled one", enabled=False)
    heir = add_model(connection, "google", "gemini")
    before = add_model(connection, "openai", is_default=True)
    deletion = delete("openai")
    assert deletion.document()["heir"] == {
        "id": heir,
        "provider": "google",
        "model": "gemini",
    }
    assert deletion.document()["previous_default"] == before
    assert models.get_default(connection)["id"] == heir
    assert model(connection, before)["is_default"], "a tombstone says what it was"


def test_upstreams_heir_is_the_first_usable_or_not(connection, delete):
    add_provider(connection, "openai")
    orphan = add_model(connection, "anthropic")
    add_model(connection, "openai", is_default=True)
    assert delete("openai", heir="first").heir["id"] == orphan


def test_ties_go_to_the_newer_then_to_the_larger_id(connection, delete):
    add_provider(connection, "google")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "google", updated_at="2026-01-01")
    twins = [add_model(connection, "google", updated_at="2026-01-02") for _ in range(3)]
    assert delete("openai").heir["id"] == max(twins)


def test_nobody_inherits_if_so_asked(connection, delete):
    add_provider(connection, "google")
    add_provider(connection, "openai")
    add_model(connection, "google")
    add_model(connection, "openai", is_default=True)
    assert delete("openai", heir="none").heir is None
    assert models.get_default(connection) is None


def test_the_heir_can_be_named(connection, delete):
    add_provider(connection, "google")
    add_provider(connection, "openai")
    add_model(connection, "google", "a")
    heir = add_model(connection, "google", "b")
    add_model(connection, "openai", is_default=True)
    assert delete("openai", heir=str(heir)).heir["id"] == heir


def test_a_default_elsewhere_stays(connection, delete):
    add_provider(connection, "google")
    add_provider(connection, "openai")
    stays = add_model(connection, "google", is_default=True)
    add_model(connection, "openai")
    deletion = delete("openai")
    assert (deletion.heir, deletion.previous_default["id"]) == (None, stays)
    assert models.get_default(connection)["id"] == stays


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"provider": "google", "deleted": True, "deleted_at": "now"}, "is a tombstone"),
        ({"provider": "google", "enabled": False}, "is disabled"),
        ({"provider": "vercel"}, "is an orphan"),
        ({"provider": "azure"}, "stands under a disabled provider"),
        ({"provider": "openai"}, "belongs to openai, which is going"),
    ],
)
def test_an_heir_that_cannot_serve_is_refused(connection, columns, sentence):
    add_provider(connection, "azure", enabled=False)
    add_provider(connection, "google")
    add_provider(connection, "openai")
    heir = add_model(connection, **columns)
    before = table(connection, "chat_model_configs")
    with pytest.raises(Refused, match=sentence):
        transact(connection, lambda: delete_provider(connection, "openai", heir=str(heir)))
    assert table(connection, "chat_model_configs") == before
    assert len(table(connection, "chat_providers")) == 3


def test_an_unknown_heir_is_refused(connection):
    add_provider(connection, "openai")
    with pytest.raises(Refused, match="does not exist"):
        preview_deletion(connection, "openai", heir=str(uuid.uuid4()))


def test_a_malformed_heir_is_wrong_usage(connection):
    add_provider(connection, "openai")
    with pytest.raises(UsageError, match="'somebody' is not a UUID"):
        preview_deletion(connection, "openai", heir="somebody")


def test_an_unknown_provider_is_not_found(connection):
    with pytest.raises(NotFound):
        preview_deletion(connection, "openai")


def test_a_provider_can_be_named_by_its_id(connection, delete):
    assert delete(str(add_provider(connection, "openai"))).provider == "openai"


def test_settings_that_name_its_models_are_counted(connection, delete):
    add_provider(connection, "openai")
    gone = add_model(connection, "openai")
    connection.execute("create table site_configs (key text unique, value text)")
    connection.execute("create table user_configs (user_id uuid, key text, value text)")
    connection.execute(
        """
        insert into site_configs values
            ('agents_chat_explore_model_override', %(id)s),
            ('agents_chat_general_model_override', gen_random_uuid()::text),
            ('agents_advisor_config', '{"model_config_id": "' || %(id)s || '"}'),
            ('something_else', %(id)s)
        """,
        {"id": str(gone)},
    )
    connection.execute(
        """
        insert into user_configs values
            (gen_random_uuid(), 'chat_compaction_threshold_pct:' || %(id)s, '80'),
            (gen_random_uuid(), 'chat_personal_model_override:root', 'model:' || %(id)s)
        """,
        {"id": str(gone)},
    )
    assert delete("openai").overrides == 4


def test_listing_never_shows_a_key(connection):
    add_provider(connection, "openai", api_key="sk-hidden")
    add_model(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="now")
    [listed] = list_providers(connection)
    assert (listed["live"], listed["tombstones"], listed["has_api_key"]) == (1, 1, True)
    assert "sk-hidden" not in str(listed)


def test_two_deletions_at_once_leave_one_default(connection, url):
    """Each provider owns a candidate; whoever comes second must see the first's work."""
    for name in ("azure", "google", "openai", "vercel"):
        add_provider(connection, name)
        add_model(connection, name, is_default=name == "azure")
    barrier = threading.Barrier(3)

    def work(name):
        with contextlib.closing(connect(url, name="tests")) as other:
            barrier.wait()
            transact(other, lambda: delete_provider(other, name))

    threads = [
        threading.Thread(target=work, args=(n,)) for n in ("azure", "google", "openai")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert models.get_default(connection)["provider"] == "vercel"
    assert scalar(connection, "select count(*) from chat_providers") == 1


def test_the_product_servers_lock_is_respected(connection, url):
    """A transaction of the product that holds the provider's row makes us wait."""
    provider = add_provider(connection, "openai")
    holder = connect(url, name="tests")
    holder.autocommit = False
    holder.execute("select from chat_providers where id = %s for update", (provider,))
    done = threading.Event()

    def work():
        with contextlib.closing(connect(url, name="waiting")) as other:
            transact(other, lambda: delete_provider(other, "openai"))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not scalar(
        connection,
        "select count(*) from pg_stat_activity"
        " where application_name = 'waiting' and wait_event_type = 'Lock'",
    ):
        assert not done.is_set()
    add_model(holder, "openai", "created meanwhile")
    holder.commit()
    holder.close()
    thread.join()
    [created] = table(connection, "chat_model_configs")
    assert created["deleted"]
