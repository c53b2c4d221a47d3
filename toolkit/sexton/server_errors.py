"""What the server says when it refuses, in one sentence, with Sexton's exit code.

Whose fault it is decides: the user's, the server's or a trigger's word is no bug of ours.
"""

import re

import psycopg
from psycopg import errors

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
from sexton.text.printable import printable
from sexton.text.redaction import redact

BUSY_STATES = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
MISSING = (  # which may be the database's fault, or ours
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedObject,
    errors.InvalidSchemaName,
)
GRANTS = (
    "to see which rights are needed: sexton grants auditor --to ROLE, for it reads; "
    "deployer for a change of the schema, repairer for one of rows"
)
ENCODING = "the value must be repaired first: UTF-8 cannot say what the server has there"
# By SQLSTATE, or its first two characters; a message is written only where it helps.
STATES: dict[str, tuple[type[SextonError], str, str | None]] = {
    "53300": (Busy, "too many connections: ", "try again, or with fewer --jobs"),
    "57014": (
        Incomplete,
        "",
        "raise the timeout that it met, or find who canceled it",
    ),
    "25P03": (Incomplete, "the server ended the session: ", "raise that timeout"),
    "25P04": (Incomplete, "the server ended the session: ", "raise transaction_timeout"),
    "57P05": (Incomplete, "the server ended the session: ", "raise idle_session_timeout"),
    "42501": (Incomplete, "", GRANTS),
    "28": (Incomplete, "", "name a role that may log in here: in --url, or PGUSER"),
    "22021": (Incomplete, "", ENCODING),
    "22P05": (Incomplete, "", ENCODING),
    "42809": (WrongSchema, "", "sexton status says what the database has"),
    "42P07": (Refused, "the database refused: ", "whose is it? drop or rename it first"),
    "42710": (Refused, "the database refused: ", "whose is it? drop or rename it first"),
    "0A": (Refused, "the database refused: ", None),
    "22": (Refused, "the database refused a value: ", None),
    "23": (Refused, "the database refused: ", None),
    "27": (Refused, "the database refused: ", None),
    "2B": (Refused, "the database refused: ", None),
    "38": (Refused, "the database's own code refused: ", None),
    "39": (Refused, "the database's own code refused: ", None),
    "44": (Refused, "the database refused: ", None),
    "55": (Refused, "the database refused: ", None),
    "P0": (Refused, "the database's own code refused: ", None),
    "53": (Incomplete, "the server lacks something: ", "help the server, and try again"),
    "54": (Incomplete, "beyond what the server can do: ", None),
    "58": (Incomplete, "the server failed: ", "its log says more"),
    "XX": (Incomplete, "the server failed: ", "its log says more"),
}


def to_sexton_error(error: psycopg.Error) -> SextonError:
    """Say a server's error in one sentence, with Sexton's exit code."""
    if was_interrupted(error):
        return Incomplete("interrupted; what was not committed is undone")
    said = printable(redact(error.diag.message_primary or last_line(str(error))))
    if isinstance(error, BUSY_STATES):
        return Busy(f"busy: {said}")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return WrongServer(
            f"nothing can be written here: {said}",
            hint="connect to the primary server; on it, to let this role write: "
            "PGOPTIONS='-c default_transaction_read_only=off'",
        )
    state = error.sqlstate or ""
    if state not in ("57014", "42501") and _in_database_code(error):
        return Refused(f"the database's own code refused: {said}")
    if isinstance(error, MISSING):
        return _missing(error, said)
    kind, before, hint = STATES.get(state) or STATES.get(state[:2]) or (None, "", None)
    if kind:
        return kind(before + said, hint=hint)
    if not state and isinstance(error, psycopg.DataError):
        return UsageError(f"not a value for the database: {said}")
    if isinstance(error, psycopg.OperationalError):
        return ConnectionFailed(f"the connection broke: {said}")
    return Unexpected(f"{type(error).__name__}: {said}")


def _in_database_code(error: psycopg.Error) -> bool:
    """Whether a function of the database's own, such as a trigger's, has failed."""
    context = error.diag.context or ""
    return bool(re.search(r"^(PL/\w+|SQL) function ", context, re.MULTILINE))


def _missing(error: psycopg.Error, said: str) -> SextonError:
    """What is not there: the project's, and so the database is another one; or a slip."""
    from sexton.project import BUILT_IN, current

    project = current()
    known = {
        name
        for check in project.checks.values()
        for table, columns in check.reads.items()
        for name in (table, *columns)
    }
    message = error.diag.message_primary or ""
    named = re.findall(r"[\"«„]([^\"»“]+)[\"»“]|\bcolumn ([\w.]+)", message)
    names = {name for pair in named for name in pair if name}
    if (
        project.name not in BUILT_IN  # its predicates are its own
        or any(name.split(".")[0] == "sexton" for name in names)
        or known.intersection(name.rpartition(".")[2] for name in names)
    ):
        return WrongSchema(said, hint="sexton status says what the database has")
    return Unexpected(f"{type(error).__name__}: {said}")


def last_line(text: str) -> str:
    """The last of libpq's lines that is a fact, without its question."""
    return _facts(text)[-1]


def _facts(text: str) -> list[str]:
    """libpq's lines, one for each address and way that it tried; at least one."""
    said = [line for line in map(str.strip, text.splitlines()) if line]
    facts = [line for line in said if not line.startswith(("Is the server", "Multiple"))]
    prefix = re.compile(r"^(- host.*?: |connection (failed|is bad): )*")
    return [prefix.sub("", fact) for fact in facts] or ["no reason given"]


# libpq keeps the SQLSTATE of a refused connection to itself, so its words must do.
REFUSALS = (
    (
        r"too many (clients|connections)|connection slots are reserved"
        r"|no more connections allowed",
        "try again, or with fewer --jobs",
    ),
    (
        r"password authentication failed|no password supplied|SASL authentication failed",
        "check user and password: in --url, PGPASSWORD or .pgpass",
    ),
    (r'database ".*" does not exist|no such database', "check the name of the database"),
    (r'role ".*" does not exist', "check the name of the user"),
    (r"pg_hba\.conf", "the server's pg_hba.conf does not let this user in from here"),
    (r"SSL|sslmode|certificate", "check sslmode and sslrootcert"),
    (
        r'service ".*" not found|service file ".*"',
        "name a service of pg_service.conf: service= in --url, or PGSERVICE",
    ),
    (
        r"configuration parameter|connect_timeout|invalid .*value",
        "check the options: in --url, or PGOPTIONS, PGCONNECT_TIMEOUT and their like",
    ),
    (
        r"the database system is|not (currently|yet) accepting connections",
        "try again in a moment",
    ),
)


def to_connection_error(text: str, where: str) -> SextonError:
    """Say why no connection could be had; `where` is the hint if nothing fits better.

    After an encrypted attempt libpq may try without encryption, and fails for another
    reason: the first of REFUSALS counts, not the last attempt.
    """
    facts = [printable(fact) for fact in _facts(text)]
    for number, (pattern, hint) in enumerate(REFUSALS):
        for said in facts:
            if re.search(pattern, said):
                kind: type[SextonError] = ConnectionFailed if number else Busy
                return kind(f"cannot connect: {said}", hint=hint)
    return ConnectionFailed(f"cannot connect: {facts[-1]}", hint=where)
