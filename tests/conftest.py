"""A real PostgreSQL for every test that touches data.

From TEST_DATABASE_URL, else a testcontainer where Docker answers, else the embedded one;
TEST_POSTGRES_PROGRAMS names the installation of an embedded one.
Each test gets a database of its own, cloned from a migrated template.
"""

import contextlib
import functools
import gc
import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.database import Connection, connect
from sexton.embedded import Server
from sexton.project import current, use
from sexton.upgrade.run import upgrade
from tests.support import guards as guard
from tests.support.audits import SLEEPER
from tests.support.environments import ENV
from tests.support.tools import Cli, add_chat, add_model, add_provider
from tests.support.upstream import build_upstream

# Durability is not what these tests are about; the crash tests start their own server.
SETTINGS = {
    "fsync": "off",
    "max_connections": "200",
    "max_prepared_transactions": "10",
    "autovacuum_naptime": "1d",
}

# Each test copies a database, and on a disk the copying takes most of the time.
MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes; the tests fill about a quarter of them
if (
    MEMORY.is_dir()
    and shutil.disk_usage(MEMORY).free > ROOM
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
):
    tempfile.tempdir = str(MEMORY)

# The tests are not polluted by the environment.
TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL")
for variable in [v for v in os.environ if v.startswith("PG") or v == "DATABASE_URL"]:
    del os.environ[variable]


@dataclass
class Origin:
    """Where the tests' server comes from."""

    name: str
    address: str

    def url(self, database: str) -> str:
        """The connection string of one of its databases."""
        return conninfo.make_conninfo(self.address, dbname=database)


_stack = contextlib.ExitStack()
_origin: Origin | None = None
_number = itertools.count()


def origin() -> Origin:
    """The server, started at the first call."""
    global _origin
    if _origin is None:
        _origin = _start()
    return _origin


def _start() -> Origin:
    if TEST_DATABASE_URL:
        return Origin("TEST_DATABASE_URL", TEST_DATABASE_URL)
    programs = os.environ.get("TEST_POSTGRES_PROGRAMS")
    if not programs and docker_answers():
        try:
            from testcontainers.community.postgres import PostgresContainer
        except ImportError:  # before 4.15
            from testcontainers.postgres import PostgresContainer

        image = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17-alpine")
        options = [part for k, v in SETTINGS.items() for part in ("-c", f"{k}={v}")]
        container = PostgresContainer(image, driver=None)
        container.with_command(["postgres", *options])
        started = _stack.enter_context(container)
        return Origin(f"testcontainers {image}", started.get_connection_url())
    found = Path(programs) if programs else None
    made = Server(own_directory() / "db", settings=SETTINGS, programs=found)
    server = _stack.enter_context(made)
    return Origin("embedded", server.url())


def own_directory() -> Path:
    """A directory of this run alone."""
    own = tempfile.TemporaryDirectory(prefix="sexton-")  # short: sockets lie in it
    directory = Path(_stack.enter_context(own))
    directory.chmod(0o711)
    return directory


def docker_answers() -> bool:
    """Whether a Docker engine is there to start containers."""
    import docker
    import requests

    with warnings.catch_warnings():
        # Where nobody answers, docker-py drops its socket without closing it.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with contextlib.closing(docker.from_env(timeout=5)) as client:
                return bool(client.ping())
        except (docker.errors.DockerException, requests.RequestException):
            return False
        finally:
            gc.collect()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a part of the tests run: every Nth by a hash of its name."""
    parser.addoption(
        "--every", type=int, default=1, metavar="N", help=pytest_addoption.__doc__
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    every = config.getoption("--every")
    items[:] = [i for i in items if zlib.crc32(i.nodeid.encode()) % every == 0]
    items.sort(key=lambda item: item.path.parent.name not in ("scenes", "trust"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep together what shares a module's fixture; let all else run where there is room.

    (`--dist loadgroup` groups nothing under pytest 9.2, which has no `_nodeid`.)
    """
    if config.option.dist != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        @functools.cache  # noqa: B019 - lives as long as the run
        def _shared(self, file: str) -> bool:
            return 'scope="module"' in (config.rootpath / file).read_text()

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if self._shared(file) else nodeid

    return ByFixture(config, log)


def pytest_report_header() -> str:
    """Say which server the tests run on."""
    server = origin()
    with psycopg.connect(server.address) as connection:
        version = connection.info.parameter_status("server_version")
    return f"postgresql: {version} ({server.name})"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' files apart from other runs'.

    Each run of pytest shuts the directory that all of them share by default against other
    accounts, and thereby the servers of a run beside it out of their own.
    """
    # A worker of several ignores Ctrl-C, and so would the commands that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None:
        config.option.basetemp = str(own_directory() / "tmp")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Stop the server, before a worker of several says that it has finished."""
    _stack.close()


def pytest_unconfigure() -> None:
    """Stop the server where no session began."""
    _stack.close()


@pytest.fixture(autouse=True)
def same_project() -> Iterator[None]:
    """Leave no test another project in use than the one before had."""
    before = current()
    yield
    use(before)


@pytest.fixture(scope="session")
def administrator() -> Iterator[psycopg.Connection]:
    """A superuser's connection to the server's own database."""
    with psycopg.connect(origin().address, autocommit=True) as connection:
        yield connection


# Tests count runs, and see the journal made: their database comes without one.
WITHOUT_JOURNAL = """
    drop table sexton.changes, sexton.runs;
    drop function sexton.stamp_run, sexton.stamp_change, sexton.keep_run;
"""


@pytest.fixture(scope="session")
def template(administrator) -> Iterator[Callable[[str], str]]:
    """Make, once, a database at a revision, `empty` or `upstream`, to clone from."""
    made: dict[str, str] = {}

    def make(revision: str) -> str:
        if revision not in made:
            name = f"sexton_template_{revision}_{os.getpid()}"
            administrator.execute(f"create database {name}")
            url = origin().url(name)
            if revision == "upstream":
                with contextlib.closing(connect(url, name="tests")) as connection:
                    build_upstream(connection)
            elif revision != "empty":
                with contextlib.closing(connect(url, name="tests")) as connection:
                    upgrade(connection, revision)
                    connection.execute(WITHOUT_JOURNAL)
            made[revision] = name
        return made[revision]

    yield make
    for name in made.values():
        drop(administrator, name)


def drop(administrator: psycopg.Connection, name: str) -> None:
    """Drop a database, once those who have just left it are gone, or in spite of them.

    The server itself looks for them every 100 ms only.
    """
    here = "select from pg_stat_activity where datname = %s"
    for _ in range(25):
        left = not administrator.execute(here, [name]).fetchone()
        time.sleep(0.002)
        if left:
            break
    administrator.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(administrator, template) -> Iterator[Callable[[str], str]]:
    """Make a fresh database at a revision, and return its connection string."""
    names = []

    def make(revision: str = "head") -> str:
        name = f"sexton_test_{os.getpid()}_{next(_number)}"
        administrator.execute(f"create database {name} template {template(revision)}")
        names.append(name)
        return origin().url(name)

    yield make
    for name in names:
        drop(administrator, name)


@pytest.fixture
def url(database):
    """The connection string of a fresh database at head."""
    return database("head")


@pytest.fixture
def connection(url) -> Iterator[Connection]:
    """An autocommit connection to a fresh database at head."""
    with contextlib.closing(connect(url, name="tests")) as opened:
        yield opened


@pytest.fixture
def upstream(database) -> Iterator[Connection]:
    """An autocommit connection to a fresh database with the real product's tables."""
    with contextlib.closing(connect(database("upstream"), name="tests")) as opened:
        yield opened


@pytest.fixture
def sexton(url, capfd) -> Cli:
    """Run `sexton …` on the fresh database, in this process."""
    return Cli(url, capfd)


@pytest.fixture(scope="session")
def guarded_template(administrator, template):
    name = f"sexton_template_guarded_{os.getpid()}"
    administrator.execute(f"create database {name} template {template('head')}")
    with contextlib.closing(connect(origin().url(name), name="tests")) as connection:
        guard.add(connection)
    yield name
    drop(administrator, name)


@pytest.fixture
def guarded_url(administrator, guarded_template):
    """A fresh database at head, with the guard set."""
    name = f"sexton_guarded_{os.getpid()}_{next(_number)}"
    administrator.execute(f"create database {name} template {guarded_template}")
    yield origin().url(name)
    drop(administrator, name)


@pytest.fixture
def guarded(guarded_url):
    with contextlib.closing(connect(guarded_url, name="tests")) as opened:
        yield opened


@pytest.fixture
def clean(connection):
    """A database at head in which nothing is wrong."""
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    return connection


@pytest.fixture
def orphan(clean):
    """The id of a model config without its provider."""
    return str(add_model(clean, "azure"))


@pytest.fixture
def slow(tmp_path):
    """A directory with a check, `slow`, that sleeps."""
    directory = tmp_path / "checks"
    directory.mkdir()
    (directory / "slow.py").write_text(SLEEPER)
    return str(directory)


@pytest.fixture
def history(connection):
    """A deleted provider whose config was the default, and a chat on it."""
    for name in ("anthropic", "openai"):
        add_provider(connection, name)
    add_model(connection, "anthropic", "a")
    old = add_model(connection, "openai", "b", is_default=True)
    add_chat(connection, old)
    run(connection, DeleteProvider("openai"))
    return old


@pytest.fixture
def team(tmp_path):
    """A team's own environment: three lines of ini, an env.py of three lines."""
    folder = tmp_path / "db"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    shutil.copy(Path(current().migrations) / "script.py.mako", folder)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    return tmp_path


@pytest.fixture
def empty_url(database):
    return database("empty")


@pytest.fixture
def empty(empty_url):
    with contextlib.closing(connect(empty_url, name="tests")) as opened:
        yield opened


@pytest.fixture
def from_nothing(empty_url, empty, capfd):
    """Give a database without tables: its commands, and a connection."""
    return Cli(empty_url, capfd), empty
