"""What can go wrong, each with its exit code and the next thing to type.

A class is its docstring: raised without a message, it says that sentence.
"""

import inspect

# Exit codes, as the README lists them.
DONE = 0
FINDINGS = 1
USAGE = 2
INCOMPLETE = 3
NO_CONNECTION = 4
REFUSED = 5
BUSY = 6
BUG = 70


class SextonError(Exception):
    """Sexton could not do what was asked."""

    code = REFUSED
    status: int | None = None  # the HTTP status upstream answers with, where it has one
    upstream: str | None = None  # its sentence, which documents carry as the message
    hint: str | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        status: int | None = None,
        upstream: str | None = None,
    ) -> None:
        self.message = message or inspect.cleandoc(self.__doc__ or "")
        self.hint = hint or self.hint
        self.status = status or self.status
        self.upstream = upstream or self.upstream
        super().__init__(self.message)


class UsageError(SextonError):
    """The command line makes no sense."""

    code = USAGE


class NotFound(SextonError):
    """There is no such thing here."""

    code = USAGE
    status = 404


class Incomplete(SextonError):
    """Not everything could be looked at."""

    code = INCOMPLETE


class ConnectionFailed(SextonError):
    """No connection to the database."""

    code = NO_CONNECTION


class WrongSchema(SextonError):
    """The database does not have the tables this command needs."""

    code = NO_CONNECTION


class WrongServer(SextonError):
    """This server, or this role on it, cannot be used for that."""

    code = NO_CONNECTION


class SchemaDrift(SextonError):
    """The schema contradicts the revision that the database says it has."""

    code = FINDINGS


class Refused(SextonError):
    """Refused; nothing was changed."""

    code = REFUSED


class Busy(SextonError):
    """The database is busy: a lock could not be had in the time given."""

    code = BUSY
    hint = "try again"


class RepairIncomplete(SextonError):
    """The repair did not cure what it set out to cure; nothing was kept."""

    code = INCOMPLETE


class Unexpected(SextonError):
    """A bug in Sexton."""

    code = BUG
    hint = "please report it, with the command and this line"

    def __init__(self, what: str) -> None:
        super().__init__(f"a bug in Sexton: {what}")


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error arose from an interrupt, of which it may have taken the place.

    An interrupt can leave psycopg's connection at work on a statement that nobody reads
    any more. Whoever cleans up after it then gets an error of the connection's.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
