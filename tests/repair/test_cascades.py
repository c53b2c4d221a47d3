"""Keys that pass a change on are seen before it is made."""

from sexton.repair.plan import Options
from tests.support.repairs import planned, refusal
from tests.support.tools import add_provider


def test_a_cascade_that_reaches_other_rows_is_refused(connection):
    stub = add_provider(connection, "openai", enabled=False)
    connection.execute(
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key) "
        "values (gen_random_uuid(), %s, 'x')",
        (stub,),
    )
    unsafe = {"named": ("provider_stub",), "unsafe": ("provider_stub",)}
    plan = planned(connection, "provider_stub", options=Options(**unsafe))
    error = refusal(connection, plan)
    assert "would reach 1 row of user_chat_provider_keys" in error.message
    assert "--allow-cascades" in error.hint
