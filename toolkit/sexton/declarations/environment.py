"""The team's own Alembic environment, which the project file names by `alembic`."""

import configparser

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sexton.errors import UsageError
from sexton.project import Project


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
        ScriptDirectory.from_config(config)
    except (CommandError, configparser.Error, ValueError, OSError) as error:
        said = str(error).splitlines()[0]
        raise UsageError(
            f"{where}: {file}: {said}", hint="`alembic heads` says the same"
        ) from None
    return config
