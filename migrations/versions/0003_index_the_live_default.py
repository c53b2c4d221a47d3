"""Rebuild the index of the one default for live rows only.

A tombstone may keep `is_default`: it says what it was. The new index is built beside the
old one, CONCURRENTLY, then takes its name, so that two defaults are never possible.

The downgrade takes the flag from tombstones, for the old index counts them too, and
remembers them in `sexton.former_defaults`; the upgrade gives it back.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

NAME = "idx_chat_model_configs_single_default"
NEW = f"{NAME}_new"
LIVE = "((is_default = true) AND (deleted = false))"
ALL = "(is_default = true)"


def index_exists(predicate, name="%"):
    """Whether a valid unique index on the constant has this predicate."""
    return f"""
        select exists (
            select
            from pg_catalog.pg_index i
            join pg_catalog.pg_class c on c.oid = i.indexrelid
            where i.indrelid = 'chat_model_configs'::regclass
              and i.indisunique and i.indisvalid and i.indnkeyatts = 1
              and i.indkey::text = '0'
              and pg_get_expr(i.indexprs, i.indrelid) = '1'
              and pg_get_expr(i.indpred, i.indrelid) = '{predicate}'
              and c.relname like '{name}'
        )
    """  # noqa: S608 - literals of this file


def rebuild(predicate):
    """Steps that put an index with another predicate in the old one's place."""
    return [
        {
            "title": f"build the index for {predicate}, beside the old one",
            "lock": "share update exclusive",
            "tables": ["chat_model_configs"],
            "alone": True,
            "done": index_exists(predicate),
            "sql": [
                # What a failed build left behind is invalid, and in the way.
                f"drop index concurrently if exists {NEW}",
                f"create unique index concurrently {NEW} "
                f"on chat_model_configs ((1)) where {predicate}",
            ],
        },
        {
            "title": "drop the old index",
            "lock": "share update exclusive",
            "tables": ["chat_model_configs"],
            "alone": True,
            "done": f"select to_regclass('{NEW}') is null",
            "sql": [f"drop index concurrently if exists {NAME}"],
        },
        {
            "title": "give the new index its name",
            "lock": "share update exclusive",
            "tables": ["chat_model_configs"],
            "done": index_exists(predicate, NAME),
            "sql": [f"alter index {NEW} rename to {NAME}"],
        },
    ]


UPGRADE = [
    *rebuild(LIVE)[:-1],
    {
        **rebuild(LIVE)[-1],
        "title": "give the new index its name, and former defaults their flag",
        "done": f"""
            select ({index_exists(LIVE, NAME)})
               and to_regclass('sexton.former_defaults') is null
        """,
        "sql": [
            f"alter index if exists {NEW} rename to {NAME}",
            "create table if not exists sexton.former_defaults (id uuid primary key)",
            """
            update chat_model_configs c set is_default = true
            from sexton.former_defaults f
            where f.id = c.id and c.deleted
            """,
            "drop table sexton.former_defaults",
        ],
    },
]

DOWNGRADE = [
    {
        "title": "take the flag from tombstones, and remember them",
        "lock": "share row exclusive",
        "tables": ["chat_model_configs"],
        "done": """
            select not exists (
                select from chat_model_configs where is_default and deleted
            )
        """,
        "sql": [
            "create table if not exists sexton.former_defaults (id uuid primary key)",
            """
            insert into sexton.former_defaults
            select id from chat_model_configs where is_default and deleted
            on conflict do nothing
            """,
            """
            update chat_model_configs set is_default = false
            where is_default and deleted
            """,
        ],
    },
    *rebuild(ALL),
]


def upgrade():
    op.run_steps(UPGRADE)


def downgrade():
    op.run_steps(DOWNGRADE)
