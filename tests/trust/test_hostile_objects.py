"""Nobody else's code runs: every name that our statements use is a trap: none springs."""

import contextlib
import os

import pytest

from sexton.database import connect
from tests.conftest import origin
from tests.support.commands import KEY, SCENES, WHERE
from tests.support.commands import play as type_line
from tests.support.statements import recording, tell_parse_trees
from tests.support.traps import INTRUDER, SPRUNG, Traps, plant


@pytest.fixture(scope="module")
def intruder(administrator):
    """A role that may create objects in public, and nothing else."""
    administrator.execute(f"create role {INTRUDER}")
    yield INTRUDER
    administrator.execute(f"drop role {INTRUDER}")


@pytest.fixture(scope="module")
def canaries(tmp_path_factory):
    """Where traps write that they were sprung."""
    directory = tmp_path_factory.mktemp("canaries")
    directory.parent.chmod(0o711)
    directory.chmod(0o777)
    return directory


@contextlib.contextmanager
def beside(scene, url):
    """The other session of a scene that has one, for as long as its commands run."""
    if not scene.beside:
        yield
        return
    with contextlib.closing(connect(url, name="beside")) as other:
        other.execute("set debug_print_parse = off")
        with other.transaction():
            other.execute(scene.beside)
            yield


@pytest.fixture(scope="module")
def played(administrator, template, tmp_path_factory, canaries, intruder):
    """Play a scene on a fresh database: its exit codes, and the traps that were sprung.

    What statements use is recorded where nothing is to be done `before`.
    """
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("SEXTON_TEST_KEY", KEY)
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr("sexton.database.ATTEMPTS", 1)
    names = []

    def play(scene, recorder, before=None):
        directory = tmp_path_factory.mktemp("scene")
        name = f"sexton_trust_{os.getpid()}_{len(names)}"
        administrator.execute(f"create database {name} template {template(scene.revision)}")
        names.append(name)
        url = origin().url(name)
        for variable in (WHERE, "DATABASE_URL"):
            monkeypatch.setenv(variable, url)
        if not before:
            tell_parse_trees(administrator, name)
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute(
                "set client_min_messages = warning; set debug_print_parse = off"
            )
            scene.prepare(connection)
            if before:
                before(connection)
        codes = []
        with beside(scene, url):
            for command in scene.commands(directory):
                code = type_line(command, url)
                said = " ".join(command).replace(str(directory), "DIR")
                codes.append((said, code, [file.name for file in canaries.iterdir()]))
                for file in canaries.iterdir():
                    file.unlink()
        if not before:
            with contextlib.closing(connect(url, name="tests")) as connection:
                recorder.settle(connection)
        return codes

    yield play
    monkeypatch.undo()
    for name in names:
        administrator.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def heard(played):
    """What the statements of all scenes use, and each command's exit code."""
    with recording(pytest.MonkeyPatch()) as recorder:
        codes = {scene.name: played(scene, recorder) for scene in SCENES}
    return recorder, codes


@pytest.fixture(scope="module")
def traps(heard, administrator, canaries):
    recorder, _ = heard
    return Traps(administrator, canaries).of(recorder.uses, recorder.raw)


def test_the_recording_hears_what_statements_use(heard, traps):
    recorder, codes = heard
    assert recorder.trees > 1000
    assert len(traps) > 300
    assert not [line for lines in codes.values() for line in lines if line[1] == 70]


@pytest.mark.parametrize("path", [None, "public, pg_catalog"], ids=["", "last"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_no_trap_springs(scene, path, heard, traps, played):
    """Also if the database's own search_path has pg_catalog last."""

    def before(connection):
        plant(connection, traps)
        if path:
            name = connection.info.dbname
            connection.execute(f"alter database {name} set search_path = {path}")

    with recording(pytest.MonkeyPatch()) as recorder:
        codes = played(scene, recorder, before)
    assert {said for said in recorder.warnings if SPRUNG in said} == set()
    labels = list(traps)
    assert [labels[int(number)] for *_, numbers in codes for number in numbers] == []
    assert codes == heard[1][scene.name]
