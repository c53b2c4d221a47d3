"""Directories for servers."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from sexton.embedded import Server


def opened(name):
    Path(name).chmod(0o711)
    return Path(name) / "db"


@pytest.fixture
def directory():
    """The name of a directory that is to be made."""
    with tempfile.TemporaryDirectory() as name:
        yield opened(name)


@pytest.fixture(scope="session")
def stopped():
    """A directory in which a server has run: to make one takes a second each time."""
    with tempfile.TemporaryDirectory() as name:
        directory = opened(name)
        with Server(directory):
            pass
        yield directory


@pytest.fixture
def ready(directory, stopped):
    """The copy of a directory in which a server has run."""
    subprocess.run(["cp", "-a", stopped, directory], check=True)
    return directory
