"""Files that others read while we write: replaced whole, never half."""

import contextlib
import os
import tempfile
from pathlib import Path

from sexton.errors import UsageError


def replace_file(file: Path, text: str) -> None:
    """Write to a temporary name beside the file, then rename; raises UsageError."""
    temporary = None
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
        number, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with open(number, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, file)
    except OSError as error:
        if temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        raise UsageError(
            f"cannot write {file}: {error.strerror}", hint="name a file you may write"
        ) from None
