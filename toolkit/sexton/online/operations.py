"""`op.…_online` for constraints and indexes, for anybody's revisions.

`import sexton.alembic` registers them. Signatures follow Alembic's own; what is dropped may
be described, as Alembic's operations remember it, so that the operation has a reverse.
Each does nothing where its result is there, prints its SQL offline, and may be killed and
run again.
"""

from collections.abc import Sequence
from typing import Any

from alembic.operations import Operations

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.online import indexes, keys
from sexton.online.operation import Online
from sexton.online.tables import Table

FOREIGN_KEY = "foreignkey"  # Alembic's word for the type of a constraint


@Operations.register_operation("create_foreign_key_online")
class CreateForeignKeyOnline(Online):
    """The operation behind `op.create_foreign_key_online`."""

    name = "create_foreign_key_online"

    def __init__(self, key: keys.Key) -> None:
        self.key = key

    @classmethod
    def create_foreign_key_online(
        cls,
        operations: Operations,
        constraint_name: str,
        source_table: str,
        referent_table: str,
        local_cols: Sequence[str],
        remote_cols: Sequence[str],
        *,
        source_schema: str | None = None,
        referent_schema: str | None = None,
        **options: Any,
    ) -> None:
        """Make a foreign key NOT VALID, see to its orphans, VALIDATE it.

        `options`: ondelete, onupdate, deferrable, initially, as in Alembic; `orphans`:
        "refuse", "null" (their columns) or "delete"; and `cascades`: whether rows of other
        tables that foreign keys would delete or empty with an orphan are deleted or emptied
        before it, which is refused by default. Raises UsageError, Refused, Busy.
        """
        source = Table(source_table, source_schema)
        referent = Table(referent_table, referent_schema)
        columns = (local_cols, remote_cols)
        key = keys.key_of(constraint_name, (source, referent), columns, **options)
        operations.invoke(cls(key))

    def build(self, driver: Driver | None) -> list[Step]:
        """NOT VALID, then VALIDATE."""
        return keys.create_key(driver, self.key)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        key = self.key
        tables = (key.source.name, key.referent.name)
        return (key.name, *tables, key.local_cols, key.remote_cols)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's, and what becomes of orphans."""
        return {
            "source_schema": self.key.source.schema,
            **_referring(self.key),
            "orphans": self.key.orphans,
            "cascades": self.key.cascades,
        }

    def reverse(self) -> "DropConstraintOnline":
        """The operation that drops it."""
        return DropConstraintOnline(self.key.name, self.key.source, FOREIGN_KEY, self.key)


def _referring(key: keys.Key) -> dict[str, Any]:
    """What a key does, as far as it is not what every key does."""
    said = {"ondelete": key.ondelete, "onupdate": key.onupdate}
    made: dict[str, Any] = {"referent_schema": key.referent.schema}
    made |= {event: how for event, how in said.items() if how != "NO ACTION"}
    made["deferrable"] = key.deferrable
    return made | ({"initially": "DEFERRED"} if key.initially == "DEFERRED" else {})


@Operations.register_operation("create_unique_online")
class CreateUniqueOnline(Online):
    """The operation behind `op.create_unique_online`."""

    name = "create_unique_online"

    def __init__(self, index: indexes.Index) -> None:
        self.index = index

    @classmethod
    def create_unique_online(
        cls,
        operations: Operations,
        constraint_name: str,
        table_name: str,
        columns: Sequence[Any],
        *,
        among: Any = None,
        schema: str | None = None,
    ) -> None:
        """Let no two rows have the same values, of those for which `among` is true.

        `columns` are names, in quotes if they are more than a word, or expressions such
        as "lower(email)". Columns of all rows get a constraint, everything else a unique
        index. Both are built CONCURRENTLY. Raises UsageError, Refused, Busy.
        """
        table = Table(table_name, schema)
        operations.invoke(cls(indexes.unique_of(constraint_name, table, columns, among)))

    def build(self, driver: Driver | None) -> list[Step]:
        """Look for duplicates, build the index, make a constraint of it."""
        return indexes.create_unique(driver, self.index)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        columns = [indexes.spelt(one) for one in self.index.columns]
        return (self.index.name, self.index.table.name, columns)

    @property
    def options(self) -> dict[str, Any]:
        """Which rows it is about, and the schema."""
        among = self.index.where
        said = None if among is None else indexes.expression(among)
        return {"among": said, "schema": self.index.table.schema}

    def reverse(self) -> "DropConstraintOnline | DropIndexOnline":
        """The operation that drops it."""
        index = self.index
        if indexes.constrains(index):
            return DropConstraintOnline(index.name, index.table, "unique", unique=index)
        return DropIndexOnline(index.name, index.table, index)


@Operations.register_operation("drop_constraint_online")
class DropConstraintOnline(Online):
    """The operation behind `op.drop_constraint_online`."""

    name = "drop_constraint_online"

    def __init__(
        self,
        constraint_name: str,
        table: Table,
        type_: str | None = None,
        key: keys.Key | None = None,
        if_exists: bool = False,
        unique: indexes.Index | None = None,
    ) -> None:
        self.constraint_name, self.table = constraint_name, table
        self.type_, self.key, self.if_exists = type_, key, if_exists
        self.unique = unique

    @classmethod
    def drop_constraint_online(
        cls,
        operations: Operations,
        constraint_name: str,
        table_name: str,
        type_: str | None = None,
        *,
        schema: str | None = None,
        referent_table: str | None = None,
        referent_schema: str | None = None,
        local_cols: Sequence[str] | None = None,
        remote_cols: Sequence[str] | None = None,
        if_exists: bool = False,
        columns: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Drop a constraint; of a foreign key, lock the parent first.

        referent_table, local_cols and remote_cols describe a foreign key: one that fits is
        dropped whatever its name here. They and the `options` of
        `create_foreign_key_online` give the operation its reverse, as `columns` do for a
        unique constraint. A constraint that does not exist is refused unless `if_exists`.
        Raises UsageError, Refused, Busy.
        """
        table = Table(table_name, schema)
        unique = indexes.unique_of(constraint_name, table, columns) if columns else None
        given = [referent_table, local_cols, remote_cols]
        key = None
        if referent_table and local_cols and remote_cols:
            tables = (table, Table(referent_table, referent_schema))
            pairs = (local_cols, remote_cols)
            key = keys.key_of(constraint_name, tables, pairs, **options)
        elif options or referent_schema or any(part is not None for part in given):
            raise UsageError(
                f"{constraint_name}: what the foreign key was is half said",
                hint="give referent_table, local_cols and remote_cols, or none of them",
            )
        operations.invoke(cls(constraint_name, table, type_, key, if_exists, unique))

    def build(self, driver: Driver | None) -> list[Step]:
        """One step, or one for each key that fits."""
        return keys.drop_constraint(
            driver,
            self.constraint_name,
            self.table,
            self.key,
            if_exists=self.if_exists,
        )

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        return (self.constraint_name, self.table.name)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's, and what the foreign key was, where that is known."""
        made: dict[str, Any] = {"type_": self.type_, "schema": self.table.schema}
        made["if_exists"] = self.if_exists
        if self.unique:
            made["columns"] = [indexes.spelt(one) for one in self.unique.columns]
        if self.key:
            made["referent_table"] = self.key.referent.name
            made["local_cols"], made["remote_cols"] = (
                self.key.local_cols,
                self.key.remote_cols,
            )
            made |= _referring(self.key)
            if self.key.orphans != "refuse":
                made["orphans"] = self.key.orphans
        return made

    def reverse(self) -> CreateForeignKeyOnline | CreateUniqueOnline:
        """The operation that makes it again; ValueError where it is not known."""
        if self.unique:
            return CreateUniqueOnline(self.unique)
        if self.key is None:
            raise ValueError(
                f"what the constraint {self.constraint_name} was is not known: where it is "
                "a foreign key, give op.drop_constraint_online its referent_table, "
                "local_cols and remote_cols (and ondelete, …), and where it is unique, its "
                "columns; nothing online makes others"
            )
        return CreateForeignKeyOnline(self.key)


@Operations.register_operation("create_index_online")
class CreateIndexOnline(Online):
    """The operation behind `op.create_index_online`."""

    name = "create_index_online"

    def __init__(self, index: indexes.Index) -> None:
        self.index = index

    @classmethod
    def create_index_online(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[Any],
        *,
        schema: str | None = None,
        unique: bool = False,
        postgresql_where: Any = None,
    ) -> None:
        """Build an index CONCURRENTLY, after dropping what is half built of it."""
        table = Table(table_name, schema)
        operations.invoke(
            cls(indexes.Index(index_name, table, tuple(columns), unique, postgresql_where))
        )

    def build(self, driver: Driver | None) -> list[Step]:
        """Drop what is half built, then build."""
        return indexes.create_index(driver, self.index)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        return (self.index.name, self.index.table.name, self.index.columns)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's."""
        index = self.index
        said = {"schema": index.table.schema, "unique": index.unique}
        return {**said, "postgresql_where": index.where}

    def reverse(self) -> "DropIndexOnline":
        """The operation that drops it."""
        return DropIndexOnline(self.index.name, self.index.table, self.index)


@Operations.register_operation("drop_index_online")
class DropIndexOnline(Online):
    """The operation behind `op.drop_index_online`."""

    name = "drop_index_online"

    def __init__(
        self,
        index_name: str,
        table: Table,
        index: indexes.Index | None = None,
        if_exists: bool = False,
    ) -> None:
        self.index_name, self.table, self.index = index_name, table, index
        self.if_exists = if_exists

    @classmethod
    def drop_index_online(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        *,
        schema: str | None = None,
        columns: Sequence[Any] | None = None,
        unique: bool = False,
        postgresql_where: Any = None,
        if_exists: bool = False,
    ) -> None:
        """Drop an index CONCURRENTLY; columns, unique and where are for its reverse.

        An index that does not exist is refused unless `if_exists`.
        """
        table = Table(table_name, schema)
        index = None
        if columns is not None:
            index = indexes.Index(
                index_name, table, tuple(columns), unique, postgresql_where
            )
        operations.invoke(cls(index_name, table, index, if_exists))

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        return indexes.drop_index(
            driver, self.index_name, self.table, if_exists=self.if_exists
        )

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        return (self.index_name, self.table.name)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's, and what the index was, where that is known."""
        made: dict[str, Any] = {"schema": self.table.schema, "if_exists": self.if_exists}
        if self.index:
            made |= {"columns": self.index.columns, "unique": self.index.unique}
            made["postgresql_where"] = self.index.where
        return made

    def reverse(self) -> CreateIndexOnline:
        """The operation that builds it; ValueError where it is not known what it was."""
        if self.index is None:
            raise ValueError(
                f"what the index {self.index_name} was is not known: give "
                "op.drop_index_online its columns (and unique, postgresql_where)"
            )
        return CreateIndexOnline(self.index)
