"""Triggers of users that change rows again after whoever wrote them."""

import pytest

# When it fires: after each row, after the statement, at the end of the transaction.
AFTER_ROW = "create trigger again after {events} on {table} for each row"
AFTER_STATEMENT = "create trigger again after {events} on {table} for each statement"
AT_COMMIT = (
    "create constraint trigger again after {events} on {table} "
    "deferrable initially deferred for each row"
)
EVERY = [
    pytest.param(AFTER_ROW, id="after each row"),
    pytest.param(AFTER_STATEMENT, id="after the statement"),
    pytest.param(AT_COMMIT, id="at commit"),
]


def meddle(connection, table, does, *, when=AFTER_ROW, events="update"):
    """Let the trigger `again` run statements after each change of a table, but its own."""
    connection.execute(
        f"""
        create function again() returns trigger language plpgsql as $$
        begin
            if pg_trigger_depth() > 1 then return null; end if;
            {does};
            return null;
        end $$;
        {when.format(events=events, table=table)} execute function again()
        """
    )


def unmeddle(connection):
    connection.execute("drop function again() cascade")


REVIVE = """
    update chat_model_configs set deleted = false, deleted_at = null
    where deleted and provider = 'openai'
"""
BURY = """
    update chat_model_configs set deleted = true, deleted_at = '2020-01-01'
    where not deleted and provider = 'openai'
"""
RAISE = "raise exception 'not on my watch'"
