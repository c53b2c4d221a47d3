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


def index(name, *, valid=None):
    """Whether the table has an index of such a name; with `valid`, only such a one."""
    condition = {
        None: "true",
        True: "i.indisvalid and i.indisready and i.indislive and i.indisunique",
        False: "not (i.indisvalid and i.indisready and i.indislive)",
    }[valid]
    return f"""
        exists (
            select
            from pg_catalog.pg_index i
            join pg_catalog.pg_class c on c.oid = i.indexrelid
            where i.indrelid = to_regclass('chat_model_configs')
              and c.relname = '{name}' and {condition}
        )
    """  # noqa: S608 - literals of this file


def built(predicate, *, name=None):
    """Whether a valid unique index on the constant has such a predicate."""
    named = f"and c.relname = '{name}'" if name else ""
    return f"""
        exists (
            select
            from pg_catalog.pg_index i
            join pg_catalog.pg_class c on c.oid = i.indexrelid
            where i.indrelid = to_regclass('chat_model_configs')
              and i.indisunique and i.indisvalid and i.indisready and i.indislive
              and i.indnkeyatts = 1 and i.indkey::text = '0'
              and pg_get_expr(i.indexprs, i.indrelid) = '1'
              and pg_get_expr(i.indpred, i.indrelid) = '{predicate}'
              {named}
        )
    """  # noqa: S608 - literals of this file


NAME_TAKEN = (
    f"""
    select n.nspname as schema
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = '{NEW}'
      and c.relnamespace = (
          select relnamespace from pg_catalog.pg_class
          where oid = to_regclass('chat_model_configs')
      )
      and not {index(NEW)}
    """,  # noqa: S608 - literals of this file
    f"something else in the schema {{schema}} is called {NEW}: rename or drop it",
)


def rebuild(predicate, facts):
    """Steps that put an index with another predicate in the old one's place.

    They find their way from wherever an earlier run, up or down, was killed; at no
    moment is there no valid index, unless there was none to begin with.
    """
    ready = built(predicate, name=NEW)
    return [
        {
            "title": "drop what is left of an index whose successor stands",
            "lock": "share update exclusive",
            "tables": MODELS,
            "outside_transaction": True,
            "facts": [],
            "done": f"select not ({index(NAME, valid=False)} and {index(NEW, valid=True)})",
            "sql": [f"drop index concurrently if exists {NAME}"],
        },
        {
            "title": "give an index that was built its name",
            "lock": "share update exclusive",
            "tables": MODELS,
            "facts": [],
            "done": f"select {index(NAME)} or not {index(NEW, valid=True)}",
            "sql": [f"alter index {NEW} rename to {NAME}"],
        },
        {
            "title": "clear away what a failed build left",
            "lock": "share update exclusive",
            "tables": MODELS,
            "outside_transaction": True,
            "facts": [],
            "done": f"select not {index(NEW)} or {ready}",
            "sql": [f"drop index concurrently if exists {NEW}"],
        },
        {
            "title": f"build the index for {predicate}, beside the old one",
            "lock": "share update exclusive",
            "tables": MODELS,
            "outside_transaction": True,
            "scans": MODELS,
            "refuse": [
                NAME_TAKEN,
                (
                    f"""
                    select count(*) as n, string_agg(id::text, ', ' order by id) as ids
                    from chat_model_configs where {predicate} having count(*) > 1
                    """,  # noqa: S608 - literals of this file
                    "there are {n} defaults, and the index allows one: {ids}",
                ),
            ],
            "hint": "sexton repair default_ambiguous",
            "facts": facts,
            "done": f"select {built(predicate)}",
            "sql": [
                f"create unique index concurrently {NEW} "
                f"on chat_model_configs ((1)) where {predicate}",
            ],
        },
        {
            "title": "drop the old index",
            "lock": "share update exclusive",
            "tables": MODELS,
            "outside_transaction": True,
            "facts": [],
            "done": f"select not {index(NAME)} or not {ready}",
            "sql": [f"drop index concurrently if exists {NAME}"],
        },
        {
            "title": "give the new index its name",
            "lock": "share update exclusive",
            "tables": MODELS,
            "facts": [],
            "done": f"select not {index(NEW)}",
            "sql": [f"alter index {NEW} rename to {NAME}"],
        },
    ]


REMEMBER = "create table if not exists sexton.former_defaults (id uuid primary key)"

UPGRADE = [
    *rebuild(
        LIVE,
        [
            (
                "chat_model_configs",
                "the index of the default",
                "no valid unique index allows just one live default",
                f"select {built(LIVE)}",
            )
        ],
    ),
    {
        "title": "give former defaults among the tombstones their flag back",
        "lock": "share update exclusive",
        "tables": MODELS,
        "facts": [],
        "done": "select to_regclass('sexton.former_defaults') is null",
        "sql": [
            REMEMBER,
            {
                "update": "chat_model_configs",
                "set": {"is_default": "true"},
                "where": """
                    this.deleted
                    and exists (
                        select from sexton.former_defaults f where f.id = this.id
                    )
                """,
            },
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
        "leaves": {
            "chat_model_configs": """
                select id, provider, model, enabled, deleted, deleted_at,
                       is_default and not deleted as is_default
                from chat_model_configs
            """
        },
        "sql": [
            REMEMBER,
            """
            insert into sexton.former_defaults
            select id from chat_model_configs where is_default and deleted
            on conflict do nothing
            """,
            {
                "update": "chat_model_configs",
                "set": {"is_default": "false"},
                "where": "this.is_default and this.deleted",
            },
        ],
    },
    *rebuild(ALL, []),
]


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
