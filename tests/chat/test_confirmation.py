"""What a trigger makes of a change after its statement does not pass for done."""

import pytest

from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.errors import Refused
from tests.support.tools import add_model, add_provider, table


@pytest.mark.parametrize(
    ("where", "does"),
    [
        (
            "after update on chat_model_configs for each row when (new.deleted)",
            "update public.chat_model_configs set deleted = false, deleted_at = null",
        ),
        (
            "after delete on chat_providers for each row",
            "insert into public.chat_providers select old.*",
        ),
    ],
)
def test_a_trigger_that_reverts_it_afterwards_is_seen(connection, where, does):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    connection.execute(
        "create function again() returns trigger language plpgsql as "
        f"$$ begin {does}; return null; end $$; "
        f"create trigger again {where} execute function again()"
    )
    before = [table(connection, name) for name in ("chat_providers", "chat_model_configs")]
    with pytest.raises(Refused, match="did not end as they should: a trigger"):
        run(connection, DeleteProvider("openai"))
    after = [table(connection, name) for name in ("chat_providers", "chat_model_configs")]
    assert after == before
