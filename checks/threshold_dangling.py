"""A user's compaction threshold belongs to a model config that is gone.

The setting's key ends in the config's id; the value is a percentage. Deleting the config
leaves the row behind. It does no harm, and it is never read again.

The repair deletes the row where the config does not exist, and takes `--unsafe`: only the
journal then knows the percentage. Where the config is a tombstone, the row might serve
again if the config came back, so a person must decide.
"""

from sexton.chat.settings import THRESHOLDS
from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="user_configs",
    key=("user_id", "key"),
    message="setting {key} of user {user_id} belongs to {problem}",
    reads={
        "user_configs": ("user_id", "key"),
        "chat_model_configs": ("id", "deleted"),
    },
    parent="chat_model_configs",
    find=f"""
        select
            s.user_id,
            s.key,
            case
                when s.named is null then 'no model id'
                when c.id is null then 'a model that does not exist'
                else 'a tombstone'
            end as problem
        from ({THRESHOLDS}) s
        left join chat_model_configs c on c.id = s.named::uuid
        where c.id is null or c.deleted
        order by s.user_id, s.key
    """,  # noqa: S608 - queries of ours
    repair=Delete(where="found.problem <> 'a tombstone'", why="it belongs to {problem}"),
    after=("default_missing",),
    data_loss="the percentage a user chose for a model that does not exist",
    manual_action="delete the setting, unless its tombstone is to come back",
)
