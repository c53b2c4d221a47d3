"""`--also squawk`: the rules of squawk, if it is installed, for the statements that ran."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sexton.errors import Incomplete, UsageError
from sexton.rehearse.document import Instead, RehearsalFinding
from sexton.rehearse.observe import Watched
from sexton.text.printable import printable


class _Violation(msgspec.Struct):
    """What squawk's reporter `json` writes; lines are counted from 0."""

    line: int
    level: str
    message: str
    rule_name: str
    help: str | None = None


def program() -> str:
    """Where squawk is; raises UsageError if it is not installed."""
    beside = os.fspath(Path(sys.executable).parent)
    found = shutil.which("squawk", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise UsageError("squawk is not installed", hint="pip install squawk-cli")
    return found


def findings(program: str, statements: Sequence[Watched]) -> Iterator[RehearsalFinding]:
    """What squawk says of a revision's statements; its own configuration counts.

    Raises Incomplete if it fails.
    """
    lines: list[Watched] = []
    for one in statements:
        lines += [one] * (one.sql.count("\n") + 1)
    together = len({one.transaction for one in statements}) == 1
    arguments = ["--assume-in-transaction"] if together else []
    done = subprocess.run(
        [program, "--reporter", "json", *arguments],
        input="".join(f"{one.sql};\n" for one in statements),
        text=True,
        capture_output=True,
        check=False,
    )
    try:
        found = msgspec.json.decode(done.stdout or b"[]", type=list[_Violation])
    except msgspec.DecodeError:
        said = printable(done.stderr.strip().partition("\n")[0])
        raise Incomplete(f"squawk fails: {said or done.returncode}") from None
    for violation in found:
        statement = lines[min(violation.line, len(lines) - 1)]
        yield RehearsalFinding(
            code=f"squawk-{violation.rule_name}",
            severity="error" if violation.level == "Error" else "warning",
            file=statement.file,
            line=statement.line,
            message=violation.message,
            instead=Instead(text=violation.help) if violation.help else None,
        )
