"""Deleting providers, what goes with them, and restoring their models."""

import contextlib
import uuid

import pytest

from sexton.chat import models, providers
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.errors import Missing, ProviderMissing
from sexton.chat.operation import preview, run
from sexton.database import connect, rows, scalar
from sexton.errors import Incomplete, Refused, UsageError
from tests.support.tools import add_chat, add_model, add_provider, do, model, plan, table
from tests.support.worlds import SETTINGS

USER = uuid.UUID(int=7)


def test_deleting_keeps_older_tombstones_as_they_are(connection):
    add_provider(connection, "openai")
    old = add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    before = model(connection, old)["deleted_at"]
    add_model(connection, "openai")
    do(connection, DeleteProvider, "openai")
    assert model(connection, old)["deleted_at"] == before


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


def test_before_the_key_is_dropped_a_provider_is_not_deleted(database):
    with contextlib.closing(connect(database("0003"), name="tests")) as connection:
        connection.execute("insert into chat_providers (provider) values ('openai')")
        with pytest.raises(Refused, match="foreign key"):
            do(connection, DeleteProvider, "openai")


# -- what other tables' foreign keys take with it

PRICES = """
    create table prices (
        id int primary key,
        provider_id uuid references chat_providers on delete cascade
    );
    create table discounts (price int references prices on delete cascade);
    create table notes (provider_id uuid references chat_providers on delete set null);
    insert into prices select 1, id from chat_providers where provider = 'openai';
    insert into discounts values (1), (1);
    insert into notes select id from chat_providers
"""


def test_rows_that_would_go_by_foreign_keys_are_counted_and_refused(connection, sexton):
    for name in ("openai", "anthropic"):
        add_provider(connection, name)
    connection.execute(PRICES)
    seen = plan(connection, "openai").document()["cascades"]
    assert [(row["table"], row["rows"], row["does"]) for row in seen] == [
        ("public.notes", 1, "set to null"),
        ("public.prices", 1, "deleted"),
        ("public.discounts", 2, "deleted"),
    ]
    with pytest.raises(Refused, match=r"1 rows of public\.prices"):
        run(connection, DeleteProvider("openai"))
    said = sexton("provider", "delete", "openai", "--dry-run").stdout
    assert "2 rows of public.discounts would be deleted" in said
    done = sexton("provider", "delete", "openai", "--allow-cascades", "--format", "json")
    assert done.json["cascades"] == seen
    assert rows(connection, "select * from prices, discounts") == []
    [kept] = rows(connection, "select lost from sexton.runs order by run desc limit 1")
    assert len(kept["lost"]) == 3


def test_where_nothing_would_go_a_cascading_key_is_no_matter(connection):
    add_provider(connection, "openai")
    add_provider(connection, "anthropic")
    connection.execute(PRICES)
    connection.execute("delete from notes")
    assert not run(connection, DeleteProvider("anthropic")).cascades


@pytest.mark.parametrize("action", ["cascade", "set null", "set default"])
def test_a_key_into_the_models_is_refused_always(connection, action):
    add_provider(connection, "openai")
    gone = add_model(connection, "openai")
    connection.execute(
        f"alter table chat_model_configs add ai_provider_id uuid "
        f"constraint surprise references chat_providers on delete {action}"
    )
    connection.execute(
        "update chat_model_configs set ai_provider_id = (select id from chat_providers)"
    )
    for act in (preview, run):
        with pytest.raises(Refused, match="surprise still stands"):
            act(connection, DeleteProvider("openai", allow_cascades=True))
    assert not model(connection, gone)["deleted"]


def test_a_key_that_comes_between_plan_and_deletion_deletes_nothing(connection):
    add_provider(connection, "openai")

    class Late(DeleteProvider):
        def execute(self, tx, effect):
            tx.connection.execute(f"set local search_path = public; {PRICES}")
            super().execute(tx, effect)

    with pytest.raises(Refused, match="chat_providers"):
        run(connection, Late("openai"))
    assert len(table(connection, "chat_providers")) == 1
