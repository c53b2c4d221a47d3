"""The standard streams: a reader who leaves, a full disk or a closed stream is no crash."""

import contextlib
import datetime
import errno
import functools
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import click


class Stream(io.TextIOBase):
    """A text stream that remembers what it could not write, and goes on in silence.

    That the reader has gone, as in `sexton audit | head`, is his right: `error` stays
    None. Then, and after any error, nothing more is written.
    """

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner
        self._gone = False
        self._line = ""
        self.used = False
        self.error: OSError | None = None
        self.log_format = "text"

    def write(self, text: str) -> int:
        """Write, unless that has failed before; a log line by line, with its time."""
        self.used = self.used or bool(text)
        if self.log_format == "text":
            self._try(lambda: self._inner.write(text))
        else:
            *lines, self._line = (self._line + text).split("\n")
            self._log(lines)
        return len(text)

    def flush(self) -> None:
        """Flush, unless writing has failed before."""
        self._try(self._inner.flush)

    def end(self) -> None:
        """Write what has not become a line, and flush."""
        self._log([self._line])
        self.flush()

    def _log(self, lines: list[str]) -> None:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        for line in filter(str.strip, lines):
            if self.log_format == "json":
                document = {"time": at, "message": line}
                line = json.dumps(document, ensure_ascii=False)
            elif self.log_format == "time":
                line = f"{at} {line}"
            self._try(functools.partial(self._inner.write, line + "\n"))

    def _try(self, act: Any) -> None:
        if self._gone:
            return
        try:
            act()
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: closed by somebody
            self._gone = True
            if isinstance(error, OSError) and error.errno != errno.EPIPE:
                self.error = error
            # What is still in the buffer must not fail again at the interpreter's end.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._inner.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def isatty(self) -> bool:
        """Whether a person looks, and at text."""
        return self.log_format == "text" and self._inner.isatty()

    def fileno(self) -> int:
        """The stream's descriptor."""
        return self._inner.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._inner.encoding


@contextlib.contextmanager
def guarded() -> Iterator[tuple[Stream, Stream]]:
    """Take care of stdout and stderr; yields both."""
    before = sys.stdout, sys.stderr
    out, err = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield out, err
    finally:
        out.end()
        err.end()
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def announcing() -> Iterator[None]:
    """Write to stderr what the library announces: the locks that it waits for."""

    class Announcer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(f"sexton: {record.getMessage()}", err=True)

    log, handler = logging.getLogger("sexton.waiting"), Announcer()
    level, further = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = further


def open_missing() -> None:
    """Put /dev/null where a standard stream was closed, as by `>&-`.

    Else the next file opened, or the connection, would be taken for it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Take SIGTERM, as cron and Kubernetes send it, and a hang-up for an interrupt."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores hang-ups
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
