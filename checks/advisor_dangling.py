"""The advisor's setting is broken, or names a model that cannot be used.

The setting is JSON in a text column, so nothing checks its form, and deleting a provider
or a model leaves the id in it behind. The advisor then runs on the default, or not at all.
A null or all-zero id means that none was chosen, and is fine.

The repair sets the id to null and keeps the other keys; the journal keeps what it was.
Broken JSON, and a model or provider that is merely disabled, are left to a person.
"""

import json
import re
from typing import Any

from sexton.chat.settings import ADVISOR, USABILITY, UUID, ZERO
from sexton.check import Check, Rewrite, Severity

ID = re.compile(r'("model_config_id"\s*:\s*)("[^"\\\\]*"|[^\s,}]+)')


def judge(row: dict[str, Any]) -> dict[str, Any] | None:
    """The finding for a setting, or None: before PostgreSQL 16 SQL cannot try a cast."""
    problem = _problem(row["value"], row["models"])
    return {"key": row["key"], "problem": problem} if problem else None


def _problem(value: str, models: dict[str, str]) -> str | None:
    if not value.strip():
        return None
    try:
        setting = json.loads(value)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(setting, dict):
        return "is not a JSON object"
    model_id = setting.get("model_config_id")
    if model_id in (None, "", ZERO):
        return None
    if not isinstance(model_id, str) or not re.fullmatch(UUID, model_id):
        return "holds no model id"
    state = models.get(model_id.lower(), "which does not exist")
    return f"names model {model_id}, {state}" if state else None


def repair_row(row: dict[str, Any]) -> dict[str, Any] | None:
    """The setting whose model is gone with a null id, else as it was."""
    problem = _problem(row["value"], row["models"])
    if problem is None or problem.startswith("is not JSON") or problem.endswith("disabled"):
        return None
    setting = json.loads(row["value"])
    # Other keys keep their spelling, unless the id stands where none expects it.
    after = ID.sub(r"\1null", row["value"], count=1)
    wanted = {**setting, "model_config_id": None}
    if json.loads(after) != wanted:
        after = json.dumps(wanted, ensure_ascii=False)
    return {"value": after, "why": f"it {problem}"}


check = Check(
    __name__,
    severity=Severity.WARNING,
    table="site_configs",
    key=("key",),
    message="setting {key} {problem}",
    reads={"site_configs": ("key", "value"), **USABILITY},
    parent="chat_model_configs",
    # Every id in the text, with the state of its config: what is meant, `judge` decides.
    find=f"""
        select
            s.key,
            s.value,
            coalesce(
                (
                    select jsonb_object_agg(
                        c.id::text,
                        case
                            when c.deleted then 'a tombstone'
                            when p.provider is null then 'whose provider is gone'
                            when not c.enabled then 'which is disabled'
                            when not p.enabled then 'whose provider is disabled'
                            else ''
                        end
                    )
                    from chat_model_configs c
                    left join chat_providers p on p.provider = c.provider
                    where c.id in (
                        select m[1]::uuid
                        from regexp_matches(
                            s.value,
                            '({UUID})',
                            'g'
                        ) as m
                    )
                ),
                '{{}}'
            ) as models
        from site_configs s
        where s.key = '{ADVISOR}'
        order by s.key
    """,  # noqa: S608 - patterns of ours
    judge=judge,
    repair=Rewrite(("value",), repair_row),
    after=("default_missing",),
    manual_action="choose a usable model for the advisor, or set its id to null",
)
