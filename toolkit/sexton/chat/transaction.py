"""One transaction of the life cycle: the product's tables, who writes, and the journal."""

import contextlib
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.pq import TransactionStatus

from sexton import journal
from sexton.catalog.relations import require_writable
from sexton.chat import confirmation
from sexton.chat.locks import lock_election
from sexton.chat.schema import MODELS, Product, fetch, read_product
from sexton.database import Connection, require_transaction, snapshot
from sexton.errors import Incomplete, Refused
from sexton.journal.recorder import (
    Change,
    Recorder,
    Statement,
    deleting,
    inserting,
    updating,
)
from sexton.postgres.session import set_parameters
from sexton.project import current

Row = dict[str, Any]


@dataclass(frozen=True)
class Transaction:
    """Reads and, where it has a recorder, locks and writes.

    Queries have named parameters, and tables by `sql`.
    """

    connection: Connection
    product: Product
    user: uuid.UUID | None = None  # the product's: goes into created_by and updated_by
    recorder: Recorder | None = None  # None in a preview, which locks and writes nothing

    @property
    def run(self) -> int | None:
        """The journal's run; None where the journal was waived."""
        return self.recorder.run if self.recorder else None

    def sql(self, table: str) -> str:
        """A table's whole name."""
        return self.product.tables[table].sql

    def has(self, table: str, *names: str) -> bool:
        """Whether the table is there, with these columns."""
        return self.product.has(table, *names)

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """All rows of a query."""
        found: list[Row] = fetch(self.connection, query, parameters)
        return found

    def one(self, query: str, **parameters: Any) -> Row | None:
        """The first row of a query, or None."""
        found = self.rows(query, **parameters)
        return found[0] if found else None

    def hold(self, query: str, strength: str, **parameters: Any) -> Row | None:
        """The first row of a query, locked until the end of the transaction.

        `strength` is what follows FOR: `update of p` for whoever deletes a provider, `no
        key update` for whoever changes it, `key share` for whoever only needs it to stay:
        that one lets a key rotation pass. A preview locks nothing.
        """
        return self.one(f"{query} for {strength}" if self.recorder else query, **parameters)

    def lock_models(self) -> None:
        """Keep every other writer from the configs until the end of the transaction.

        It waits for the server's transactions that have written one, and they wait for
        ours, so what is read from here on cannot move. Readers, new chats and new messages
        are not held up. Take it after the provider's row, as the server does.
        """
        if self.recorder:
            self.connection.execute(
                f"lock table {self.product.tables[MODELS].relation.sql} "
                "in share row exclusive mode"
            )

    def lose(self, sentences: Collection[str]) -> None:
        """Note in the journal what no undo brings back."""
        if self.run is not None:
            for sentence in sentences:
                journal.add_loss(self.connection, self.run, sentence)

    def insert(self, table: str, values: Row, why: str, *, id: str = "this.id") -> Any:
        """Insert a row and return its id."""
        change = inserting(
            self.product.tables[table],
            list(values),
            f"values ({', '.join(f'%({name})s' for name in values)})",
            why=why,
            parameters=values,
            returning={"id": id, "done": "true"},
        )
        [found] = self.write((change, 1))
        if len(found) != 1:
            raise confirmation.unwritten(table, 1)
        return found[0]

    def compose(self, *changes: Change) -> Statement:
        """Changes as one statement, which can wait for its values and for locks."""
        assert self.recorder
        return self.recorder.compose(changes, confirmation.unknown(self.product, changes))

    def write(
        self, *changes: tuple[Change, int], composed: Statement | None = None
    ) -> list[list[Any]]:
        """Make changes in one statement, in their order, as `Recorder.send` does.

        Returns of each the ids of the rows for which what it calls `done` then holds, also
        when triggers have had their say.
        """
        assert self.recorder
        made = [change for change, _ in changes]
        found = self.recorder.send(composed or self.compose(*made), changes)
        written = [[row["id"] for row in rows if row["done"]] for rows in found.rows]
        if found.around:
            return confirmation.confirm(self.connection, self.product, made, written)
        return written

    def update(
        self,
        table: str,
        assignments: Mapping[str, str],
        where: str,
        why: str,
        parameters: Row,
        *,
        id: str = "this.id",
    ) -> list[Any]:
        """Change rows, and return their ids."""
        change = self.updating(table, assignments, where, why, parameters, id=id)
        return self.write((change, 0))[0]

    def updating(
        self,
        table: str,
        assignments: Mapping[str, str],
        where: str,
        why: str,
        parameters: Row,
        *,
        done: str = "true",
        id: str = "this.id",
    ) -> Change:
        """What changes rows."""
        return updating(
            self.product.tables[table],
            assignments,
            where,
            why=why,
            parameters=parameters,
            returning={"id": id, "done": f"({done})"},
        )

    def delete(
        self, table: str, where: str, why: str, parameters: Row, *, id: str = "this.id"
    ) -> list[Any]:
        """Delete rows and return their ids."""
        return self.write((self.deleting(table, where, why, parameters, id=id), 0))[0]

    def deleting(
        self, table: str, where: str, why: str, parameters: Row, *, id: str = "this.id"
    ) -> Change:
        """What deletes rows."""
        return deleting(
            self.product.tables[table],
            where,
            why=why,
            parameters=parameters,
            returning={"id": id, "done": "true"},
        )


def insist(found: Collection[Any], meant: Collection[Any], table: str) -> None:
    """Insist that the rows written are those meant; raises Refused, which rolls back."""
    if set(found) != set(meant):
        raise confirmation.unwritten(table, len(set(meant) ^ set(found)))


@contextlib.contextmanager
def reading(connection: Connection) -> Iterator[Transaction]:
    """The caller's transaction, else one of its own, for reading. Takes no row lock."""
    if own(connection):
        with snapshot(connection):
            yield Transaction(connection, read_product(connection))
        return
    product = read_product(connection)
    yield Transaction(connection, product)
    set_parameters(connection, product.before, local=True)


def own(connection: Connection) -> bool:
    """Whether nobody has begun a transaction, so that ours must."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    return connection.autocommit and idle


@contextlib.contextmanager
def writing(
    connection: Connection,
    kind: str,
    *,
    actor: str | None = None,
    recorded: bool = True,
    restoring: bool = True,
) -> Iterator[Transaction]:
    """The caller's transaction, with the election lock and a run in the journal.

    `actor` is the id or the name of a user of the product, or any other name, which only
    the journal keeps. Raises Refused for an id that no user has, for another isolation
    than READ COMMITTED (what is read after a lock must be newer than it), and where the
    database would not do what is written; and what `journal.require_journal` raises.
    With `restoring`, parameters are restored at the end, for the rest of the transaction.
    """
    require_transaction(connection)
    lock_election(connection)
    product = read_product(connection)
    _refuse(product)
    written = current().writable.keys() & product.tables.keys()
    require_writable(product.tables[name].relation for name in sorted(written))
    user = _user(Transaction(connection, product), actor)
    run = None
    if recorded:
        try:
            run = journal.begin_run(connection, kind, actor=actor)
        except Incomplete as error:
            error.hint = f"{error.hint}; or do without a record: --no-journal"
            raise
    yield Transaction(connection, product, user, Recorder(connection, run))
    if restoring:
        set_parameters(connection, product.before, local=True)


def _refuse(product: Product) -> None:
    if product.isolation != "read committed":
        raise Refused(
            f"this transaction is {product.isolation}, and its snapshot is older than the "
            "locks: changes that others make meanwhile would be missed",
            hint="begin it with: begin isolation level read committed",
        )
    if product.replication != "origin":
        raise Refused(
            f"session_replication_role is {product.replication}: foreign keys and triggers "
            "would not fire, and users' keys would stay behind their provider",
            hint="connect with PGOPTIONS='-c session_replication_role=origin'",
        )
    if product.rules:
        raise Refused(
            f"the rule {product.rules[0]} changes what is written there",
            hint="drop the rule first; a trigger can do the same",
        )


def _user(tx: Transaction, actor: str | None) -> uuid.UUID | None:
    if actor is None:
        return None
    known = tx.has("users", "id", "username", "deleted") and tx.one(
        "select oid from pg_catalog.pg_class where oid = %(oid)s::pg_catalog.oid and "
        "pg_catalog.has_table_privilege(oid, 'select'::pg_catalog.text)",
        oid=tx.product.tables["users"].relation.oid,
    )
    try:
        id = uuid.UUID(actor)
    except ValueError:
        if not known:
            return None
        query = f"""
            select id from {tx.sql("users")}
            where username = %(name)s and not deleted order by id
        """  # noqa: S608 - a name from the catalogs
        found = tx.rows(query, name=actor)
        return found[0]["id"] if len(found) == 1 else None
    exists = f"select id from {tx.sql('users')} where id = %(id)s" if known else ""  # noqa: S608
    if exists and not tx.rows(exists, id=id):
        raise Refused(
            f"no user has the id {id}",
            hint="name the actor by the id or name of a user, or by any other name",
        )
    return id
