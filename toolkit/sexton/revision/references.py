"""The keys that declared references lack or have against the declaration, and indexes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sexton.catalog.relations import Relation
from sexton.database import Connection
from sexton.errors import Refused
from sexton.online.indexes import Index
from sexton.online.keys import Key
from sexton.online.operations import CreateForeignKeyOnline, CreateIndexOnline
from sexton.online.tables import Table
from sexton.reference import Declarations, Reference
from sexton.revision import catalog
from sexton.revision.change import Change, change
from sexton.revision.columns import table_of
from sexton.revision.guards import Guards

CURE = {"null": "null", "delete": "delete"}
DONE_TO = {"null": "emptied", "delete": "deleted"}


@dataclass
class Differences:
    """Changes in the order in which a revision makes them: no instant is unprotected."""

    indexes: list[Change] = field(default_factory=list)
    keys_made: list[Change] = field(default_factory=list)
    guards_set: list[Change] = field(default_factory=list)
    guards_dropped: list[Change] = field(default_factory=list)
    keys_dropped: list[Change] = field(default_factory=list)

    def in_order(self) -> list[Change]:
        """All of them."""
        return [
            *self.indexes,
            *self.keys_made,
            *self.guards_set,
            *self.guards_dropped,
            *self.keys_dropped,
        ]


class References:
    """What a database has of declared references."""

    def __init__(
        self,
        connection: Connection,
        declared: Declarations,
        relations: Mapping[str, Relation],
        names: catalog.Names,
    ) -> None:
        self.connection, self.declared = connection, declared
        self.relations, self.names = relations, names
        self.guards = Guards(connection, declared, relations)
        self.found = Differences()
        self.indexed: set[tuple[int, frozenset[str], bool]] = set()
        self.notes: list[str] = []

    def compare(self, ref: Reference) -> None:
        """Add what a reference lacks, or has against the declaration; raises Refused."""
        set_, dropped = self.guards.changes(ref)
        keys = []
        if ref.key != "any":
            keys = catalog.keys(self.connection, ref, self.relations)
        made = self._made(ref, keys) if ref.key == "foreign" else []
        gone = []
        if ref.key == "none":
            orphans, _ = self._orphans(ref)
            gone = [_dropped(ref, key, orphans) for key in keys]
        if set_ or made:
            self._index_child(ref)
        if made:
            self._identify_parent(ref)
        self.found.keys_made += made
        self.found.guards_set += set_
        self.found.guards_dropped += dropped
        self.found.keys_dropped += gone

    def _made(self, ref: Reference, keys: list[catalog.FoundKey]) -> list[Change]:
        enforced = [key for key in keys if key.enforced]
        if any(key.valid for key in enforced):
            return []
        orphans, note = self._orphans(ref)
        if enforced:
            there = enforced[0]
            _require_plain(there, "validated")
            key = replace(there.key, orphans=orphans)
            before = "It was there, NOT VALID; downgrade leaves it valid."
            return [
                Change(
                    f"validate the foreign key {key.name} of {ref.source.table}",
                    (CreateForeignKeyOnline(**key.given),),
                    (),
                    f"{before} {note}".strip(),
                )
            ]
        self._require_tables(ref)
        key = Key(
            self.names.free(self._two(ref)[0], ref.source.columns, "fkey"),
            table_of(ref.source.table),
            table_of(ref.target.table),
            ref.source.columns,
            ref.target.columns,
            orphans=orphans,
        )
        what = f"make the foreign key {key.name} of {ref.label}"
        return [change(what, CreateForeignKeyOnline(**key.given), note)]

    def _require_tables(self, ref: Reference) -> None:
        """Insist on tables that can have such a key, made online; raises Refused."""
        child, parent = self._two(ref)
        views = [one.name for one in (child, parent) if one.kind not in ("r", "p")]
        why = f"{views[0]} is no table" if views else ""
        if child.kind == "p" and self.connection.info.server_version < 180000:
            why = f"{child.name} is partitioned, and NOT VALID needs PostgreSQL 18 there"
        if why:
            raise Refused(
                f"{ref.label} can have no foreign key: {why}",
                hint='take key = "foreign" out of that reference',
            )

    def _orphans(self, ref: Reference) -> tuple[str, str]:
        """What becomes of orphans: what is declared, where that speaks of every child."""
        live, _ = self.declared.sides(ref)
        cure = "" if live else CURE.get(ref.on_orphan, "")
        if not cure:
            return "refuse", ""
        done = DONE_TO[cure]
        return (
            cure,
            f"Orphans are {done}, as on_orphan says; the journal has each of them.",
        )

    def _two(self, ref: Reference) -> tuple[Relation, Relation]:
        return self.relations[ref.source.table], self.relations[ref.target.table]

    def _index_child(self, ref: Reference) -> None:
        """Have the children of a parent found by an index."""
        child, _ = self._two(ref)
        columns = ref.source.columns
        there = catalog.indexes(self.connection, child)
        if any(index.leads(columns) for index in there):
            return
        if child.kind == "r":
            self._build(child, table_of(ref.source.table), columns, unique=False)
        else:
            self.notes.append(
                f"no index finds the rows of {ref.source.label}, and none is built online "
                "on a partitioned table: whoever deletes a parent reads all of them"
            )

    def _identify_parent(self, ref: Reference) -> None:
        """Have a unique index that the key can refer to; raises Refused."""
        _, parent = self._two(ref)
        columns = ref.target.columns
        there = catalog.indexes(self.connection, parent)
        if any(index.identifies(columns) for index in there):
            return
        if parent.kind != "r":
            raise Refused(
                f"{ref.label} can have no foreign key: {ref.target.label} is not unique, "
                "and no index is built online on a partitioned table",
                hint=f"give {ref.target.table} a unique constraint first",
            )
        self._build(parent, table_of(ref.target.table), columns, unique=True)

    def _build(
        self, relation: Relation, table: Table, columns: tuple[str, ...], *, unique: bool
    ) -> None:
        known = (relation.oid, frozenset(columns), unique)
        if known in self.indexed:
            return
        self.indexed.add(known)
        name = self.names.free(relation, columns, "key" if unique else "idx")
        self.found.indexes.append(
            change(
                f"build the {'unique ' * unique}index {name}",
                CreateIndexOnline(**Index(name, table, columns, unique).given),
            )
        )


def _dropped(ref: Reference, there: catalog.FoundKey, orphans: str) -> Change:
    """What drops a key; `orphans` is what the way back does with them; raises Refused."""
    if there.inherited:
        raise Refused(
            f"the foreign key {there.key.name} of {ref.source.table} is inherited: it goes "
            "with that of the partitioned table alone",
            hint=f"declare the partitioned table in the place of {ref.source.table}",
        )
    _require_plain(there, "made again")
    if not there.enforced:
        raise Refused(
            f"the foreign key {there.key.name} of {ref.source.table} is NOT ENFORCED: no "
            "operation could make it again",
            hint="drop it by hand; nothing depends on it",
        )
    key = replace(there.key, orphans=orphans)
    return change(
        f"drop the foreign key {key.name} of {ref.source.table}",
        CreateForeignKeyOnline(**key.given).reverse(),
        "" if there.valid else "It is NOT VALID; downgrade makes a valid one.",
    )


def _require_plain(there: catalog.FoundKey, how: str) -> None:
    if not there.plain:
        raise Refused(
            f"the foreign key {there.key.name} of {there.key.source.name} is MATCH FULL, "
            f"or sets some of its columns alone: it cannot be {how} online",
            hint="write that part of the revision by hand",
        )
