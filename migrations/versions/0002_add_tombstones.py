"""Add `deleted` and `deleted_at` to model configs.

Both columns come without rewriting the table. A server that selects `*` through prepared
statements must reconnect afterwards.

The downgrade is refused while there are tombstones, unless the user chooses to turn them
into disabled configs. Those are remembered in `sexton.tombstones`, and the upgrade makes
them what they were.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
GUARD = "possible"  # a guard for live rows needs to know which are live

COLUMNS = """
    select a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull,
           coalesce(pg_get_expr(d.adbin, d.adrelid), '') as value
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d
      on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = to_regclass('chat_model_configs')
      and not a.attisdropped
      and a.attname in ('deleted', 'deleted_at')
"""
WANTED = """
    ('deleted', 'boolean', true, 'false'),
    ('deleted_at', 'timestamp with time zone', false, '')
"""


def column(name, type, null, default):
    """The fact that the column is there, as it should be."""
    words = type + " not null" * (not null) + f" default {default}" * bool(default)
    row = f"('{name}', '{type}', {str(not null).lower()}, '{default}')"
    holds = f"""
        select exists (
            select from ({COLUMNS}) c
            where (c.attname, c.type, c.attnotnull, c.value) = {row}
        )
    """  # noqa: S608 - literals of this file
    return ("chat_model_configs", name, f"{name} is not {words}", holds)


def remembered(column):
    """What a column of the row was before the downgrade."""
    return f"(select t.{column} from sexton.tombstones t where t.id = this.id)"  # noqa: S608


REMEMBER = """
    create table if not exists sexton.tombstones (
        id uuid primary key,
        deleted boolean not null,
        deleted_at timestamptz,
        enabled boolean not null
    )
"""

UPGRADE = [
    {
        "title": "add the columns deleted and deleted_at",
        "lock": "access exclusive",
        "tables": ["chat_model_configs"],
        "refuse": [
            (
                f"""
                select string_agg(
                    concat_ws(' ', c.attname, c.type,
                              case when c.attnotnull then 'not null' end,
                              'default ' || nullif(c.value, '')),
                    ', ' order by c.attname
                ) as found
                from ({COLUMNS}) c
                where (c.attname, c.type, c.attnotnull, c.value) not in ({WANTED})
                having count(*) > 0
                """,  # noqa: S608 - literals of this file
                "chat_model_configs has a column of that name already, of another kind "
                "({found}): rename it, or make it what the documentation says",
            )
        ],
        "done": f"""
            select count(*) = 2
            from ({COLUMNS}) c
            where (c.attname, c.type, c.attnotnull, c.value) in ({WANTED})
        """,  # noqa: S608 - literals of this file
        "facts": [
            column("deleted", "boolean", False, "false"),
            column("deleted_at", "timestamp with time zone", True, ""),
        ],
        "warn": [
            (
                "select",
                "servers that send `select *` as a prepared statement must reconnect "
                "afterwards: the table has two columns more",
            )
        ],
        "leaves": {
            "chat_model_configs": """
                select *, false as deleted, null::timestamptz as deleted_at
                from chat_model_configs
            """
        },
        "sql": [
            """
            alter table chat_model_configs
                add column if not exists deleted boolean not null default false,
                add column if not exists deleted_at timestamptz
            """,
        ],
    },
    {
        "title": "make tombstones again of what a downgrade disabled",
        "lock": "share row exclusive",
        "tables": ["chat_model_configs"],
        "facts": [],
        "done": "select to_regclass('sexton.tombstones') is null",
        "sql": [
            REMEMBER,
            # A config that somebody has enabled since is in use again, and stays.
            {
                "update": "chat_model_configs",
                "set": {
                    "deleted": remembered("deleted"),
                    "deleted_at": remembered("deleted_at"),
                    "enabled": remembered("enabled"),
                },
                "where": """
                    exists (
                        select from sexton.tombstones t
                        where t.id = this.id and (not this.enabled or not t.deleted)
                    )
                """,
            },
            "drop table sexton.tombstones",
        ],
    },
]

DOWNGRADE = [
    {
        "title": "drop the columns deleted and deleted_at",
        "lock": "access exclusive",
        "tables": ["chat_model_configs"],
        "scans": ["chat_model_configs"],
        "refuse": [
            (
                """
                select count(*) as n,
                       string_agg(c.provider || '/' || c.model, ', ') filter (
                           where c.ordinal <= 5
                       ) as some
                from (
                    select provider, model,
                           row_number() over (order by provider, model, id) as ordinal
                    from chat_model_configs where deleted or deleted_at is not null
                ) c
                having count(*) > 0
                """,
                "tombstones would come back to life without the column deleted: there are "
                "{n}, as {some}",
            )
        ],
        "hint": "--tombstones disable turns them into disabled "
        "configs; the way up makes them tombstones again",
        "unless": "tombstones=disable",
        "unless_sql": [
            REMEMBER,
            """
            insert into sexton.tombstones (id, deleted, deleted_at, enabled)
            select id, deleted, deleted_at, enabled
            from chat_model_configs where deleted or deleted_at is not null
            """,
            # updated_at stays: the way up must give back every row as it was.
            {
                "update": "chat_model_configs",
                "set": {"enabled": "false"},
                "where": "this.deleted",
            },
        ],
        "done": f"select not exists ({COLUMNS})",
        "sql": [
            """
            alter table chat_model_configs
                drop column if exists deleted, drop column if exists deleted_at
            """
        ],
    },
]


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
