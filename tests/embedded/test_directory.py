"""The directory is ours, or it is left alone."""

import os
from pathlib import Path

import pytest

from sexton.embedded import SUPERUSER, Server
from sexton.errors import ConnectionFailed
from tests.support.embedded import answer, listing


def test_a_directory_of_somebody_elses_is_left_alone(directory):
    directory.mkdir()
    (directory / "precious").write_text("data")
    with pytest.raises(ConnectionFailed, match="neither empty nor"):
        Server(directory).__enter__()
    assert (directory / "precious").read_text() == "data"
    assert os.listdir(directory) == ["precious"]


@pytest.mark.parametrize(
    "scene",
    [
        *("data of photos", "data is a file", "data and more", "a cluster of others"),
        *("log", "users.lock", "data-2024", "programs", "server.json", "a lock with words"),
    ],
)
def test_nothing_of_others_is_touched(directory, scene):
    directory.mkdir()
    if scene == "data of photos":
        (directory / "data" / "photos").mkdir(parents=True)
        (directory / "data" / "thesis.txt").write_text("years of work")
    elif scene == "data is a file":
        (directory / "data").write_text("years of work")
    elif scene == "data and more":
        (directory / "data").mkdir()
        (directory / "thesis.txt").write_text("years of work")
    elif scene == "a lock with words":
        (directory / "start.lock").write_text("held by the mail client")
    elif scene == "a cluster of others":
        (directory / "data").mkdir()
        (directory / "data" / "PG_VERSION").write_text("18")
    elif scene in ("data-2024", "programs"):
        (directory / scene).mkdir()
        (directory / scene / "thesis.txt").write_text("years of work")
    else:
        (directory / scene).write_text("years of work")
    before = listing(directory.parent)
    with pytest.raises(ConnectionFailed, match=r"neither empty nor|not the server's own"):
        Server(directory).__enter__()
    assert listing(directory.parent) == before


def test_a_file_is_no_directory(directory):
    directory.write_text("a file")
    with pytest.raises(ConnectionFailed, match="is no directory"):
        Server(directory).__enter__()
    assert directory.read_text() == "a file"


@pytest.mark.parametrize("name", ["~nobody_of_that_name/db", "\udc80", "x" * 300])
def test_a_name_that_cannot_be(directory, name):
    with pytest.raises(ConnectionFailed) as failure:
        Server(directory.parent / name if "~" not in name else Path(name)).__enter__()
    assert "\udc80" not in failure.value.message


@pytest.mark.parametrize(
    "name", ["my db", "e5 host=evil.example dbname=x", "a,b", "it's \\ it", "ä?x=1&y"]
)
def test_any_name_is_just_a_name(directory, name):
    with Server(directory.parent / name) as server:
        assert answer(server) == (SUPERUSER, None)
