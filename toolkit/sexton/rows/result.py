"""What deleting and restoring rows did, or would do."""

from typing import Any, Literal

import msgspec

Key = dict[str, Any]  # by column, the value as JSON
Action = Literal["soft_delete", "delete", "null", "restore", "default"]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one table to which the same happens."""

    table: str
    action: Action
    count: int
    keys: list[Key]


class DefaultChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The default of one group: its row before and after; null if there is none."""

    table: str
    group: Key
    before: Key | None
    after: Key | None


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows because of which nothing may be changed."""

    table: str
    keys: list[Key]
    why: str


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row that was left as it is."""

    table: str
    key: Key
    why: str


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document of `sexton delete` and `sexton restore`, the same before and after."""

    schema_version: int = 1
    run: int | None
    dry_run: bool
    table: str
    changes: list[Change] = []
    defaults: list[DefaultChange] = []
    refused: list[Refusal] = []
    left: list[Left] = []


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`run` is the number in the journal, None for a preview."""

    document: Document

    @property
    def run(self) -> int | None:
        """The run in the journal; `sexton undo` and `sexton restore --run` take it."""
        return self.document.run


def schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    made = msgspec.json.schema(Document)
    title = "sexton delete|restore --format json"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": title,
    }


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
