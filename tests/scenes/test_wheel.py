"""The wheel: one name on the top level, beside whatever else a project has."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.project import HEAD, ROOT

# Enough to break whatever would import these by their bare names.
WRONG = "raise ImportError('this is the project, not Sexton')\n"


def run(*command, **how):
    """Run a command that must succeed, and return what it said."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **how
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    quiet = ("-q", "--disable-pip-version-check", "--no-deps")
    run(sys.executable, "-m", "pip", "wheel", *quiet, "-w", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture
def other(tmp_path):
    """Another project's wheel, which ships `checks/` and `migrations/` of its own."""
    built = tmp_path / "other-1.0-py3-none-any.whl"
    info = "other-1.0.dist-info"
    files = {
        "checks/__init__.py": WRONG,
        "migrations/__init__.py": WRONG,
        "migrations/env.py": WRONG,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(built, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return built


class Project:
    """Somebody's project, with packages of all the names that Sexton's sources have."""

    def __init__(self, folder):
        self.folder = folder / "project"
        for name in ("checks", "migrations", "toolkit"):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name / "__init__.py").write_text(WRONG)
        venv.create(folder / "env", with_pip=False)
        self.python = folder / "env" / "bin" / "python"
        self.site = Path(
            run(
                self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
            ).strip()
        )
        # The libraries are those of the tests; a path file's own path files are not read,
        # so the editable Sexton is not found.
        (self.site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def pip(self, *arguments):
        pip = (sys.executable, "-m", "pip", "--python", self.python, "-q")
        run(*pip, "--disable-pip-version-check", *arguments)

    def install(self, built):
        self.pip("install", "--no-deps", "--no-index", "--force-reinstall", built)

    def run(self, *command):
        environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
        environment |= {"PYTHONPATH": ".", "DATABASE_URL": "embedded:db"}
        return run(*command, cwd=self.folder, env=environment)

    def sexton(self, *arguments):
        return self.run(self.python.with_name("sexton"), *arguments)


@pytest.fixture
def project(tmp_path):
    tmp_path.chmod(0o711)
    return Project(tmp_path)


def test_there_is_one_name_on_the_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0].partition("-")[0] for name in names}
    assert top == {"sexton"}, "see [tool.hatch.build.targets.wheel] in pyproject.toml"
    for name in ("py.typed", "chat/migrations/env.py", "chat/checks/default_missing.py"):
        assert f"sexton/{name}" in names, (
            "see [tool.hatch.build.targets.wheel.force-include] in pyproject.toml"
        )


def test_it_works_beside_a_project_with_the_same_names(project, wheel, other):
    project.install(wheel)
    found = project.run(project.python, "-c", "import sexton; print(sexton.__file__)")
    assert found.startswith(str(project.site))
    project.install(other)
    project.sexton("upgrade")
    status = json.loads(project.sexton("status", "--format", "json"))
    assert status["revision"] == HEAD
    said = project.run(project.python, "-m", "sexton", "audit", "--confirm-after", "0")
    assert "32 checks" in said or "pass" in said
    project.pip("uninstall", "-y", "other")
    project.sexton("downgrade", "0002")
    project.sexton("upgrade")
    project.install(other)
    project.pip("uninstall", "-y", "sexton")
    assert (project.site / "checks" / "__init__.py").read_text() == WRONG
    assert not (project.site / "sexton").exists()


def test_plain_alembic_needs_three_lines(project, wheel):
    project.install(wheel)
    (project.folder / "alembic.ini").write_text(
        "[alembic]\nscript_location = sexton:chat/migrations\npath_separator = os\n"
    )
    alembic = "from alembic.config import main; main(['upgrade', 'head'])"
    project.run(project.python, "-c", alembic)
    assert json.loads(project.sexton("status", "--format", "json"))["revision"] == HEAD


def test_help_leads_on():
    program = "import sexton; help(sexton)"
    said = run(sys.executable, "-c", program)
    for word in ("plan_repair", "class Check", "sexton.embedded", "undo_run"):
        assert word in said, f"toolkit/sexton/__init__.py does not lead to {word}"


def test_importing_it_imports_nothing_slow():
    program = (
        "import sys, sexton\n"
        "slow = {'sqlalchemy', 'alembic', 'psycopg', 'click', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'toolkit/sexton/__init__.py imports {slow}' if slow else 0)"
    )
    run(sys.executable, "-c", program)


def test_every_public_name_is_there():
    import sexton

    for name in sexton.__all__:
        assert getattr(sexton, name, None) is not None, f"sexton/__init__.py: {name}"
        assert name in dir(sexton), f"sexton/__init__.py: __dir__ leaves out {name}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sexton.nothing  # noqa: B018
