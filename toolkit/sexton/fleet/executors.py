"""Where the work is done: threads, a fresh process for each target, or a Dask cluster.

Any `concurrent.futures.Executor` will do. Threads suffice for what only looks: the servers
do the work. Alembic keeps its context in module-level state, so an upgrade has a process
of its own, spawned and not forked.
"""

import contextlib
import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from typing import Any

from sexton.errors import UsageError

DASK = "dask://"
CONNECT_SECONDS = 10  # for a scheduler to answer
_PLACE = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
ATTEMPTS = 2  # of a target whose worker died under it


class WorkerDied(Exception):
    """The process that did the work ended without an answer."""


class Spawn(Executor):
    """Runs each call in a fresh process; one that is too late is ended."""

    def __init__(self, workers: int, limit: float) -> None:
        self.limit = limit
        self._threads = ThreadPoolExecutor(workers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call in a process of its own."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is under way."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        context = multiprocessing.get_context("spawn")
        for attempt in range(1, ATTEMPTS + 1):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_answer, args=(theirs, fn, args, kwargs))
            process.start()
            theirs.close()
            try:
                if not ours.poll(self.limit):
                    raise TimeoutError(f"no answer within {self.limit:g} s")
                return ours.recv()
            except EOFError:
                process.join()
                if attempt == ATTEMPTS:
                    raise WorkerDied(
                        f"its process ended {ATTEMPTS} times without an answer, "
                        f"the last time with {process.exitcode}"
                    ) from None
            finally:
                process.terminate()
                process.join()
                ours.close()
        raise AssertionError("unreachable")


def _answer(
    pipe: Pipe, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    pipe.send(fn(*args, **kwargs))
    pipe.close()


@contextlib.contextmanager
def executor(name: str, workers: int, limit: float) -> Iterator[tuple[Executor, bool]]:
    """Open the executor `threads`, `processes` or `dask://HOST:PORT`.

    `limit` is the seconds that one target may take. The second value says whether the
    work leaves this machine. Raises UsageError for another name, and without Dask.
    """
    if name.startswith(DASK):
        with _dask(name.removeprefix(DASK)) as made:
            yield made, True
    elif name == "threads":
        # A thread that is late cannot be ended; who waits for it goes on without it.
        pool = ThreadPoolExecutor(workers)
        try:
            yield pool, False
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    elif name == "processes":
        with Spawn(workers, limit) as made:
            yield made, False
    else:
        raise UsageError(
            f"there is no executor {name!r}",
            hint="choose threads, processes or dask://HOST:PORT",
        )


@contextlib.contextmanager
def _dask(where: str) -> Iterator[Executor]:
    if not _PLACE.fullmatch(where):  # what it says may be a password
        raise UsageError(
            "the executor's address is not HOST:PORT", hint="--executor dask://HOST:8786"
        )
    try:
        import distributed as dask
    except ImportError:
        raise UsageError(
            "Dask is not installed here", hint="pip install 'sexton[dask]'"
        ) from None
    connect: Any = dask.Client
    try:
        client = connect(f"tcp://{where}", timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {where}: {error}",
            hint="dask scheduler starts one; --executor dask://HOST:8786",
        ) from None
    with client:
        yield client.get_executor(pure=False, retries=ATTEMPTS)
