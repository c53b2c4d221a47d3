"""The project file: `sexton.toml`, or `[tool.sexton]` in `pyproject.toml`.

It is found in the working directory or above it; docs/your-own-tables.md explains it, and
project.schema.json in the package describes it to an editor.
"""

import difflib
import fnmatch
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from sexton import derived, reference
from sexton.check import Severity
from sexton.declarations.place import located
from sexton.errors import UsageError
from sexton.ownership import require_own
from sexton.project import BUILT_IN, Project, built_in
from sexton.reference import Declarations, Default, Reference, SoftDelete, Unique
from sexton.text import durations
from sexton.text.printable import printable, shown

if TYPE_CHECKING:
    from sexton.database import Connection

OTHER = "pyproject.toml"
HINT = "docs/your-own-tables.md explains the project file"
Seconds = str | float
# The options that name files, which lie beside the project file.
FILES = {"baseline", "write_baseline", "since"}
TIMES = ("statement_timeout", "deadline", "confirm_after")


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of `sexton audit`, each by its long name."""

    format: str | None = None
    output: tuple[str, ...] | None = None
    fail_on: Literal["info", "warning", "error", "new", "never"] | None = None
    since: str | None = None
    label: str | None = None
    notify: str | None = None
    notify_format: Literal["json", "slack"] | None = None
    only_own: bool | None = None
    verbose: bool | None = None
    quiet: bool | None = None
    sample: int | None = None
    values: bool | None = None
    jobs: int | None = None
    statement_timeout: Seconds | None = None
    deadline: Seconds | None = None
    confirm_after: Seconds | None = None
    recheck: bool | None = None
    baseline: str | None = None
    write_baseline: str | None = None
    allow_additions: bool | None = None
    reason: str | None = None
    owner: str | None = None
    expires: str | None = None
    skip: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Read the times."""
        for name in TIMES:
            value = getattr(self, name)
            if isinstance(value, str):
                durations.parse(value)


class File(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole project file."""

    project: str
    extends: str | None = None
    alembic: str | None = None
    checks: tuple[str, ...] = ()
    trust_owner: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    severity: dict[str, Severity] = {}
    soft_delete: tuple[SoftDelete, ...] = ()
    reference: tuple[Reference, ...] = ()
    default: tuple[Default, ...] = ()
    unique: tuple[Unique, ...] = ()


def schema() -> dict[str, Any]:
    """The JSON schema of the project file."""
    made = msgspec.json.schema(File)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def load(file: Path, *, unasked: bool = False) -> Project:
    """The project that a file declares; raises UsageError, naming what is wrong.

    What an `unasked` file names must not be another account's to change.
    """
    name, file = file.name, _resolved(file)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(file)}: {error.strerror}", hint=HINT
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(printable(f"{file}: {error}"), hint=HINT) from None
    if name == OTHER:
        tool = document.get("tool")
        mine = tool.get("sexton") if isinstance(tool, dict) else None
        if not isinstance(mine, dict):
            raise UsageError(f"{shown(file)} has no table [tool.sexton]", hint=HINT)
        document = mine
    return _project(file, read(file, document), unasked=unasked)


def _resolved(file: Path) -> Path:
    """The file that a symbolic link names, for relative names are beside that one."""
    return file.resolve() if file.is_symlink() else file


def read(file: Path, document: Mapping[str, Any]) -> File:
    """A decoded file, validated; raises UsageError with path, value and nearest name."""
    try:
        return msgspec.convert(document, File)
    except (ValueError, RecursionError) as error:
        said = located(file, _said(document, str(error)))
        raise UsageError(said, hint=HINT) from None


STRUCTS: dict[str, Any] = {
    "soft_delete": SoftDelete,
    "reference": Reference,
    "default": Default,
    "unique": Unique,
}


def _said(document: Mapping[str, Any], error: str) -> str:
    """What is wrong, where, with which value, and what was probably meant."""
    text, _, at = error.partition(" - at `$")
    path = at.rstrip("`").lstrip(".")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        struct = STRUCTS.get(path.partition("[")[0], File)
        names = [f.name for f in msgspec.structs.fields(struct)]
        where = f"{path}.{unknown[1]}" if path else unknown[1]
        return f"{where} is not known{_near(unknown[1], names)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{path + ': ' if path else ''}`{missing[1]}` is missing"
    value = _value(document, path)
    said = f"{path}: {text[:1].lower()}{text[1:]}" if path else text
    if "enum" in text:
        return f"{path}: {value!r} is not known{_near(str(value), _choices(path))}"
    if value is None or repr(value) in text or f"`{value}`" in text:
        return said
    return said if isinstance(value, (dict, list)) else f"{said}: {value!r}"


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f": it is one of {', '.join(names)}"


def _choices(path: str) -> Sequence[str]:
    return {
        "key": ("foreign", "none", "any"),
        "on_delete": ("soft_delete", "null", "delete", "keep", "refuse"),
        "on_orphan": ("soft_delete", "null", "delete", "report", "tombstone"),
        "fail_on": ("info", "warning", "error", "new", "never"),
        "notify_format": ("json", "slack"),
    }.get(path.rpartition(".")[2], tuple(Severity))


def _value(document: object, path: str) -> object:
    """The value at a path such as `reference[2].child`; None where it leads nowhere."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            document = document[int(index) if index else name]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _project(file: Path, found: File, *, unasked: bool = False) -> Project:
    """What a file declares, beside what it extends."""
    extended = found.extends or (found.project if found.project in BUILT_IN else "")
    if extended and extended not in BUILT_IN:
        raise UsageError(
            f"{shown(file)}: extends: {extended!r} is not built in"
            f"{_near(extended, tuple(BUILT_IN))}",
            hint=HINT,
        )
    base = built_in(extended) if extended else Project(name=found.project)
    below = base.declared or Declarations()
    declared = Declarations(
        soft_delete=(*below.soft_delete, *found.soft_delete),
        reference=(*below.reference, *found.reference),
        default=(*below.default, *found.default),
        unique=(*below.unique, *found.unique),
        inherited={kind: len(getattr(below, kind)) for kind in STRUCTS},
    )
    try:
        validate(declared)
    except ValueError as error:
        raise UsageError(located(file, str(error)), hint=HINT) from None
    folder = file.absolute().parent
    if unasked and (named := [folder / name for name in _named(found)]):
        require_own(file, *named)
    made = replace(
        base,
        name=found.project,
        file=file,
        unasked=unasked,
        checks_folders=(*base.checks_folders, *(folder / name for name in found.checks)),
        alembic=folder / found.alembic if found.alembic else base.alembic,
        trust_owner=base.trust_owner | set(found.trust_owner),
        secrets=base.secrets | set(found.secrets),
        declared=declared,
        guards=(*base.guards, *derived.guards(declared)),
        severities=found.severity,
        options={
            option.name: str(folder / value) if option.name in FILES else value
            for option in msgspec.structs.fields(Options)
            if (value := getattr(found, option.name)) is not None
        },
        require=partial(_require, base, declared, file),
    )
    try:
        made.derived.keys()  # made here, and kept: an error names the file
    except ValueError as error:
        raise UsageError(located(file, str(error)), hint=HINT) from None
    for path, names in (("severity", found.severity), ("skip", found.skip or ())):
        for name in names:
            if not any(fnmatch.fnmatchcase(check, name) for check in made.checks):
                near = _near(name, tuple(made.checks))
                said = f"{path}: there is no check {name}{near}"
                raise UsageError(located(file, said), hint="sexton checks lists them")
    return made


def _named(found: File) -> list[str]:
    """What is executed of what a file names, or decides which findings count."""
    names = (found.alembic, found.baseline, found.write_baseline, found.since)
    return [*found.checks, *(name for name in names if name)]


def validate(declared: Declarations) -> None:
    """Insist on what only all entries together tell; raises ValueError."""
    softened: set[str] = set()
    for n, soft in enumerate(declared.soft_delete):
        if reference.table(soft.table) in softened:
            path = declared.path("soft_delete", n)
            raise ValueError(f"{path}.table: {soft.table} is declared twice")
        softened.add(reference.table(soft.table))
    for n, ref in enumerate(declared.reference):
        path = declared.path("reference", n)
        marked = declared.soft(ref.source.table)
        entry = "a [[soft_delete]]" if marked is None else "`set` in the [[soft_delete]]"
        for name, marks in (
            ("on_orphan", ref.soft_deletes_orphans),
            ("on_delete", ref.on_delete == "soft_delete"),
        ):
            if marks and (marked is None or not marked.marks):
                raise ValueError(
                    f"{path}.{name}: {getattr(ref, name)!r} needs {entry} of "
                    f"{ref.source.table}: how its rows are marked as deleted"
                )
        if ref.guard and not any(declared.sides(ref)):
            raise ValueError(
                f"{path}.guard: a guard leaves out the rows that do not count, and here "
                "every row of both sides counts: write `live` or `parent_live`; between "
                'two tables, key = "foreign" is a plain foreign key'
            )
    for n, unique in enumerate(declared.unique):
        if declared.soft(reference.table(unique.table)) is None:
            raise ValueError(
                f"{declared.path('unique', n)}.table: {unique.table} has no "
                "[[soft_delete]]: where every row is live, a plain unique constraint does"
            )


def _require(
    base: Project, declared: Declarations, file: Path, connection: "Connection"
) -> None:
    """Insist that the database has what is declared."""
    from sexton.declarations.tables import require

    base.require(connection)
    require(connection, declared, file)


if __name__ == "__main__":
    import sys

    text = json.dumps(schema(), indent=2, sort_keys=True)
    sys.stdout.write(text + "\n")
