"""What a trigger makes of a change after its statement does not pass for done."""

import pytest

from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.chat.transaction import Transaction
from sexton.database import scalar
from sexton.errors import Refused
from tests.support.tools import add_model, add_provider, table


@pytest.mark.parametrize(
    "timing",
    ["trigger", "constraint trigger"],
    ids=["after each row", "at commit"],
)
@pytest.mark.parametrize(
    ("where", "does"),
    [
        (
            "after update on chat_model_configs {deferred} for each row when (new.deleted)",
            "update public.chat_model_configs set deleted = false, deleted_at = null",
        ),
        (
            "after delete on chat_providers {deferred} for each row",
            "insert into public.chat_providers select old.*",
        ),
    ],
)
def test_a_trigger_that_reverts_it_afterwards_is_seen(connection, where, does, timing):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    deferred = "deferrable initially deferred" if "constraint" in timing else ""
    connection.execute(
        "create function again() returns trigger language plpgsql as "
        f"$$ begin {does}; return null; end $$; "
        f"create {timing} again {where.format(deferred=deferred)} execute function again()"
    )
    before = [table(connection, name) for name in ("chat_providers", "chat_model_configs")]
    with pytest.raises(Refused, match="did not end as they should: a trigger"):
        run(connection, DeleteProvider("openai"))
    after = [table(connection, name) for name in ("chat_providers", "chat_model_configs")]
    assert after == before


def test_a_key_that_acts_and_was_added_meanwhile_is_refused(connection, monkeypatch):
    """Between what is read of the product and the statement that deletes."""
    add_provider(connection, "openai")
    connection.execute("create table pricing (provider_id uuid)")
    connection.execute("insert into pricing select id from chat_providers")
    lock = Transaction.lock_models

    def late(tx):
        lock(tx)
        connection.execute(
            "alter table public.pricing add constraint late foreign key (provider_id) "
            "references public.chat_providers (id) on delete cascade"
        )

    monkeypatch.setattr(Transaction, "lock_models", late)
    with pytest.raises(Refused, match="the foreign key late was in the way"):
        run(connection, DeleteProvider("openai"))
    assert scalar(connection, "select count(*) from pricing") == 1
