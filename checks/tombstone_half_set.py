"""A model config's `deleted` and `deleted_at` contradict each other.

No CHECK ties the two columns together, so manual SQL sets one and forgets the other. A
tombstone without a time has no place in the history; a live config with a time looks
deleted to whoever reads only that column.

The repair gives a tombstone without a time the time of its last update. A live config
with a time is left alone: a person must say whether it is deleted.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider}: deleted is {deleted}, deleted_at {deleted_at}",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "deleted", "deleted_at", "updated_at"),
        ),
    },
    find="""
        select
            c.id, c.provider, c.model, c.deleted::text as deleted,
            coalesce(to_json(c.deleted_at) #>> '{}', 'null') as deleted_at
        from chat_model_configs c
        where c.deleted <> (c.deleted_at is not null)
        order by c.id
    """,
    repair=Update(
        set={"deleted_at": "this.updated_at", "updated_at": "this.updated_at"},
        where="this.deleted",
        why="a tombstone's time is unknown: its last update is the closest",
    ),
    manual_action="a live config has a deleted_at: delete the config, or clear the column",
)
