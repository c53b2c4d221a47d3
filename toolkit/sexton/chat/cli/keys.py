"""How a key reaches a command: by file, standard input or variable, never by argument."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sexton.errors import UsageError


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--key-file` and `--key-env`."""
    key_file = click.option(
        "--key-file", metavar="FILE", help="Read the API key from FILE; - is stdin."
    )
    key_env = click.option(
        "--key-env", metavar="NAME", help="Read the API key from the variable NAME."
    )
    return key_file(key_env(command))


def read_key(key_file: str | None, key_env: str | None) -> str | None:
    """The key, without blanks around it; None where none was given. Raises UsageError."""
    if key_file and key_env:
        raise UsageError("--key-file and --key-env exclude each other")
    if key_env:
        if key_env not in os.environ:
            raise UsageError(f"the environment has no variable {key_env}")
        key = os.environ[key_env]
    elif key_file == "-":
        key = sys.stdin.read()
    elif key_file:
        try:
            key = Path(key_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text"
            raise UsageError(f"the key file {key_file} cannot be read: {reason}") from None
    else:
        return None
    key = key.removeprefix("\ufeff").strip()  # an editor's mark is no part of a key
    if not key:
        raise UsageError("the key is empty")
    return key
