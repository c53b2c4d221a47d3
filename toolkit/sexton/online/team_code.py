"""The boundary around a team's own code: its env.py and its revisions.

What fails in there is the team's: it is reported with the revision, the file, the line and
the statement, as incomplete (exit 3), and never as a bug in Sexton. A lock that a plain
operation could not acquire is busy (exit 6), with the sessions that block it.
"""

import contextlib
import re
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import errors
from psycopg.rows import dict_row
from sqlalchemy.exc import DBAPIError

from sexton.ddl.holders import advice
from sexton.ddl.session import Driver
from sexton.errors import (
    Busy,
    ConnectionFailed,
    Incomplete,
    Refused,
    SextonError,
    Unexpected,
    UsageError,
    WrongSchema,
    WrongServer,
    was_interrupted,
)
from sexton.postgres.blockers import BlockingSession, blocking
from sexton.server_errors import to_sexton_error
from sexton.text.printable import printable
from sexton.text.redaction import redact

CORRECT = "correct the revision, then run the same command again"
LONGEST = 300  # of a statement that is shown, in characters
BUSY = {"55P03", "40P01", "40001"}
TYPES = {"42804", "42883"}  # what the types of psycopg's parameters may bring about
POLL = 0.1


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0]


def said(error: BaseException) -> str:
    """What Python or a server says of an error, on one line."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    if primary:
        return printable(redact(primary))
    if isinstance(error, DBAPIError):
        # Of asyncpg's errors, SQLAlchemy makes "<class '…'>: message".
        return printable(redact(re.sub(r"^<class '[^']*'>: ", "", first_line(cause))))
    if isinstance(error, SystemExit):
        return printable(f"it ends the process: SystemExit: {redact(first_line(error))}")
    return printable(redact(f"{type(error).__name__}: {first_line(error)}"))


_TOKENS = re.compile(
    r"""
      (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<value>[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)|'(?:[^']|'')*(?:'|\Z))
    | (?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<body>.*?)(?:\$(?P=tag)\$|\Z))
    """,
    re.DOTALL | re.VERBOSE,
)


def without_values(sql: str) -> str:
    """A statement on one line, without comments and the texts in it, which may be secret.

    The body of a DO statement or a function is code, and stays, without its texts.
    """
    code = bool(re.match(r"\s*(do|create)\b", sql, re.IGNORECASE))

    def shown(found: re.Match[str]) -> str:
        if found["name"]:
            return found[0]
        if found["comment"]:
            return " "
        if found["value"]:
            return "'…'"
        inner = without_values(found["body"]) if code else "…"
        return f"$${inner}$$"

    words = redact(" ".join(_TOKENS.sub(shown, sql).split()))
    return printable(words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")


def require_revisions(script: ScriptDirectory) -> None:
    """Insist on revisions that can be read, each after one that exists.

    Raises Incomplete with file and line if the Python of one fails, else UsageError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Alembic's, which says it in two lines
            script.get_heads()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        at = _place(error, script)
        if at is None and isinstance(error, SyntaxError):
            at = f"{error.filename}, line {error.lineno}"
        if at:
            raise Incomplete(f"{printable(at)}: {said(error)}", hint=CORRECT) from None
        why = said(error)
        if isinstance(error, KeyError):
            why = printable(f"one follows {error.args[0]!r}, which is not there")
        raise UsageError(
            f"the revisions of {script.dir} cannot be read: {why}",
            hint="correct the file, or its down_revision; `alembic history` reads them too",
        ) from None


def _place(error: BaseException, script: ScriptDirectory) -> str | None:
    """File and line: the innermost of the team's that an error came through, if it did."""
    theirs = {Path(str(at)).resolve() for at in (script.dir, *script._version_locations)}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if theirs.intersection(Path(frame.filename).resolve().parents):
            return f"{frame.filename}, line {frame.lineno}"
    return None


@dataclass
class Boundary:
    """Around the team's code; `what` is the revision that runs, or env.py."""

    script: ScriptDirectory
    what: str = "env.py"
    watch: "LockWatch | None" = None

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Turn what fails in the block into an error of Sexton's; each error once."""
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except SextonError as error:
            if not getattr(error, "sexton_placed", False):
                error.sexton_placed = True  # type: ignore[attr-defined]
                if self.what != "env.py":
                    error.add_note(f"in {self.what}")
            raise
        except BaseException as error:
            if was_interrupted(error):
                raise
            made = self.read(error)
            made.sexton_placed = True  # type: ignore[attr-defined]
            raise made from error

    @contextlib.contextmanager
    def revision(self, number: str, file: str) -> Iterator[None]:
        """As `around`, for one revision and what Alembic commits after it."""
        self.what, self.file = f"revision {printable(number)}", file
        with self.watch or contextlib.nullcontext(), self.around():
            yield

    def read(self, error: BaseException) -> SextonError:
        """What went wrong, and where."""
        at = _place(error, self.script) or getattr(self, "file", None)
        where = printable(f"{self.what}: {at}" if at else self.what)
        if isinstance(error, psycopg.Error) and (step := _step_of(error)):
            return _of_a_step(error, f"{where}: {step}")
        server = isinstance(error, DBAPIError | psycopg.Error)
        statement = getattr(error, "statement", None)
        lines = [f"statement: {without_values(statement)}"] if statement else []
        cause: Any = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if server and state in BUSY:
            return self._busy(error, where, lines)
        if server and _is_gone(error, cause, state):
            return ConnectionFailed(
                "\n  ".join([f"the connection broke: {said(error)}", f"in {where}"])
            )
        if state in TYPES and statement and re.search(r"%\(\w+\)s::\w", statement):
            lines.append(
                "psycopg (3) sends parameters with types, psycopg2 as literals: if the "
                "revision was written for that, name it in the URL: postgresql+psycopg2://"
            )
        return Incomplete("\n  ".join([f"{where}: {said(error)}", *lines]), hint=CORRECT)

    def _busy(self, error: BaseException, where: str, lines: list[str]) -> Busy:
        found = [f"busy: {said(error)}", f"in {where}", *lines]
        hint = "run the same command again, or let it wait longer: --max-stall"
        if self.watch and self.watch.holders:
            if self.watch.table:
                found.append(f"table: {printable(self.watch.table)}")
            found += [f"blocked by {h.summary()}" for h in self.watch.holders[:3]]
            hint = advice(self.watch.driver, self.watch.holders) or hint
        return Busy("\n  ".join(found), hint=hint)


def _step_of(error: psycopg.Error) -> str | None:
    """The title of the step of an operation that failed, if it was one."""
    return getattr(error, "sexton_step", None)


def _of_a_step(error: psycopg.Error, where: str) -> SextonError:
    """What the server says of a step: the revision's own words may be in it."""
    made = of_server(error)
    if isinstance(made, Unexpected | WrongSchema):
        statement = getattr(error, "sexton_statement", None)
        lines = [f"{where}: {said(error)}"]
        lines += [f"statement: {without_values(statement)}"] if statement else []
        return Incomplete("\n  ".join(lines), hint=CORRECT)
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    made.add_note(f"in {where}")
    return made


def _is_gone(error: BaseException, cause: Any, state: str | None) -> bool:
    """Whether the connection broke, for which no revision can be blamed."""
    if getattr(error, "connection_invalidated", False) or (state or "")[:3] == "57P":
        return True
    kind = type(cause).__name__
    return state is None and kind in ("OperationalError", "InterfaceError")


def of_server(error: psycopg.Error) -> SextonError:
    """What a server says of a change of the schema."""
    if isinstance(error, errors.InsufficientPrivilege):
        return WrongServer(
            f"the role may not change the schema: {error.diag.message_primary}",
            hint="connect as the owner of the tables",
        )
    if isinstance(error, errors.DependentObjectsStillExist):
        detail = error.diag.message_detail or error.diag.message_primary
        return Refused(f"the database refused, for others depend on it: {detail}")
    return to_sexton_error(error)


def for_alembic(error: SextonError) -> SextonError:
    """The same as an error that plain `alembic` prints in a sentence, not a traceback."""
    if isinstance(error, CommandError):
        return error
    lines = [error.message, *getattr(error, "__notes__", ())]
    lines += [f"next: {error.hint}"] if error.hint else []
    kind = type(error)
    both: Any = type(kind.__name__, (kind, CommandError), {"__module__": kind.__module__})
    made: SextonError = both.__new__(both)
    vars(made).update(vars(error))
    made.args = ("\n  ".join(lines),)
    return made


@contextlib.contextmanager
def plainly(plain: bool = True) -> Iterator[None]:
    """Let plain `alembic` print what is raised in the block in a sentence."""
    try:
        yield
    except (SextonError, psycopg.Error) as error:
        if not plain:
            raise
        if isinstance(error, psycopg.Error):
            error = _of_a_step(error, _step_of(error) or "an operation")
        raise for_alembic(error) from error


@dataclass
class LockWatch:
    """Looks who blocks a session, on another connection, while the team's code runs.

    A server names neither table nor session when a lock times out, and the blocking
    session may have ended by then.
    """

    driver: Driver
    pid: int
    every: float = POLL
    holders: Sequence[BlockingSession] = ()
    table: str | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> None:
        """Begin to look."""
        self.holders, self.table = (), None
        self._end.clear()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._end.set()
        if self._thread:
            self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(self.every):
            try:
                found = blocking(self.driver, self.pid)
                if found:
                    self.holders = found
                    self.table = self._table() or self.table
            except psycopg.Error:
                return

    def _table(self) -> str | None:
        row = (
            self.driver.cursor(row_factory=dict_row)
            .execute(
                """
                select coalesce(i.indrelid, l.relation)::pg_catalog.regclass::text as name
                from pg_catalog.pg_locks l
                left join pg_catalog.pg_index i on i.indexrelid = l.relation
                where l.pid = %s and l.relation is not null
                  and (not l.granted or l.locktype = 'tuple'::text)
                limit 1
                """,
                (self.pid,),
            )
            .fetchone()
        )
        return row["name"] if row else None
