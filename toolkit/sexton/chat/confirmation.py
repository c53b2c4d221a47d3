"""Whether rows that were written are as they were meant to be, after triggers too."""

from collections.abc import Sequence
from typing import Any

from sexton.chat.schema import fetch
from sexton.database import Connection
from sexton.journal.recorder import Change


def confirm(
    connection: Connection, changes: Sequence[Change], done: Sequence[Sequence[Any]]
) -> list[list[Any]]:
    """Look again at rows that changes have written; those of `done` that still hold.

    What a statement returns of its rows is what it wrote; a trigger that fires after it may
    have written something else since. `done` are ids by change, each change returns `id`
    and `done`.
    """
    asked = [
        f"""
        select {index} as index, {change.returning["id"]} as id
        from {change.table.sql} as this
        where {change.returning["id"]} = any (%(ids{index})s)
          and {change.returning["done"]}
        """  # noqa: S608 - of ours, and names from the catalogs
        for index, change in enumerate(changes)
        if done[index]
    ]
    if not asked:
        return [[] for _ in changes]
    given = {f"ids{index}": list(ids) for index, ids in enumerate(done)}
    found = fetch(connection, " union all ".join(asked), given)
    there = {(row["index"], row["id"]) for row in found}
    return [
        [id for id in ids if ((index, id) in there) is not change.deletes]
        for index, (change, ids) in enumerate(zip(changes, done, strict=True))
    ]
