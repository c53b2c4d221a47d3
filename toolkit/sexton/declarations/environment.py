"""The team's own Alembic environment, which the project file names by `alembic`."""

import configparser
import os
import re
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sexton.errors import UsageError
from sexton.ownership import changeable
from sexton.project import Project
from sexton.text.printable import shown


def own_environment(project: Project) -> Config:
    """Alembic's configuration of the project's `alembic`, an ini file or pyproject.toml.

    Raises UsageError where the project names none, or where it cannot be read.
    """
    file = project.alembic
    if file is None:
        raise UsageError(
            f"{project.file or project.name} names no Alembic environment, so there are "
            "no revisions",
            hint='write alembic = "alembic.ini" into it; docs/upgrade.md says the rest',
        )
    where = f"{project.file}: alembic"
    if not file.is_file():
        raise UsageError(
            f"{where}: there is no file {file}",
            hint="name the team's alembic.ini; `alembic init` makes one",
        )
    toml = file.suffix == ".toml"
    config = Config(toml_file=str(file)) if toml else Config(str(file))
    try:
        for folder in _import_folders(config) if project.unasked else ():
            if why := changeable(folder):
                raise _not_ours(file, why)
        script = ScriptDirectory.from_config(config)
        for named in (script.dir, *script._version_locations) if project.unasked else ():
            if why := changeable(Path(str(named)), within=True):
                raise _not_ours(file, why)
    except (CommandError, configparser.Error, ValueError, OSError) as error:
        said = str(error).splitlines()[0]
        raise UsageError(
            f"{where}: {file}: {said}", hint="`alembic heads` says the same"
        ) from None
    return config


def _import_folders(config: Config) -> list[Path]:
    """The folders from which env.py imports: `prepend_sys_path`."""
    option = getattr(config, "get_alembic_option", config.get_main_option)
    value = option("prepend_sys_path") or ""
    names = value if isinstance(value, list) else re.split(rf"[\s,{os.pathsep}]+", value)
    return [Path(str(name)) for name in names if name]


def _not_ours(file: Path, why: str) -> UsageError:
    return UsageError(
        f"{shown(file)} is not used unasked: {why}",
        hint="if you trust it: sexton --config FILE …, with the project file that names it",
    )
