"""The runner: what it refuses, what it insists on, and what it costs."""

import contextlib
import threading

import psycopg
import pytest
from psycopg.rows import tuple_row

from sexton import journal
from sexton.chat import keys, models, operation, providers
from sexton.chat.chats import resolve
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.locks import lock_election
from sexton.chat.providers import SwitchProvider
from sexton.chat.reassign import Reassign
from sexton.database import connect, rows, scalar
from sexton.errors import Busy, Refused, SextonError
from tests.support.tools import (
    add_chat,
    add_model,
    add_provider,
    do,
    model,
    second_connection,
    table,
)
from tests.support.worlds import SETTINGS, add_override

SUPPRESS = """
    create function suppress() returns trigger language plpgsql as 'begin return null; end';
    create trigger suppress before {} on {} for each row execute function suppress()
"""


@pytest.fixture
def two(connection):
    """A provider with the default and another one, and the heir's: their configs."""
    add_provider(connection, "anthropic")
    add_provider(connection, "openai", api_key="k")
    return {
        "default": add_model(connection, "openai", "a", is_default=True),
        "other": add_model(connection, "openai", "b"),
        "heir": add_model(connection, "anthropic", "c"),
    }


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


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_another_isolation_is_refused_in_a_callers_transaction(connection, two, level):
    with connection.transaction():
        connection.execute(f"set transaction isolation level {level}")
        with pytest.raises(Refused, match=level):
            operation.run(connection, DeleteProvider("openai"))


def test_a_default_of_another_isolation_loses_no_model(url, connection, two):
    # The server's own insert, which waits for nobody, commits while the deletion waits.
    connection.execute("set default_transaction_isolation = 'repeatable read'")
    connection.execute("set application_name = 'deletion'")
    with contextlib.closing(second_connection(url)) as other:
        with other.transaction():
            other.execute("select from chat_providers for key share")
            thread = threading.Thread(
                target=operation.run, args=(connection, DeleteProvider("openai"))
            )
            thread.start()
            waiting = "select count(*) from pg_locks where not granted"
            while thread.is_alive() and not scalar(other, waiting):
                pass
            late = add_model(other, "openai", "late")
        thread.join()
    assert model(connection, late)["deleted"]


def test_a_replica_session_is_refused(connection, two):
    connection.execute("set session_replication_role = replica")
    with pytest.raises(Refused, match="session_replication_role is replica"):
        operation.run(connection, DeleteProvider("openai"))
    assert len(table(connection, "chat_providers")) == 2


# -- which connections it takes


def test_everything_works_on_a_plain_connection(url, connection, two):
    connection.execute(SETTINGS)
    for index, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, index, two["other"])
    chat = add_chat(connection, two["other"])
    with psycopg.connect(url) as plain:
        assert plain.row_factory is tuple_row
        path = scalar(plain, "show search_path")
        deletion = DeleteProvider("openai")
        for wanted in (
            deletion,
            SwitchProvider("openai", enabled=False),
            models.DeleteModel(two["other"]),
            Reassign(two["other"], two["heir"]),
        ):
            assert operation.preview(plain, wanted).document()
        operation.run(plain, Reassign(two["other"], two["heir"]))
        operation.run(plain, SwitchProvider("openai", enabled=False))
        operation.run(plain, SwitchProvider("openai", enabled=True))
        operation.run(plain, models.DeleteModel(two["other"]))
        operation.run(plain, deletion)
        plain.commit()
        providers.add_provider(plain, "openai", api_key="k", allow_user_api_key=True)
        plain.commit()
        operation.run(plain, RestoreProvider("openai"))
        keys.set_user_key(plain, "openai", two["heir"], "k")
        keys.remove_user_key(plain, "openai", two["heir"])
        providers.update_provider(plain, "openai", {"display_name": "x"})
        made = models.create_model(plain, provider="openai", model="n", context_limit=1)
        models.update_model(plain, made["id"], {"display_name": "x"})
        models.promote(plain, made["id"])
        assert models.list_models(plain)
        assert providers.list_providers(plain)
        assert resolve(plain, chat)["model"]["id"] == two["heir"]
        assert scalar(plain, "show search_path") == path
        assert scalar(plain, "show row_security") == "on"
        plain.rollback()
    # What stood after the caller's last commit is all that is left.
    assert model(connection, two["default"])["deleted"]


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


# -- who is in the way


def test_who_holds_the_election_lock_is_named(url, connection, two, monkeypatch):
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "10ms")
    with contextlib.closing(connect(url, name="a stranger")) as other:
        with other.transaction():
            lock_election(other)
            with pytest.raises(Busy) as busy:
                operation.run(connection, DeleteProvider("openai"))
        assert f"pid {other.info.backend_pid}" in busy.value.message
    assert "(a stranger)" in busy.value.message
    assert "holds the election lock" in busy.value.message


def test_who_holds_the_provider_is_named(url, connection, two, monkeypatch):
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "10ms")
    with contextlib.closing(connect(url, name="a backup")) as other, other.transaction():
        other.execute("select from chat_providers for update")
        with pytest.raises(Busy, match=r"\(a backup\)"):
            operation.run(connection, DeleteProvider("openai"))


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


def test_what_goes_for_good_is_said_and_kept(connection, sexton, two):
    connection.execute(
        """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        select gen_random_uuid(), id, 'k' from chat_providers where provider = 'openai'
        """
    )
    promised = sexton("provider", "delete", "openai", "--dry-run").stdout
    assert "for good: the provider's own API key would go with it" in promised
    assert "for good: 1 user key would go with it" in promised
    assert "2 models would become tombstones" in promised
    done = sexton("provider", "delete", "openai")
    assert "for good: 1 user key went with it" in done.stdout
    assert "sexton undo" in done.stderr
    [run] = rows(connection, "select lost from sexton.runs")
    assert run["lost"] == ["1 users' keys for openai"]


def test_a_person_is_asked_before_a_provider_goes(connection, sexton, two, monkeypatch):
    monkeypatch.setattr("sexton.chat.cli.run._a_person", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    result = sexton("provider", "delete", "openai")
    assert "for good" in result.stderr
    assert len(table(connection, "chat_providers")) == 2
    assert sexton("provider", "delete", "openai", "--yes").code == 0
    assert len(table(connection, "chat_providers")) == 1


def test_our_sentence_is_the_text_and_upstreams_is_in_the_document(sexton):
    said = sexton("provider", "delete", "nope")
    assert "sexton: no provider is called 'nope'\n" in said.stderr
    error = sexton("provider", "delete", "nope", "--format", "json").json["error"]
    assert error["message"].startswith("Resource not found")
    assert error["hint"].startswith("no provider is called 'nope'")


def test_every_refusal_says_what_is_wrong_in_words_of_its_own():
    for kind in SextonError.__subclasses__():
        assert kind.upstream is None or kind.upstream != kind().message
