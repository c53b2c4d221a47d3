"""Adding, changing, switching, deleting and restoring providers."""

import contextlib
import uuid
from typing import Any

import pytest

from sexton.chat import keys, models, providers
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.errors import Missing, ProviderDisabled, ProviderMissing
from sexton.chat.operation import preview
from sexton.chat.providers import SwitchProvider
from sexton.database import connect, rows, scalar
from sexton.errors import Incomplete, Refused, UsageError
from tests.support.tools import add_chat, add_model, add_provider, do, model, table
from tests.support.worlds import SETTINGS, add_override

USER = uuid.UUID(int=7)


def plan(connection, name, **kwargs) -> Any:
    return preview(connection, DeleteProvider(name, **kwargs))


# -- adding and changing


def test_an_added_provider_has_its_key_and_shows_it_to_nobody(connection):
    made = do(connection, providers.add_provider, "openai", api_key="sk-made-up")
    assert made["has_api_key"] is True
    assert "sk-made-up" not in str(made)
    assert scalar(connection, "select api_key from chat_providers") == "sk-made-up"


@pytest.mark.parametrize(
    ("name", "options", "status", "message"),
    [
        ("Open AI", {"api_key": "k"}, 400, "Invalid provider."),
        ("", {"api_key": "k"}, 400, "Invalid provider."),
        (
            "openai",
            {"central_api_key_enabled": False},
            400,
            "Invalid credential policy.",
        ),
        (
            "openai",
            {"api_key": "k", "allow_central_api_key_fallback": True},
            400,
            "Invalid credential policy.",
        ),
        (
            "openai",
            {},
            400,
            "API key is required when central API key is enabled.",
        ),
        ("openai", {"api_key": "k" * 10241}, 400, "API key too large."),
        ("vercel", {"api_key": "k"}, 409, "Chat provider already exists."),
    ],
)
def test_adding_is_refused_in_upstreams_words(connection, name, options, status, message):
    add_provider(connection, "vercel")
    with pytest.raises(Refused) as refusal:
        do(connection, providers.add_provider, name, **options)
    assert (refusal.value.status, refusal.value.upstream) == (status, message)
    assert len(table(connection, "chat_providers")) == 1


def test_a_plain_key_does_not_get_among_encrypted_ones(connection):
    connection.execute("create table dbcrypt_keys (number int, active_key_digest text)")
    connection.execute("insert into dbcrypt_keys values (1, 'digest')")
    with pytest.raises(Refused, match="encrypted"):
        do(connection, providers.add_provider, "openai", api_key="k")


def test_an_added_provider_gives_its_orphans_a_default(connection):
    orphan = add_model(connection, "openai")
    do(connection, providers.add_provider, "openai", api_key="k")
    assert model(connection, orphan)["is_default"]


def test_an_update_changes_what_was_asked_and_nothing_else(connection):
    add_provider(connection, "openai", api_key="old", base_url="http://x", enabled=False)
    [before] = table(connection, "chat_providers")
    do(connection, providers.update_provider, "openai", {"api_key": "new"})
    [after] = table(connection, "chat_providers")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"api_key", "updated_at"}


def test_a_new_key_is_not_taken_for_an_encrypted_one(connection):
    add_provider(connection, "openai", api_key="old", api_key_key_id="digest")
    do(connection, providers.update_provider, "openai", {"api_key": "new"})
    assert scalar(connection, "select api_key_key_id from chat_providers") is None


def test_a_key_cannot_be_taken_from_a_policy_that_needs_it(connection):
    add_provider(connection, "openai", api_key="old")
    with pytest.raises(Refused, match="there is none"):
        do(connection, providers.update_provider, "openai", {"api_key": ""})


def test_a_stub_without_a_key_can_get_a_name(connection):
    add_provider(connection, "openai")
    made = do(connection, providers.update_provider, "openai", {"display_name": "X"})
    assert made["display_name"] == "X"


def test_credentials_in_a_base_url_stay_there(connection):
    add_provider(connection, "openai", base_url="https://me:hidden@host/v1")
    do(connection, providers.update_provider, "openai", {"display_name": "X"})
    shown = str(providers.list_providers(connection))
    journal = str(rows(connection, "select * from sexton.changes"))
    assert "hidden" not in shown + journal
    assert "host/v1" in shown


def test_no_key_enters_the_journal(connection):
    do(connection, providers.add_provider, "openai", api_key="sk-made-up")
    do(connection, providers.update_provider, "openai", {"api_key": "sk-made-up-2"})
    assert "sk-made-up" not in str(rows(connection, "select * from sexton.changes"))


# -- switching


def test_disabling_moves_the_default_to_the_heir(connection):
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    old = add_model(connection, "openai", is_default=True)
    new = add_model(connection, "anthropic")
    switch = do(connection, SwitchProvider, "openai", enabled=False)
    assert switch.heir["id"] == new
    assert not model(connection, old)["is_default"]
    assert not model(connection, old)["deleted"]


def test_disabling_the_only_provider_leaves_the_default_where_it_is(connection):
    add_provider(connection, "openai")
    old = add_model(connection, "openai", is_default=True)
    switch = do(connection, SwitchProvider, "openai", enabled=False)
    assert switch.heir is None
    assert model(connection, old)["is_default"]


def test_enabling_elects_a_default_where_there_is_none(connection):
    add_provider(connection, "openai", enabled=False)
    found = add_model(connection, "openai")
    switch = do(connection, SwitchProvider, "openai", enabled=True)
    assert switch.heir["id"] == found
    assert model(connection, found)["is_default"]


# -- deleting


def test_deleting_keeps_older_tombstones_as_they_are(connection):
    add_provider(connection, "openai")
    old = add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    before = model(connection, old)["deleted_at"]
    add_model(connection, "openai")
    do(connection, DeleteProvider, "openai")
    assert model(connection, old)["deleted_at"] == before


def test_the_heir_is_usable_unless_upstreams_order_is_asked_for(connection):
    add_provider(connection, "anthropic", enabled=False)
    add_provider(connection, "openai")
    add_provider(connection, "vercel")
    add_model(connection, "openai", is_default=True)
    off = add_model(connection, "anthropic")
    usable = add_model(connection, "vercel")
    assert plan(connection, "openai").heir["id"] == usable
    first = plan(connection, "openai", heir="first")
    assert first.heir["id"] == off


def test_an_orphan_is_never_the_usable_heir(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    orphan = add_model(connection, "anthropic")
    assert plan(connection, "openai").heir is None
    first = plan(connection, "openai", heir="first")
    assert first.heir["id"] == orphan


def test_of_equals_the_larger_id_inherits(connection):
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    moment = "2026-01-01"
    twins = [add_model(connection, "anthropic", updated_at=moment) for _ in range(4)]
    heir = plan(connection, "openai").heir
    assert heir["id"] == max(twins)


def test_a_provider_that_is_gone_is_not_found(connection):
    with pytest.raises(Missing) as error:
        do(connection, DeleteProvider, "openai")
    assert error.value.status == 404


def test_who_and_why_are_kept_for_the_automatic_promotion_too(connection):
    connection.execute(SETTINGS)
    connection.execute("insert into users values (%s, 'ada')", (USER,))
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    old = add_model(connection, "openai", is_default=True)
    new = add_model(connection, "anthropic")
    do(connection, DeleteProvider, "openai", actor="ada")
    assert model(connection, new)["updated_by"] == USER
    assert model(connection, old)["updated_by"] == USER
    runs = rows(connection, "select kind, actor from sexton.runs")
    assert runs == [{"kind": "provider delete", "actor": "ada"}]
    changes = rows(
        connection, "select key, before, after, why from sexton.changes order by step"
    )
    promotion = next(c for c in changes if c["key"]["id"] == str(new))
    assert str(old) in promotion["why"]
    assert (promotion["before"]["is_default"], promotion["after"]["is_default"]) == (
        False,
        True,
    )
    assert changes[-1]["after"] is None


def test_without_a_user_of_the_product_a_promotion_leaves_upstreams_mark(connection):
    add_provider(connection, "openai")
    add_provider(connection, "anthropic")
    add_model(connection, "openai", is_default=True)
    new = add_model(connection, "anthropic", updated_by=USER)
    do(connection, DeleteProvider, "openai", actor="the night watch")
    assert model(connection, new)["updated_by"] is None


def test_an_actors_id_that_no_user_has_is_refused(connection):
    connection.execute(SETTINGS)
    add_provider(connection, "openai")
    with pytest.raises(Refused, match="no user has the id"):
        do(connection, DeleteProvider, "openai", actor=str(USER))


def test_the_journal_costs_nothing_per_chat(connection):
    add_provider(connection, "openai")
    used = add_model(connection, "openai")
    for _ in range(30):
        add_chat(connection, used)
    do(connection, DeleteProvider, "openai")
    assert scalar(connection, "select count(*) from sexton.changes") == 2


def test_a_role_without_the_journal_is_refused_before_anything_is_written(
    connection, administrator
):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    role = f"writer_{connection.info.backend_pid}"
    administrator.execute(f"create role {role}")
    connection.execute(
        f"grant select, insert, update, delete on all tables in schema public to {role}"
    )
    try:
        connection.execute(f"set role {role}")
        with pytest.raises(Incomplete, match="may not write the journal") as error:
            do(connection, DeleteProvider, "openai")
        assert "--no-journal" in str(error.value.hint)
        do(connection, DeleteProvider, "openai", recorded=False)
        connection.execute("reset role")
        assert table(connection, "chat_providers") == []
    finally:
        connection.execute("reset role")
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_settings_that_name_what_goes_are_counted(connection):
    connection.execute(SETTINGS)
    add_provider(connection, "openai")
    gone = add_model(connection, "openai")
    for place, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, place, gone)
    connection.execute(
        "insert into site_configs values ('agents_computer_use_provider', 'openai')"
    )
    connection.execute(
        "insert into site_configs values ('deployment_id', %s)", (str(gone),)
    )
    deletion = plan(connection, "openai")
    assert deletion.references.overrides == 5


# -- restoring


def age(connection):
    """Make what was deleted so far a day older."""
    connection.execute(
        "update chat_model_configs set deleted_at = deleted_at - interval '1 day'"
    )


def test_the_latest_deletion_comes_back_and_no_older_lineage(connection):
    add_provider(connection, "openai")
    ancient = add_model(connection, "openai", "ancient")
    do(connection, DeleteProvider, "openai")
    age(connection)
    add_provider(connection, "openai")
    alone = add_model(connection, "openai", "alone")
    recent = [add_model(connection, "openai", f"recent {n}") for n in range(2)]
    do(connection, models.DeleteModel, alone)
    connection.execute(
        "update chat_model_configs set deleted_at = deleted_at - interval '1 hour' "
        "where id = %s",
        (alone,),
    )
    do(connection, DeleteProvider, "openai")
    with pytest.raises(ProviderMissing):
        do(connection, RestoreProvider, "openai")
    add_provider(connection, "openai")
    restored = do(connection, RestoreProvider, "openai")
    assert sorted(restored.models) == sorted(recent)
    assert model(connection, ancient)["deleted"]
    assert model(connection, alone)["deleted"]
    with pytest.raises(UsageError):
        do(connection, RestoreProvider, "openai")


def test_an_orphan_does_not_pass_for_a_restored_model(connection):
    add_provider(connection, "openai")
    lost = add_model(connection, "openai", "lost")
    do(connection, DeleteProvider, "openai")
    add_model(connection, "openai", "orphan")
    do(connection, providers.add_provider, "openai", api_key="k")
    assert do(connection, RestoreProvider, "openai").models == [lost]


def test_a_provider_that_lost_nothing_has_nothing_to_restore(connection):
    add_provider(connection, "openai")
    later = add_model(connection, "openai")
    do(connection, models.DeleteModel, later)
    with pytest.raises(UsageError):
        do(connection, RestoreProvider, "openai")


def test_what_comes_back_does_not_take_the_default_from_its_heir(connection):
    add_provider(connection, "openai")
    add_provider(connection, "anthropic")
    old = add_model(connection, "openai", is_default=True)
    heir = add_model(connection, "anthropic")
    do(connection, DeleteProvider, "openai")
    add_provider(connection, "openai")
    do(connection, RestoreProvider, "openai")
    assert (model(connection, heir)["is_default"], model(connection, old)["deleted"]) == (
        True,
        False,
    )
    assert not model(connection, old)["is_default"]


# -- users' keys


def test_a_users_key_is_stored_replaced_and_removed(connection):
    add_provider(connection, "openai", allow_user_api_key=True)
    for key in ("sk-one", "sk-two"):
        shown = do(connection, keys.set_user_key, "openai", USER, key)
        assert key not in str(shown)
    [stored] = table(connection, "user_chat_provider_keys")
    assert stored["api_key"] == "sk-two"
    do(connection, keys.remove_user_key, "openai", USER)
    assert table(connection, "user_chat_provider_keys") == []


@pytest.mark.parametrize(
    ("columns", "key", "kind", "message"),
    [
        ({"enabled": False}, "k", ProviderDisabled, "Provider is disabled."),
        ({}, "k", Refused, "Provider does not allow user API keys."),
        ({"allow_user_api_key": True}, "", Refused, "API key is required."),
    ],
)
def test_a_users_key_is_refused_in_upstreams_words(connection, columns, key, kind, message):
    add_provider(connection, "openai", **columns)
    with pytest.raises(kind) as error:
        do(connection, keys.set_user_key, "openai", USER, key)
    assert (error.value.status, error.value.upstream) == (400, message)


def test_before_the_key_is_dropped_a_provider_is_not_deleted(database):
    with contextlib.closing(connect(database("0003"), name="tests")) as connection:
        connection.execute("insert into chat_providers (provider) values ('openai')")
        with pytest.raises(Refused, match="foreign key"):
            do(connection, DeleteProvider, "openai")
