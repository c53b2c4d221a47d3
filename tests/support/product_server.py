"""The product's own transactions, restated from the domain's facts as SQL.

They know nothing of Sexton's election lock. READ COMMITTED, statement by statement, with
the known races left in (domain facts 2.1 to 2.17 and 2.24 to 2.30).
"""

import uuid

from sexton.database import Connection, rows
from tests.support.interleaving import Work


class Failed(Exception):
    """The server answers 404, 409 or 500; its transaction is rolled back."""


def ensure_default(connection: Connection, excluded: uuid.UUID | None = None) -> None:
    live = rows(
        connection,
        "select id from chat_model_configs where is_default and not deleted",
    )
    if live:
        return
    found = rows(
        connection,
        """
        select id from chat_model_configs where not deleted
        order by provider, model, updated_at desc, id desc
        """,
    )
    if not found:
        return
    candidates = [row["id"] for row in found if row["id"] != excluded]
    make_default(connection, candidates[0] if candidates else found[0]["id"])


def make_default(connection: Connection, id: uuid.UUID) -> None:
    unset_defaults(connection)
    promoted = connection.execute(
        """
        update chat_model_configs
        set is_default = true, updated_by = null, updated_at = now()
        where id = %s and not deleted
        """,
        (id,),
    )
    if promoted.rowcount != 1:
        raise Failed("500")


def unset_defaults(connection: Connection) -> None:
    connection.execute(
        """
        update chat_model_configs set is_default = false, updated_at = now()
        where is_default and not deleted
        """
    )


def delete_provider(name: str) -> Work:
    def work(connection: Connection) -> None:
        with connection.transaction():
            found = rows(
                connection,
                "select id from chat_providers where provider = %s for update",
                name,
            )
            if not found:
                raise Failed("404")
            connection.execute(
                """
                update chat_model_configs
                set deleted = true, deleted_at = now(), updated_at = now()
                where provider = %s and not deleted
                """,
                (name,),
            )
            ensure_default(connection)
            connection.execute(
                "delete from chat_providers where id = %s", (found[0]["id"],)
            )

    return work


def delete_model(id: uuid.UUID) -> Work:
    def work(connection: Connection) -> None:
        live = "select from chat_model_configs where id = %s and not deleted"
        if not rows(connection, live, id):
            raise Failed("404")
        with connection.transaction():
            connection.execute(
                """
                update chat_model_configs
                set deleted = true, deleted_at = now(), updated_at = now()
                where id = %s
                """,
                (id,),
            )
            ensure_default(connection)

    return work


def create_model(provider: str, model: str, *, is_default: bool = False) -> Work:
    def work(connection: Connection) -> None:
        with connection.transaction():
            if not rows(
                connection,
                "select from chat_providers where provider = %s for update",
                provider,
            ):
                raise Failed("400")
            default = is_default or not rows(
                connection,
                "select from chat_model_configs where is_default and not deleted",
            )
            if is_default:
                unset_defaults(connection)
            connection.execute(
                """
                insert into chat_model_configs
                    (provider, model, is_default, context_limit, compression_threshold)
                values (%s, %s, %s, 1000, 70)
                """,
                (provider, model, default),
            )
            ensure_default(connection)

    return work


def patch_model(
    id: uuid.UUID, *, display_name: str | None = None, is_default: bool | None = None
) -> Work:
    """Merges on a copy read outside the transaction, and writes every column."""

    def work(connection: Connection) -> None:
        found = rows(
            connection,
            "select * from chat_model_configs where id = %s and not deleted",
            id,
        )
        if not found:
            raise Failed("404")
        row = found[0]
        if display_name is not None:
            row["display_name"] = display_name
        if is_default is not None:
            row["is_default"] = is_default
        with connection.transaction():
            if not rows(
                connection,
                "select from chat_providers where provider = %s for update",
                row["provider"],
            ):
                raise Failed("400")
            if is_default:
                unset_defaults(connection)
            written = connection.execute(
                """
                update chat_model_configs
                set provider = %(provider)s, model = %(model)s,
                    display_name = %(display_name)s, enabled = %(enabled)s,
                    is_default = %(is_default)s, context_limit = %(context_limit)s,
                    compression_threshold = %(compression_threshold)s,
                    updated_at = now()
                where id = %(id)s and not deleted
                """,
                {name: value for name, value in row.items() if name != "options"},
            )
            if written.rowcount != 1:
                raise Failed("404")
            ensure_default(connection, id if is_default is False else None)

    return work


def rotate_key(provider: str) -> Work:
    def work(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(
                """
                update chat_providers set api_key = 'rotated', updated_at = now()
                where provider = %s
                """,
                (provider,),
            )

    return work


def set_user_key(provider: uuid.UUID, user: uuid.UUID) -> Work:
    def work(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(
                """
                insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
                values (%s, %s, 'sk-made-up')
                on conflict (user_id, chat_provider_id) do update
                set api_key = excluded.api_key, updated_at = now()
                """,
                (user, provider),
            )

    return work


def start_chat(model: uuid.UUID) -> Work:
    def work(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(
                """
                insert into chats (owner_id, last_model_config_id)
                values (gen_random_uuid(), %s)
                """,
                (model,),
            )

    return work
