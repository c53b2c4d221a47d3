"""What a check is: data plus one sentence of wisdom.

A check's module has the name of the check. Its docstring is its explanation: the bad
state in one sentence; how it comes about and what breaks; what the repair does and loses,
or what a person must decide.
"""

import enum
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString


class Severity(enum.StrEnum):
    """How bad a finding is; `audit --fail-on` compares by this order."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Check:
    """A rule about the data.

    `find` returns one row an offence, ordered by `key`: the key columns, and whatever
    `message` names. `reads` says which tables and columns must be there; where one is
    absent, the check is skipped. `parent` is the table that a reference points to: were
    it empty or hidden, every row would look like an orphan.

    `repair` returns one row for each row to change: `table`, `key` (jsonb), `change`
    (jsonb, `{column: [before, after]}`, where the text `now` stands for the time of the
    deed) and `why`. `decide` says what a person must decide where `repair` does not
    apply; `brings` names checks whose repair must follow this one's.
    """

    module: str
    severity: Severity
    table: str
    key: tuple[str, ...]
    message: str
    reads: Mapping[str, tuple[str, ...]]
    find: LiteralString
    parent: str | None = None
    repair: LiteralString | None = None
    decide: str | None = None
    brings: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The name of the check, which is the name of its file."""
        return self.module.rpartition(".")[2]

    @property
    def explanation(self) -> str:
        """The module's docstring."""
        return inspect.cleandoc(sys.modules[self.module].__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the explanation: the bad state as a sentence."""
        return self.explanation.partition("\n")[0]
