"""`op.…_online` for constraints and indexes, for anybody's revisions.

`import sexton.alembic` registers them. Signatures follow Alembic's own; what is dropped may
be described, as Alembic's operations remember it, so that the operation has a reverse.
Each does nothing where its result is there, prints its SQL offline, and may be killed and
run again.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, field
from typing import Any

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.online import indexes, keys
from sexton.online.operation import SAID, Online
from sexton.online.tables import Table

FOREIGN_KEY = "foreignkey"  # Alembic's word for the type of a constraint


class CreateForeignKeyOnline(Online, name="create_foreign_key_online"):
    """Make a foreign key NOT VALID, see to its orphans, VALIDATE it.

    ondelete, onupdate, deferrable and initially are as in Alembic; `orphans` is "refuse",
    "null" (their columns) or "delete"; `cascades`: whether rows of other tables that
    foreign keys would delete or empty with an orphan are deleted or emptied before it,
    which is refused by default. Raises UsageError, Refused, Busy.
    """

    constraint_name: str
    source_table: str
    referent_table: str
    local_cols: Sequence[str]
    remote_cols: Sequence[str]
    _: KW_ONLY
    source_schema: str | None = None
    referent_schema: str | None = None
    ondelete: str | None = None
    onupdate: str | None = None
    deferrable: bool | None = None
    initially: str | None = None
    orphans: str = field(default="refuse", metadata=SAID)
    cascades: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError if the arguments are no key."""
        self.key = keys.key_of(
            self.constraint_name,
            (
                Table(self.source_table, self.source_schema),
                Table(self.referent_table, self.referent_schema),
            ),
            (self.local_cols, self.remote_cols),
            **{name: self.given[name] for name in keys.OPTIONS},
        )

    def build(self, driver: Driver | None) -> list[Step]:
        """NOT VALID, then VALIDATE."""
        return keys.create_key(driver, self.key)

    def reverse(self) -> "DropConstraintOnline":
        """The operation that drops it."""
        given = self.given
        return DropConstraintOnline(
            table_name=given.pop("source_table"),
            schema=given.pop("source_schema"),
            type_=FOREIGN_KEY,
            **given,
        )


class CreateUniqueOnline(Online, name="create_unique_online"):
    """Let no two rows have the same values, of those for which `among` is true.

    `columns` are names, in quotes if they are more than a word, or expressions such
    as "lower(email)". Columns of all rows get a constraint, everything else a unique
    index. Both are built CONCURRENTLY. Raises UsageError, Refused, Busy.
    """

    constraint_name: str
    table_name: str
    columns: Sequence[Any]
    _: KW_ONLY
    among: Any = None
    schema: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if the arguments are no index."""
        table = Table(self.table_name, self.schema)
        self.index = indexes.unique_of(
            self.constraint_name, table, self.columns, self.among
        )

    def build(self, driver: Driver | None) -> list[Step]:
        """Look for duplicates, build the index, make a constraint of it."""
        return indexes.create_unique(driver, self.index)

    def reverse(self) -> "DropConstraintOnline | DropIndexOnline":
        """The operation that drops it."""
        if not indexes.constrains(self.index):
            return DropIndexOnline(**self.index.given)
        return DropConstraintOnline(
            self.constraint_name,
            self.table_name,
            "unique",
            schema=self.schema,
            columns=self.columns,
        )


class DropConstraintOnline(Online, name="drop_constraint_online"):
    """Drop a constraint; of a foreign key, lock the parent first.

    referent_table, local_cols and remote_cols describe a foreign key: one that fits is
    dropped whatever its name here. They and the options of
    `create_foreign_key_online` give the operation its reverse, as `columns` do for a
    unique constraint. A constraint that does not exist is refused unless `if_exists`.
    Raises UsageError, Refused, Busy.
    """

    constraint_name: str
    table_name: str
    type_: str | None = None
    _: KW_ONLY
    schema: str | None = None
    if_exists: bool = False
    columns: Sequence[Any] | None = None
    referent_table: str | None = None
    local_cols: Sequence[str] | None = None
    remote_cols: Sequence[str] | None = None
    referent_schema: str | None = None
    ondelete: str | None = None
    onupdate: str | None = None
    deferrable: bool | None = None
    initially: str | None = None
    orphans: str = "refuse"
    cascades: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError if a foreign key is half described."""
        self.table = Table(self.table_name, self.schema)
        self.made: CreateForeignKeyOnline | CreateUniqueOnline | None = None
        if self.columns:
            self.made = CreateUniqueOnline(
                self.constraint_name, self.table_name, self.columns, schema=self.schema
            )
        if self.referent_table and self.local_cols and self.remote_cols:
            self.made = CreateForeignKeyOnline(
                self.constraint_name,
                self.table_name,
                self.referent_table,
                self.local_cols,
                self.remote_cols,
                source_schema=self.schema,
                referent_schema=self.referent_schema,
                **{name: self.given[name] for name in keys.OPTIONS},
            )
        elif any(self.options.get(name) for name in keys.DESCRIPTION):
            raise UsageError(
                f"{self.constraint_name}: what the foreign key was is half said",
                hint="give referent_table, local_cols and remote_cols, or none of them",
            )

    def build(self, driver: Driver | None) -> list[Step]:
        """One step, or one for each key that fits."""
        return keys.drop_constraint(
            driver,
            self.constraint_name,
            self.table,
            self.made.key if isinstance(self.made, CreateForeignKeyOnline) else None,
            if_exists=self.if_exists,
        )

    def reverse(self) -> CreateForeignKeyOnline | CreateUniqueOnline:
        """The operation that makes it again; ValueError where it is not known."""
        if self.made is None:
            raise ValueError(
                f"what the constraint {self.constraint_name} was is not known: where it is "
                "a foreign key, give op.drop_constraint_online its referent_table, "
                "local_cols and remote_cols (and ondelete, …), and where it is unique, its "
                "columns; nothing online makes others"
            )
        return self.made


class CreateIndexOnline(Online, name="create_index_online"):
    """Build an index CONCURRENTLY, after dropping what is half built of it."""

    index_name: str
    table_name: str
    columns: Sequence[Any]
    _: KW_ONLY
    schema: str | None = None
    unique: bool = False
    postgresql_where: Any = None

    def __post_init__(self) -> None:
        """Raise UsageError if the arguments are no index."""
        self.index = indexes.Index(
            self.index_name,
            Table(self.table_name, self.schema),
            tuple(self.columns),
            self.unique,
            self.postgresql_where,
        )

    def build(self, driver: Driver | None) -> list[Step]:
        """Drop what is half built, then build."""
        return indexes.create_index(driver, self.index)

    def reverse(self) -> "DropIndexOnline":
        """The operation that drops it."""
        return DropIndexOnline(**self.given)


class DropIndexOnline(Online, name="drop_index_online"):
    """Drop an index CONCURRENTLY; columns, unique and where are for its reverse.

    An index that does not exist is refused unless `if_exists`.
    """

    index_name: str
    table_name: str
    _: KW_ONLY
    schema: str | None = None
    if_exists: bool = False
    columns: Sequence[Any] | None = None
    unique: bool = False
    postgresql_where: Any = None

    def __post_init__(self) -> None:
        """Raise UsageError for what is no name of a table."""
        self.table = Table(self.table_name, self.schema)

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        return indexes.drop_index(
            driver, self.index_name, self.table, if_exists=self.if_exists
        )

    def reverse(self) -> CreateIndexOnline:
        """The operation that builds it; ValueError where it is not known what it was."""
        if self.columns is None:
            raise ValueError(
                f"what the index {self.index_name} was is not known: give "
                "op.drop_index_online its columns (and unique, postgresql_where)"
            )
        given = self.given
        del given["if_exists"]
        return CreateIndexOnline(**given)
