"""Start-up: `sexton --help` beside Click alone, `sexton audit` beside its libraries.

Each command runs as a process of its own, in turn with its rival, RUNS times.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sexton.database import database
from sexton.embedded import Server

RUNS = 15
SEXTON = str(Path(sys.executable).with_name("sexton"))


def main() -> None:
    """Print the medians, and how many times the rival's each is."""
    click = [sys.executable, "-c", "import click"]
    libraries = [sys.executable, "-c", "import sqlalchemy, psycopg"]
    compare("sexton --help", [SEXTON, "--help"], "import click", click, goal=2.5)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        demo = [SEXTON, "demo", "--keep", f"{name}/db"]
        subprocess.run(demo, check=True, capture_output=True)
        with Server(Path(name) / "db") as server, database(server.url()):
            audit = [SEXTON, "audit", "--url", server.url()]
            compare(
                "sexton audit (demo data)",
                audit,
                "import sqlalchemy, psycopg",
                libraries,
                goal=1.5,
            )


def compare(
    name: str, command: list[str], rival_name: str, rival: list[str], *, goal: float
) -> None:
    """Time a command and its rival in turn."""
    ours, theirs = [], []
    for _ in range(RUNS):
        theirs.append(timed(rival))
        ours.append(timed(command))
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    print(
        f"{name}: {statistics.median(ours) * 1000:.0f} ms; {rival_name}: "
        f"{statistics.median(theirs) * 1000:.0f} ms; ratio {ratio:.2f} "
        f"(goal: under {goal}), medians of {RUNS} runs"
    )


def timed(command: list[str]) -> float:
    """The wall time of one run, in seconds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
