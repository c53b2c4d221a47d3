"""Who reads beside an upgrade, and an upgrade in the background."""

import contextlib
import threading
import time
from typing import Any, Self

from sexton.database import connect
from sexton.ddl.options import Options
from sexton.upgrade.run import upgrade


class Readers:
    """Short reads of both tables, one after the other, and how long each took."""

    def __init__(self, url: str) -> None:
        self.url, self.stopped = url, threading.Event()
        self.times: list[float] = []
        self.threads = [threading.Thread(target=self._read) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _read(self) -> None:
        with contextlib.closing(connect(self.url, name="reader")) as connection:
            while not self.stopped.is_set():
                began = time.monotonic()
                connection.execute(
                    "select * from chat_model_configs c "
                    "join chat_providers p using (provider)"
                )
                self.times.append(time.monotonic() - began)
                self.stopped.wait(0.005)


class Working(threading.Thread):
    """An upgrade in the background; `said` is what it said while it waited."""

    def __init__(
        self, url: str, move: Any = upgrade, target: str = "head", **options: Any
    ) -> None:
        super().__init__()
        self.url, self.move, self.target = url, move, target
        self.said: list[str] = []
        self.error: Exception | None = None
        self.made: list[str] = []
        self.ended = 0.0
        self.announced = threading.Event()
        self.options = Options(say=self._say, **options)
        self.start()

    def _say(self, line: str) -> None:
        self.said.append(line)
        self.announced.set()

    def run(self) -> None:
        with contextlib.closing(connect(self.url, name="tests")) as connection:
            try:
                self.made = self.move(connection, self.target, self.options)
            except Exception as error:
                self.error = error
            self.ended = time.monotonic()

    def result(self) -> list[str]:
        self.join(60)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.made
