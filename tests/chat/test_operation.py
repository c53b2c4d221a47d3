"""The runner: what it refuses, what it insists on, and what it costs."""

import contextlib

import psycopg
import pytest

from sexton import journal
from sexton.chat import models, operation, providers
from sexton.chat.chats import resolve
from sexton.chat.deletion import DeleteProvider
from sexton.chat.providers import SwitchProvider
from sexton.database import connect, rows
from sexton.errors import Refused
from tests.support.tools import add_chat, do, model, table
from tests.support.worlds import SETTINGS

SUPPRESS = """
    create function suppress() returns trigger language plpgsql as 'begin return null; end';
    create trigger suppress before {} on {} for each row execute function suppress()
"""


@contextlib.contextmanager
def role(connection, administrator, name, grants):
    """A role with these grants, as whom the connection acts."""
    name = f"{name}_{connection.info.backend_pid}"
    administrator.execute(f"create role {name}")
    connection.execute(f"grant {grants} on all tables in schema public to {name}")
    journal_of(connection)
    connection.execute(f"grant usage on schema sexton to {name}")
    connection.execute(f"grant select, insert on all tables in schema sexton to {name}")
    try:
        connection.execute(f"set role {name}")
        yield
    finally:
        connection.execute("reset role")
        connection.execute(f"drop owned by {name}")
        administrator.execute(f"drop role {name}")


def journal_of(connection):
    with connection.transaction():
        journal.require_journal(connection)


def unchanged(connection, before):
    return before == [table(connection, name) for name in TABLES]


TABLES = ("chat_providers", "chat_model_configs")


# -- what is done is what was meant


@pytest.mark.parametrize(
    ("event", "where", "what"),
    [
        ("update", "chat_model_configs", lambda ids: DeleteProvider("openai")),
        ("delete", "chat_providers", lambda ids: DeleteProvider("openai")),
        ("update", "chat_model_configs", lambda ids: models.DeleteModel(ids["other"])),
        ("update", "chat_providers", lambda ids: SwitchProvider("openai", enabled=False)),
    ],
)
def test_a_trigger_that_suppresses_a_row_is_refused(connection, two, event, where, what):
    connection.execute(SUPPRESS.format(event, where))
    before = [table(connection, name) for name in TABLES]
    with pytest.raises(Refused, match=where):
        operation.run(connection, what(two))
    assert unchanged(connection, before)


@pytest.mark.parametrize(
    "work",
    [
        lambda c, ids: models.update_model(c, ids["other"], {"display_name": "x"}),
        lambda c, ids: models.promote(c, ids["heir"]),
        lambda c, ids: models.create_model(
            c, provider="openai", model="n", context_limit=1
        ),
    ],
)
def test_a_suppressed_change_of_a_model_is_not_said_to_be_made(connection, two, work):
    connection.execute(SUPPRESS.format("insert or update", "chat_model_configs"))
    before = [table(connection, name) for name in TABLES]
    with pytest.raises(Refused, match="trigger"):
        do(connection, lambda connection: work(connection, two))
    assert unchanged(connection, before)


def test_a_trigger_that_keeps_a_tombstone_alive_is_refused(connection, two):
    connection.execute(
        """
        create function revive() returns trigger language plpgsql as
            'begin new.deleted := false; new.deleted_at := null; return new; end';
        create trigger revive before update on chat_model_configs
            for each row execute function revive()
        """
    )
    with pytest.raises(Refused, match="trigger"):
        operation.run(connection, DeleteProvider("openai"))
    assert not model(connection, two["default"])["deleted"]


def test_a_rule_is_refused_by_its_name(connection, two):
    connection.execute("create rule keep as on delete to chat_providers do instead nothing")
    with pytest.raises(Refused, match="keep on chat_providers"):
        operation.run(connection, DeleteProvider("openai"))


@pytest.mark.parametrize(
    "policies",
    [
        """
        create policy see on chat_model_configs for select using (true);
        create policy own on chat_model_configs for update using (created_by is not null)
        """,
        "create policy see on chat_model_configs for select using (created_by is not null)",
    ],
)
def test_row_security_is_refused_in_preview_and_run(
    connection, administrator, two, policies
):
    connection.execute("alter table chat_model_configs enable row level security")
    connection.execute(policies)
    with role(connection, administrator, "ops", "select, insert, update, delete"):
        for act in (operation.preview, operation.run):
            with pytest.raises(Refused, match="row security may hide"):
                act(connection, DeleteProvider("openai"))
    assert len(table(connection, "chat_providers")) == 2


# -- nobody else's code


@pytest.mark.parametrize("table_name", ["site_configs", "chats"])
def test_a_table_put_in_the_way_is_refused(connection, administrator, two, table_name):
    connection.execute(SETTINGS)
    intruder = f"intruder_{connection.info.backend_pid}"
    administrator.execute(f"create role {intruder}")
    try:
        connection.execute(f"create schema squat authorization {intruder}")
        connection.execute(f"create table squat.{table_name} (id int)")
        connection.execute(f"alter table squat.{table_name} owner to {intruder}")
        connection.execute("set search_path = squat, public")
        connection.sexton_path = ["squat", "public"]
        with pytest.raises(Refused, match="in the way"):
            operation.run(connection, DeleteProvider("openai"))
    finally:
        connection.execute("drop schema squat cascade")
        administrator.execute(f"drop role {intruder}")


# -- what it costs


class Counting(psycopg.Cursor):
    """Counts the statements of all connections."""

    sent: list[str]

    def execute(self, query, *args, **kwargs):
        type(self).sent.append(query if isinstance(query, str) else repr(query))
        return super().execute(query, *args, **kwargs)


def test_deleting_a_provider_sends_at_most_twenty_statements(url, connection, two):
    journal_of(connection)
    with contextlib.closing(connect(url, name="counted")) as counted:
        counted.cursor_factory = Counting
        Counting.sent = []
        deletion = DeleteProvider("openai")
        seen = operation.preview(counted, deletion)
        done = operation.run(counted, deletion, seen=seen)
    assert done.heir
    assert len(Counting.sent) <= 20, "\n".join(Counting.sent)


# -- what the journal and the documents hold


STRANGE = """
    update chat_model_configs set
        options = '{"price": 0.12345678901234567890123}',
        created_at = '-infinity', updated_at = '0044-03-15 BC'
    where provider = 'openai';
    update chat_providers set created_at = '-infinity', base_url = 'https://plain/v1'
    where provider = 'openai'
"""


def test_values_that_python_has_not_are_listed_written_and_journalled(connection, two):
    connection.execute(STRANGE)
    operation.run(connection, SwitchProvider("openai", enabled=False))
    operation.run(connection, SwitchProvider("openai", enabled=True))
    assert providers.list_providers(connection)[1]["created_at"] == "-infinity"
    [price] = {
        row["price"]
        for row in rows(
            connection,
            "select c.options ->> 'price' as price from chat_model_configs c "
            "where provider = 'openai'",
        )
    }
    operation.run(connection, DeleteProvider("openai"))
    assert price == "0.12345678901234567890123"
    journalled = rows(
        connection,
        """
        select before -> 'options' ->> 'price' as price, before ->> 'created_at' as at
        from sexton.changes c where key ->> 'id' = %s order by run desc limit 1
        """,
        str(two["default"]),
    )
    assert journalled == [{"price": price, "at": "-infinity"}]
    connection.execute(
        "update chat_model_configs set deleted_at = 'infinity' where deleted"
    )
    listed = models.list_models(connection, deleted=True)
    assert {row["deleted_at"] for row in listed} == {None, "infinity"}
    chat = add_chat(connection, two["default"])
    assert resolve(connection, chat)["fallback"]


SECRETS = [
    "https://usr:p@S3CRET@gw/v1",
    "https://S3CRET@gw",
    "https://gw/v1?api-key=S3CRET&v=S3CRET",
    "https://gw/v1#S3CRET",
    "https://gw/v1;key=S3CRET",
    "https://gw/v1&key=S3CRET",
    "https://gw/v1%23S3CRET",
    "https://gw/v1|S3CRET",
]


@pytest.mark.parametrize("address", SECRETS)
def test_a_secret_in_a_base_url_is_nowhere_but_in_its_column(
    connection, sexton, two, address
):
    sexton("provider", "update", "openai", "--base-url", address)
    said = sexton("provider", "update", "openai", "--display-name", "x", "--format=json")
    said.stdout += sexton("provider", "list", "--format", "json").stdout
    sexton("provider", "disable", "openai")
    said.stdout += sexton("provider", "delete", "openai").stdout
    said.stdout += str(rows(connection, "select * from sexton.changes"))
    assert "S3CRET" not in said.stdout
    assert "gw" in said.stdout
