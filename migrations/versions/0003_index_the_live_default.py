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


MODELS = ["chat_model_configs"]


def index_exists(*names, predicate=None):
    """Whether a valid unique index on the constant has such a name and predicate."""
    condition = f"= '{predicate}'" if predicate else "is not null"
    named = ", ".join(f"'{name}'" for name in names)
    return f"""
        exists (
            select
            from pg_catalog.pg_index i
            join pg_catalog.pg_class c on c.oid = i.indexrelid
            where i.indrelid = to_regclass('chat_model_configs')
              and i.indisunique and i.indisvalid and i.indisready and i.indislive
              and i.indnkeyatts = 1 and i.indkey::text = '0'
              and pg_get_expr(i.indexprs, i.indrelid) = '1'
              and pg_get_expr(i.indpred, i.indrelid) {condition}
              and c.relname in ({named})
        )
    """  # noqa: S608 - literals of this file


def rebuild(predicate):
    """Steps that put an index with another predicate in the old one's place.

    They find their way from wherever an earlier run, up or down, was killed; at no
    moment is there no valid index, unless there was none to begin with.
    """
    built = index_exists(NEW, predicate=predicate)
    return [
        {
            "title": "end the rebuild that was interrupted: give its index the name",
            "lock": "share update exclusive",
            "tables": MODELS,
            "done": f"""
                select to_regclass('{NAME}') is not null or not {index_exists(NEW)}
            """,
            "sql": [f"alter index {NEW} rename to {NAME}"],
        },
        {
            "title": "clear away what a failed build left",
            "lock": "share update exclusive",
            "tables": MODELS,
            "alone": True,
            "done": f"select to_regclass('{NEW}') is null or {built}",
            "sql": [f"drop index concurrently if exists {NEW}"],
        },
        {
            "title": f"build the index for {predicate}, beside the old one",
            "lock": "share update exclusive",
            "tables": MODELS,
            "alone": True,
            "scans": MODELS,
            "refuse": [
                (
                    f"""
                    select count(*) as n, string_agg(id::text, ', ' order by id) as ids
                    from chat_model_configs where {predicate} having count(*) > 1
                    """,  # noqa: S608 - literals of this file
                    "there are {n} defaults, and the index allows one: {ids}",
                )
            ],
            "hint": "sexton repair default_ambiguous",
            "done": f"select {index_exists(NAME, NEW, predicate=predicate)}",
            "sql": [
                f"create unique index concurrently {NEW} "
                f"on chat_model_configs ((1)) where {predicate}",
            ],
        },
        {
            "title": "drop the old index",
            "lock": "share update exclusive",
            "tables": MODELS,
            "alone": True,
            "done": f"select to_regclass('{NAME}') is null or not {built}",
            "sql": [f"drop index concurrently if exists {NAME}"],
        },
        {
            "title": "give the new index its name",
            "lock": "share update exclusive",
            "tables": MODELS,
            "done": f"select {index_exists(NAME, predicate=predicate)}",
            "sql": [f"alter index {NEW} rename to {NAME}"],
        },
    ]


UPGRADE = [
    *rebuild(LIVE),
    {
        "title": "give former defaults among the tombstones their flag back",
        "lock": "share update exclusive",
        "tables": MODELS,
        "done": "select to_regclass('sexton.former_defaults') is null",
        "sql": [
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
        "tables": MODELS,
        "scans": MODELS,
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
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
