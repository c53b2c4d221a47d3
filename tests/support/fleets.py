"""Work for fleets under test; workers import it, so it stands in a module."""

import json
import os
import time
from importlib import resources
from pathlib import Path

import jsonschema

from sexton.fleet.inventory import Target
from sexton.fleet.state import Record


def clean(_: Target) -> Record:
    """End well, at once."""
    return {"status": "clean", "code": 0}


def slow(target: Target) -> Record:
    """End well, after a while, and say who did it."""
    time.sleep(0.05)
    return {"status": "clean", "code": 0, "pid": os.getpid(), "name": target.name}


def by_name(target: Target) -> Record:
    """End as the target is called."""
    if target.name.startswith("raise"):
        raise RuntimeError("it broke, at postgresql://u:pa55@h/d")
    return {"status": target.name.partition("-")[0], "code": 0}


def endless(_: Target) -> Record:
    """Never answer."""
    time.sleep(3600)
    raise AssertionError("unreachable")


def dies_once(target: Target) -> Record:
    """Kill the process that does the work, the first time; `service` is a file."""
    marker = Path(target.service)
    if not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), 9)
    return {"status": "clean", "code": 0}


def dies(_: Target) -> Record:
    """Kill the process that does the work."""
    os.kill(os.getpid(), 9)
    raise AssertionError("unreachable")


class Watching:
    """Counts how many work on a server at the same time; for threads."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def __call__(self, target: Target) -> Record:
        """Be there for a moment."""
        server = target.service
        self.now[server] = self.now.get(server, 0) + 1
        self.most[server] = max(self.most.get(server, 0), self.now[server])
        time.sleep(0.02)
        self.now[server] -= 1
        return {"status": "clean", "code": 0}


def inventory(tmp_path, targets, more=""):
    file = tmp_path / "fleet.toml"
    lines = [more]
    for name, where in targets.items():
        lines += ["[[target]]", f"name = {json.dumps(name)}", f"url = {json.dumps(where)}"]
    file.write_text("\n".join(lines))
    return str(file)


def documented(result):
    schema = resources.files("sexton.reporters").joinpath("fleet.schema.json").read_text()
    jsonschema.validate(result.json, json.loads(schema))
    return result.json
