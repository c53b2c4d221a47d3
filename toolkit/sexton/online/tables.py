"""Tables and names, as steps and catalog queries say them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sexton.catalog.relations import literal, quoted, resolve
from sexton.ddl.session import Driver
from sexton.errors import UsageError, WrongSchema
from sexton.text.printable import printable


@dataclass(frozen=True)
class Table:
    """A table by name, and by schema where that is known."""

    name: str
    schema: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where steps could not say the name."""
        for part in (self.name, self.schema or ""):
            if '"' in part or "\0" in part or ("." in part and part is not self.name):
                raise UsageError(f"no online operation can name {printable(part)!r}")
        if not self.name or ("." in self.name and not self.schema):
            raise UsageError(
                f"{printable(self.name)!r} is no name of a table",
                hint="say the schema by itself: schema=...",
            )

    def found(self, driver: Driver | None) -> "Table":
        """The same with its schema, looked up by the caller's path; offline, as it is."""
        if driver is None:
            return self
        there = resolve(driver, [self.step_name]).get(self.step_name)
        if there is None:
            raise WrongSchema(f"there is no table {printable(self.step_name)}")
        return Table(there.name, there.schema)

    @property
    def step_name(self) -> str:
        """The name in `tables` of a step."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def sql(self) -> str:
        """The name in a statement."""
        return ".".join(quoted(part) for part in (self.schema, self.name) if part)

    @property
    def rows(self) -> str:
        """The name in a step's query over its rows."""
        return quoted(self.step_name)

    @property
    def oid(self) -> str:
        """The table in a query over the catalogs."""
        return "to_regclass('" + self.step_name.replace("'", "''") + "')"


def said(text: str) -> str:
    """A sentence of a step, which is a template, from a text."""
    return printable(text).replace("{", "{{").replace("}", "}}")


def names(columns: Sequence[str]) -> str:
    """Columns in a statement."""
    return ", ".join(map(quoted, columns))


def array(texts: Sequence[str | None]) -> str:
    """Texts, or nulls, as an array in SQL."""
    values = ("null" if text is None else literal(text) for text in texts)
    return f"array[{', '.join(values)}]::text[]"


def column_where(table: Table, column: str, condition: str = "true") -> str:
    """The query that says whether a table has this column, and a condition on it holds."""
    return f"""
        exists (
            select from pg_attribute a
            where a.attrelid = {table.oid} and a.attname = {literal(column)}
              and a.attnum > 0 and not a.attisdropped and {condition}
        )
    """


def partitioned(table: Table, below: int = 0) -> str:
    """The query that returns a row where a table is partitioned, on a server before one."""
    limit = f"and current_setting('server_version_num')::int4 < {below}" if below else ""
    return f"select from pg_class where oid = {table.oid} and relkind = 'p' {limit}"
