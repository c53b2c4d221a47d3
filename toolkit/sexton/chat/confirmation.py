"""Whether rows that were written are as they were meant to be, after triggers too."""

from collections.abc import Iterable, Sequence
from typing import Any

from sexton.catalog.cascades import DOES, referring
from sexton.catalog.triggers import DELETE, INSERT, UPDATE, fire, firing
from sexton.chat.schema import Product, fetch
from sexton.database import Connection
from sexton.errors import Refused
from sexton.journal.recorder import Change


def unknown(product: Product, changes: Sequence[Change]) -> str:
    """Whether triggers fire that were unknown when the product was read, or a user's: SQL.

    A foreign key has triggers, too. As part of the statement that writes it cannot miss
    one: whoever adds a trigger or a key waits for the locks that the statement takes.
    """
    tables = {change.table.relation.oid for change in changes}
    if any(change.deletes for change in changes):
        tables |= {key.child_oid for key in product.keys}
    return f"""
        exists (
            select from pg_catalog.pg_trigger t
            where t.tgrelid = any ({_oids(tables)})
              and t.oid <> all ({_oids(product.triggers)})
        )
    """


def confirm(
    connection: Connection,
    product: Product,
    changes: Sequence[Change],
    written: Sequence[Sequence[Any]],
) -> list[list[Any]]:
    """Look again at rows that changes have written, where `unknown` held.

    What a statement returns of its rows is what it wrote; a trigger that fires after it may
    have written something else since, and what is deferred to COMMIT fires now. `written`
    are ids by change, each change returns `id` and `done`. Returns those that still hold.
    Raises Refused where a foreign key that acts was added since the product was read, for
    the deletion followed it.
    """
    _refuse_new_keys(connection, product, changes)
    tables = {change.table.relation.oid: _events(change) for change in changes}
    # Only the constraint triggers of these tables: the transaction may be the caller's.
    fire(connection, firing(connection, tables), whole=False)
    asked = [
        f"""
        select {index} as index, {change.returning["id"]} as id
        from {change.table.sql} as this
        where {change.returning["id"]} = any (%(ids{index})s)
          and {change.returning["done"]}
        """  # noqa: S608 - of ours, and names from the catalogs
        for index, change in enumerate(changes)
        if written[index]
    ]
    if not asked:
        return [[] for _ in changes]
    given = {f"ids{index}": list(ids) for index, ids in enumerate(written)}
    found = fetch(connection, " union all ".join(asked), given)
    there = {(row["index"], row["id"]) for row in found}
    return [
        [id for id in ids if ((index, id) in there) is not change.deletes]
        for index, (change, ids) in enumerate(zip(changes, written, strict=True))
    ]


def _refuse_new_keys(
    connection: Connection, product: Product, changes: Sequence[Change]
) -> None:
    tables = {c.table.relation.oid: c.table.relation.name for c in changes if c.deletes}
    known = {key.oid for key in product.keys}
    for key in referring(connection, *tables) if tables else ():
        if key.action in DOES and key.oid not in known:
            raise unwritten(tables[key.parent_oid], 1, f"the foreign key {key.name}")


def _events(change: Change) -> int:
    return DELETE if change.deletes else INSERT | UPDATE


def unwritten(
    table: str, count: int, what: str = "a trigger, or another change,"
) -> Refused:
    """The refusal of rows that are not as they were meant to be; `what` was in the way."""
    return Refused(
        f"{count} of the rows of {table} to be written did not end as they should: "
        f"{what} was in the way",
        hint=f"nothing was changed; look at the triggers of {table}",
    )


def _oids(numbers: Iterable[int]) -> str:
    return f"array[{', '.join(map(str, sorted(numbers)))}]::pg_catalog.oid[]"
