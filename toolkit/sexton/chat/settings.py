"""Settings, of the site and of users, that name a model config or a provider.

Nothing in the database ties them to what they name (domain facts, section 1). What they
look like is said once, here: for counting, for moving, and for the checks.
"""

# ruff: noqa: S608 - patterns and names of ours

import re
import uuid
from typing import LiteralString

from sexton.chat.transaction import Row, Transaction, insist

UUID: LiteralString = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ZERO: LiteralString = "00000000-0000-0000-0000-000000000000"
ADVISOR: LiteralString = "agents_advisor_config"
COMPUTER_USE: LiteralString = "agents_computer_use_provider"
TITLE: LiteralString = "agents_chat_title_generation_model_override"

# Each setting `s` that may name a config, with the id that it names as text: null where it
# names none, be it malformed. One whose value is blank, a word for a default or the zero
# uuid is unset, and left out.
SITE: LiteralString = f"""
    select s.key, s.value,
        lower(substring(s.value, '^\\s*({UUID})(?::.+)?\\s*$'::text)) as named
    from site_configs s
    where s.key::text like 'agents\\_chat\\_%\\_model\\_override'::text
      and btrim(s.value) <> ''::text
      and btrim(s.value) !~ '^{ZERO}(:|$)'::text
"""
PERSONAL: LiteralString = f"""
    select s.user_id, s.key, s.value,
        lower(substring(s.value, '^\\s*model:({UUID})(?::.+)?\\s*$'::text)) as named
    from user_configs s
    where s.key::text like 'chat\\_personal\\_model\\_override:%'::text
      and btrim(s.value) <> all (array['', 'chat_default', 'deployment_default']::text[])
      and btrim(s.value) !~ '^model:{ZERO}(:|$)'::text
"""
THRESHOLDS: LiteralString = f"""
    select s.user_id, s.key, s.value,
        lower(substring(s.key::text, '^[^:]+:({UUID})$'::text)) as named
    from user_configs s
    where s.key::text like 'chat\\_compaction\\_threshold\\_pct:%'::text
"""
# The advisor's is JSON in a text column; before PostgreSQL 16 SQL cannot try a cast.
ADVISORS: LiteralString = f"""
    select s.key, s.value,
        lower(
            substring(s.value, '"model_config_id"\\s*:\\s*"({UUID})"'::text)
        ) as named
    from site_configs s
    where s.key::text = '{ADVISOR}'::text
"""

# What tells whether a config can be used: what `judged` reads besides the settings.
USABILITY = {
    "chat_model_configs": ("id", "provider", "enabled", "deleted"),
    "chat_providers": ("provider", "enabled"),
}


def judged(settings: LiteralString) -> LiteralString:
    """Those of the settings whose config cannot be used: with `problem`, and `gone`.

    `gone` is false where the config, or its provider, is merely disabled.
    """
    return f"""
        select j.*
        from (
            select
                s.*,
                c.id is null or c.deleted or p.provider is null as gone,
                case
                    when s.named is null then 'holds no model id'
                    when c.id is null
                        then format('names model %s, which does not exist', s.named)
                    when c.deleted then format('names model %s, a tombstone', s.named)
                    when p.provider is null
                        then format('names model %s, whose provider is gone', s.named)
                    when not c.enabled
                        then format('names model %s, which is disabled', s.named)
                    when not p.enabled
                        then format('names model %s, whose provider is disabled', s.named)
                end as problem
            from ({settings}) s
            left join chat_model_configs c on c.id = s.named::uuid
            left join chat_providers p on p.provider = c.provider
        ) j
        where j.problem is not null
    """


# Since v2.34: why keys of a provider `p` cannot be used; null if they can.
PROVIDER_STATE: LiteralString = """
    case
        when p.id is null then 'the provider does not exist'
        when p.deleted then 'the provider is deleted'
        when not p.enabled then 'the provider is disabled'
    end
"""


def _overridden(table: LiteralString, shown: LiteralString) -> LiteralString:
    """Rows of a table of overrides whose config cannot be used, to go on after `where`."""
    return f"""
        select s.*
        from (
            select
                {shown}, o.organization_id, o.context, o.model_config_id,
                case
                    when c.id is null then 'which does not exist in the organization'
                    when c.deleted then 'a tombstone'
                    when p.id is null or p.deleted then 'whose provider is gone'
                    when not c.enabled then 'which is disabled'
                    when not p.enabled then 'whose provider is disabled'
                end as problem
            from {table} o
            left join chat_model_configs c
              on c.id = o.model_config_id and c.organization_id = o.organization_id
            left join ai_providers p on p.id = c.ai_provider_id
            where o.model_config_id is not null
              and o.model_config_id <> '{ZERO}'::uuid
        ) s
        where s.problem is not null
    """


# Releases later than v2.36 keep what used to be settings in tables of their own.
ORGANIZATION_OVERRIDES = _overridden("chat_organization_model_overrides", "o.id")
USER_OVERRIDES = _overridden("chat_user_model_overrides", "o.id, o.user_id, o.mode")


def _queries(tx: Transaction) -> list[tuple[str, str]]:
    """Each query for settings that name a config, with its table, where it is there."""
    return [
        (
            table,
            query.replace("%", "%%").replace(f"from {table} ", f"from {tx.sql(table)} "),
        )
        for table, query in (
            ("site_configs", SITE),
            ("site_configs", ADVISORS),
            ("user_configs", PERSONAL),
            ("user_configs", THRESHOLDS),
        )
        if tx.has(table, "key", "value")
    ]


def overrides_query(tx: Transaction) -> str:
    """A query for the settings that name configs or a provider; empty without tables.

    Its parameters are `names`, the configs' ids as text, and `provider_name`.
    """
    queries = [
        f"select s.key from ({query}) s where s.named = any (%(names)s::pg_catalog.text[])"
        for _, query in _queries(tx)
    ]
    if tx.has("site_configs", "key", "value"):
        queries.append(
            f"select s.key from {tx.sql('site_configs')} s "
            f"where s.key::text = '{COMPUTER_USE}'::text "
            "and btrim(s.value) = %(provider_name)s::pg_catalog.text"
        )
    return " union all ".join(queries)


def hold_overrides(tx: Transaction, model: uuid.UUID) -> list[Row]:
    """The settings that name a config: table, key, user_id, value; in order, and locked."""
    found = []
    for table, query in _queries(tx):
        order = "s.key, s.user_id" if table == "user_configs" else "s.key"
        named = f"""
            select '{table}' as "table", s.* from ({query}) s
            where s.named = %(named)s::pg_catalog.text order by {order}
        """
        # In the order of their keys; a preview locks nothing.
        found += tx.rows(f"{named} for update" if tx.recorder else named, named=str(model))
    return found


def move_override(
    tx: Transaction, setting: Row, old: uuid.UUID, new: uuid.UUID, why: str
) -> None:
    """Make a setting name another config.

    What stands beside the id stays: the effort, the advisor's other fields.
    """
    value, key = swap(setting["value"], old, new), swap(setting["key"], old, new)
    table = setting["table"]
    parameters = {"key": setting["key"], "user": setting.get("user_id"), "value": value}
    where = "this.key::pg_catalog.text = %(key)s::pg_catalog.text"
    if table == "user_configs":
        where += " and this.user_id = %(user)s"
    if key == setting["key"]:
        new_value = {"value": "%(value)s"}
        done = tx.update(table, new_value, where, why, parameters, id="this.key")
        insist(done, [key], table)
        return
    # Another key is another row: so that it can be undone by its key.
    gone = tx.delete(table, where, why, parameters, id="this.key")
    insist(gone, [setting["key"]], table)
    copy = {"user_id": setting["user_id"], "key": key, "value": value}
    tx.insert(table, copy, why, id="this.key")


def swap(text: str, old: uuid.UUID, new: uuid.UUID) -> str:
    """The text with one id in the place of another, however it is spelt."""
    return re.sub(re.escape(str(old)), str(new), text, flags=re.IGNORECASE)
