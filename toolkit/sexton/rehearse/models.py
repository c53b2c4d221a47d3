"""The models of the base: what the application that still runs during a deploy uses.

They are imported in a process of their own, from a copy of the base's files, since a module
cannot be imported in two versions.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy import MetaData

from sexton.errors import Incomplete
from sexton.postgres.connect import connect
from sexton.rehearse.newer import git
from sexton.rehearse.observe import named
from sexton.rehearse.place import redirected
from sexton.text.printable import printable
from sexton.upgrade.own import point, quietly, run_env

Used = Mapping[str, frozenset[str]]  # the columns of each table


def at(tree: str, config: Config, sockets: Path, database: str) -> Used:
    """The tables and columns of the models at a commit of the environment's repository.

    Raises Incomplete if they cannot be imported.
    """
    file = Path(config.config_file_name or str(config.toml_file_name)).resolve()
    top = Path(_git(file.parent, "rev-parse", "--show-toplevel").decode().strip())
    with tempfile.TemporaryDirectory(prefix="sexton-") as folder:
        copy = Path(folder)
        packed = io.BytesIO(_git(top, "archive", "--format=tar", tree))
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(copy, filter="data")

        def moved(path: Path) -> Path:
            return copy / path.resolve().relative_to(top)

        within = [Path(p) for p in sys.path if Path(p).resolve().is_relative_to(top)]
        arguments = [moved(file), sockets, database, *map(moved, within)]
        here = Path.cwd()
        done = subprocess.run(
            [sys.executable, "-m", __name__, *map(str, arguments)],
            cwd=moved(here) if here.is_relative_to(top) else moved(file.parent),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
        raise Incomplete(f"the models at {tree[:12]} cannot be imported: {said[-1]}")
    return {name: frozenset(columns) for name, columns in json.loads(done.stdout).items()}


def _git(folder: Path, *arguments: str) -> bytes:
    found = git(folder, *arguments)
    if found is None:
        raise Incomplete(f"git {arguments[0]} fails in {printable(str(folder))}")
    return found


def _main(file: str, sockets: str, database: str, *folders: str) -> None:
    """Print the tables of an environment's target_metadata, with their columns, as JSON."""
    config = Config(toml_file=file) if file.endswith(".toml") else Config(file)
    found: dict[str, list[str]] = {}

    def look(_context: Any, configured: dict[str, Any], *_: object) -> None:
        target = configured.get("target_metadata")
        each = [target] if isinstance(target, MetaData) else target or []
        for table in (table for one in each for table in one.tables.values()):
            name = named(table.schema or "public", table.name)
            found[name] = [column.name for column in table.columns]

    sys.path[:0] = folders
    config.attributes["look"] = look
    with quietly(), redirected(Path(sockets), database):
        url = f"postgresql://{os.environ['PGUSER']}@/{database}?host={sockets}&port=5432"
        with contextlib.closing(connect(url, name="sexton rehearse")) as connection:
            point(config, connection)
        run_env(config, "look", "heads")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
