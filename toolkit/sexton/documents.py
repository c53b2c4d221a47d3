"""Files that Sexton wrote, and reads again: loaded by type, each with one head.

A document is decoded straight into a Struct, so that what is missing or of another type is
refused in one place. A state file starts with its `Head`, which says what it is about; an
answer to another question is refused, never taken for an answer to this one.
"""

import datetime
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sexton.errors import Refused, UsageError
from sexton.text import exact
from sexton.text.printable import printable, shown
from sexton.text.storable import unstorable

T = TypeVar("T")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a state file is about.

    `revision` is the target as a revision, never a name such as head. `checks` has the
    digest of each check's definition. `system` is the identifier of the database's cluster,
    None if the role may not read it.
    """

    command: str
    at: datetime.datetime
    options: dict[str, Any] = {}
    revision: str | None = None
    checks: dict[str, str] = {}
    database: str | None = None
    system: str | None = None


def now() -> datetime.datetime:
    """The time for a head, in whole seconds of UTC."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def load(file: Path, kind: type[T], *, noun: str, hint: str) -> T:
    """Read a JSON document as `kind`; raises UsageError if the file is none."""
    return convert(file, read(file, noun=noun, hint=hint), kind, noun=noun, hint=hint)


def load_toml(file: Path, kind: type[T], *, noun: str, hint: str) -> T:
    """Read a TOML document as `kind`; raises UsageError if the file is none."""
    found = read(file, noun=noun, hint=hint, decode=_toml)
    return convert(file, found, kind, noun=noun, hint=hint)


def load_plain(file: Path, kind: type[Any], *, noun: str, hint: str) -> dict[str, Any]:
    """Read a document that is a `kind` as plain values, with what `kind` does not know."""
    found = read(file, noun=noun, hint=hint)
    convert(file, found, kind, noun=noun, hint=hint)
    return dict(found)


def read(
    file: Path, *, noun: str, hint: str, decode: Callable[[bytes], Any] = exact.loads
) -> Any:
    """Read a document as plain values; raises UsageError if it is none."""
    try:
        return decode(file.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot read the {noun} {shown(file)}: {error.strerror or error}", hint=hint
        ) from None
    except (ValueError, RecursionError) as error:
        raise not_one(file, noun, hint, error) from None


def convert(file: Path, found: Any, kind: type[T], *, noun: str, hint: str) -> T:
    """Plain values of a file as `kind`; raises UsageError if they are none."""
    try:
        if why := unstorable(found):
            raise ValueError(f"it holds {why}")
        return msgspec.convert(found, kind)
    except (ValueError, RecursionError) as error:
        raise not_one(file, noun, hint, error) from None


def _toml(text: bytes) -> Any:
    return tomllib.loads(text.decode())


def not_one(file: Path, noun: str, hint: str, error: Exception) -> UsageError:
    """The refusal of a file that is not what it should be."""
    said = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
    article = "an" if noun[0] in "aeiou" else "a"
    return UsageError(
        f"{shown(file)} is not {article} {noun}: {printable(said)}", hint=hint
    )


def require_same(
    file: Path, was: Head, asked: Head, *, hint: str, free: Collection[str] = ()
) -> None:
    """Refuse a file that answers another question; options in `free` may differ."""
    if said := other_question(was, asked, free):
        raise Refused(f"{shown(file)} is about {printable(said)}", hint=hint)


def other_question(was: Head, asked: Head, free: Collection[str] = ()) -> str | None:
    """How a head differs from what is asked, in words; None if it does not.

    What one of them does not know cannot be compared.
    """
    if was.command != asked.command:
        return f"sexton {was.command}, and this is sexton {asked.command}"
    for name, mine, yours in (
        ("the database", was.database, asked.database),
        ("a database in the cluster", was.system, asked.system),
        ("the revision", was.revision, asked.revision),
    ):
        if None not in (mine, yours) and mine != yours:
            return f"{name} {mine}, and this is {yours}"
    options = exact.loads(exact.dumps(asked.options))  # as a file has them
    for name in sorted({*was.options, *options} - {*free}):
        before, after = was.options.get(name), options.get(name)
        if before != after:
            return f"{name} {_value(before)}, and this is {_value(after)}"
    if changed := changed_checks(was, asked.checks):
        return f"{', '.join(changed[:3])} as it was defined then, and it has changed"
    return None


def changed_checks(was: Head, checks: Mapping[str, str]) -> list[str]:
    """The checks that a head knows by another definition."""
    return [
        name
        for name, digest in sorted(was.checks.items())
        if checks.get(name, digest) != digest
    ]


def _value(value: Any) -> str:
    return "none" if value is None else str(value)
