"""The product beside its guard."""

import os
from typing import Any

import psycopg

from sexton.chat.deletion import DeleteProvider
from sexton.chat.models import promote
from sexton.chat.operation import run
from sexton.database import Connection, transact
from tests.support.guards import bury, drop_provider, guard_refuses, tombstone
from tests.support.tools import add_chat, add_model, add_provider, table


def product(connection: Connection) -> list[Any]:
    """The product's own statements, in the order of its transactions (domain facts)."""
    said: list[Any] = []

    def run(statement, *parameters):
        try:
            cursor = connection.execute(statement, parameters or None)
            said.append(cursor.fetchall() if cursor.description else cursor.rowcount)
        except psycopg.Error as error:
            said.append(error.sqlstate)

    lock = "select id, provider from chat_providers where provider = %s for update"
    create = """
        insert into chat_model_configs (
            provider, model, display_name, enabled, is_default, context_limit,
            compression_threshold, options
        ) values (%s, %s, '', true, %s, 1000, 70, '{}')
        returning provider, model, is_default, deleted
    """
    unset = """
        update chat_model_configs set is_default = false, updated_at = now()
        where is_default and not deleted
    """
    elect = """
        update chat_model_configs
        set is_default = true, updated_by = null, updated_at = now()
        where not deleted and id = (
            select id from chat_model_configs where not deleted
            order by provider, model, updated_at desc, id desc limit 1
        )
    """
    for name in ("openai", "azure", "anthropic"):
        run("insert into chat_providers (provider) values (%s)", name)
    for provider, model, default in (
        *(("openai", "a", True), ("openai", "b", False), ("azure", "c", False)),
    ):
        with connection.transaction():
            run(lock, provider)
            run(create, provider, model, default)
    run(create, "openai", "d", True)  # a second default: 23505
    run("insert into chat_providers (provider) values ('openai')")  # 23505
    with connection.transaction():  # an update writes every column
        run(lock, "anthropic")
        run(
            """
            update chat_model_configs set
                provider = 'anthropic', model = 'e', display_name = 'E',
                updated_by = null, enabled = false, is_default = false,
                context_limit = 2000, compression_threshold = 0, options = '{}',
                updated_at = now()
            where model = 'b' and not deleted
            returning provider, model, enabled, deleted
            """
        )
    run(
        "update chat_providers set enabled = false, updated_at = now() "
        "where provider = 'azure'"
    )
    with connection.transaction():  # delete a config: without a guard on deleted
        run(
            "update chat_model_configs set deleted = true, deleted_at = now(), "
            "updated_at = now() where model = 'c'"
        )
    for name in ("openai", "anthropic"):
        with connection.transaction():
            run("select id from chat_providers where provider = %s for update", name)
            run(
                """
                update chat_model_configs
                set deleted = true, deleted_at = now(), updated_at = now()
                where provider = %s and deleted = false
                """,
                name,
            )
            run(unset)
            run(elect)
            run("delete from chat_providers where provider = %s", name)
    run("insert into chat_providers (provider) values ('openai')")  # created again
    run(
        """
        select c.provider, c.model from chat_model_configs c
        join chat_providers p on p.provider = c.provider
        where p.enabled and c.enabled and not c.deleted order by 1, 2
        """
    )
    run(
        "select provider, model, enabled, is_default, deleted, deleted_at is null as at "
        "from chat_model_configs order by model"
    )
    return [
        [{k: v for k, v in row.items() if k != "id"} for row in rows]
        if isinstance(rows, list)
        else rows
        for rows in said
    ]


def test_the_products_own_statements_run_as_without_it(connection, guarded):
    without, beside = product(connection), product(guarded)
    assert without == beside
    assert "23505" in without
    assert not {"23503", "23514"} & {x for x in beside if isinstance(x, str)}


def test_a_plain_writer_needs_no_new_right(guarded, administrator):
    role = f"sexton_writer_{os.getpid()}"
    administrator.execute(f"create role {role}")
    try:
        guarded.execute("drop schema if exists sexton cascade")
        guarded.execute(
            f"grant select, insert, update, delete on all tables in schema public to {role}"
        )
        guarded.execute(f"set role {role}")
        add_provider(guarded, "openai")
        bury(guarded, add_model(guarded, "openai"))
        tombstone(guarded, "azure")
        drop_provider(guarded, "openai")
        with guard_refuses():
            add_model(guarded, "openai")
    finally:
        guarded.execute("reset role")
        guarded.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_sextons_life_cycle_works_under_it(guarded):
    for name in ("openai", "azure"):
        add_provider(guarded, name)
    gone = add_model(guarded, "openai", is_default=True)
    heir = add_model(guarded, "azure")
    add_chat(guarded, gone)
    deletion = run(guarded, DeleteProvider("openai"))
    assert deletion.heir
    assert deletion.heir["id"] == heir
    other = add_model(guarded, "azure", "n")
    transact(guarded, lambda: promote(guarded, other))
    assert {r["id"]: r["sexton_live"] for r in table(guarded, "chat_model_configs")} == {
        gone: None,
        heir: True,
        other: True,
    }
