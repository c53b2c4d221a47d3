"""Add `deleted` and `deleted_at` to model configs.

Both columns come without rewriting the table. A server that selects `*` through prepared
statements must reconnect afterwards.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

UPGRADE = [
    {
        "title": "add the columns deleted and deleted_at",
        "lock": "access exclusive",
        "tables": ["chat_model_configs"],
        "done": """
            select count(*) = 2
            from pg_catalog.pg_attribute
            where attrelid = 'chat_model_configs'::regclass
              and not attisdropped
              and (attname, atttypid) in (
                  ('deleted', 'boolean'::regtype),
                  ('deleted_at', 'timestamptz'::regtype)
              )
        """,
        "sql": [
            """
            alter table chat_model_configs
                add column if not exists deleted boolean not null default false,
                add column if not exists deleted_at timestamptz
            """
        ],
    },
]

DOWNGRADE = [
    {
        "title": "drop the columns deleted and deleted_at",
        "lock": "access exclusive",
        "tables": ["chat_model_configs"],
        "refuse": [
            (
                """
                select count(*) as n from chat_model_configs
                where deleted or deleted_at is not null
                having count(*) > 0
                """,
                "{n} model configs are tombstones; without the column deleted they "
                "would come back to life",
            )
        ],
        "done": """
            select count(*) = 0
            from pg_catalog.pg_attribute
            where attrelid = 'chat_model_configs'::regclass
              and attname in ('deleted', 'deleted_at')
        """,
        "sql": [
            # Checked again under the lock: a deletion may have come in between.
            """
            do $$
            declare
                tombstones bigint;
            begin
                select count(*) into tombstones
                from chat_model_configs
                where deleted or deleted_at is not null;
                if tombstones > 0 then
                    raise exception using
                        errcode = 'object_not_in_prerequisite_state',
                        message = format(
                            '%s model configs are tombstones; without the column '
                            'deleted they would come back to life', tombstones
                        );
                end if;
            end
            $$
            """,
            "alter table chat_model_configs drop column deleted, drop column deleted_at",
        ],
    },
]


def upgrade():
    op.run_steps(UPGRADE)


def downgrade():
    op.run_steps(DOWNGRADE)
