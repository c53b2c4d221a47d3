"""Conditions of the catalogs beside those that are declared."""

from sexton.catalog.relations import Relation
from sexton.catalog.tables import describe
from sexton.database import Connection
from sexton.guard.predicate import Mark, read
from sexton.guard.table import Table


class Conditions:
    """Conditions over one table, as the server's planner spells them."""

    def __init__(self, connection: Connection, relation: Relation) -> None:
        self.connection = connection
        self.table = Table(relation.schema, relation.name, relation.name)
        columns = describe(connection, {"t": relation})["t"].columns.values()
        self.types = {column.name: column.type for column in columns}

    def mark(self, condition: str) -> Mark:
        """What it says of a row; raises WrongSchema, Refused, as `predicate.read`."""
        return read(self.connection, self.table, self.types, condition)

    def spelt(self, condition: str) -> str:
        """The same for `deleted = false` and `not deleted`, whatever is in quotes."""
        text = self.mark(condition).text
        return text.removeprefix("NULLIF(").removesuffix(", false)").replace('"', "")
