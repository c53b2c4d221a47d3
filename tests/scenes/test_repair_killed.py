"""Kill Sexton, or the server, in the middle of apply and undo; then run it again.

KILLS says how many kills there are (`make test-crash` asks for 200). The first ones hit
chosen stages, held there by locks; the rest come at random moments. The server has fsync
on. After each kill the journal must agree with the rows exactly, the rows must be a whole
number of steps, and the same command must complete what was begun.
"""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from sexton.chat.locks import ELECTION
from sexton.database import Connection, connect, rows, scalar, snapshot
from sexton.embedded import Server
from sexton.project import all_checks
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from sexton.repair.planfile import read_plan, write_plan
from sexton.repair.planner import plan_repair
from sexton.repair.undo import undo_run
from sexton.upgrade.run import upgrade

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("KILLS_SEED", "0")) or random.randrange(1_000_000)
SIZES = {"small": 300, "large": 2_500}  # rows: one transaction, and several
PATIENCE = 60  # seconds until a condition that must come is given up

STAGES = ("before the first change", "first batch", "last batch", "the end")
COMMANDS = ("apply", "undo")
VICTIMS = ("sexton", "server")

CHECKSUM = "select md5(string_agg(c::text, '' order by id)) from chat_model_configs c"


@dataclass
class Scene:
    """A server with a database of each size, and what is known of their first state."""

    server: Server
    directory: Path
    before: dict[str, str] = field(default_factory=dict)
    took: dict[tuple[str, str], float] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def connected(self, size: str) -> Iterator[Connection]:
        """A connection that may die with the server."""
        with contextlib.closing(connect(self.server.url(size), name="tests")) as opened:
            yield opened

    def command(self, size: str, *arguments: str) -> list[str]:
        """A command of Sexton's on the database."""
        url = self.server.url(size)
        return [sys.executable, "-m", "sexton", *arguments, "--url", url]

    def run(self, size: str, *arguments: str) -> str:
        """Run a command to its end, which must be a good one."""
        done = subprocess.run(
            self.command(size, *arguments), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    import tempfile

    # Not pytest's own directory: it is too deep for a socket, and private.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with Server(Path(name) / "db", settings={"fsync": "on"}) as server:
            made = Scene(server, tmp_path_factory.mktemp("plans"))
            for size, count in SIZES.items():
                with psycopg.connect(server.url(), autocommit=True) as administrator:
                    administrator.execute(f"create database {size}")
                with made.connected(size) as connection:
                    upgrade(connection)
                    fill(connection, count)
                    made.before[size] = scalar(connection, CHECKSUM)
            yield made


def fill(connection: Connection, count: int) -> None:
    connection.execute("insert into chat_providers (provider) values ('anthropic')")
    connection.execute(
        """
        insert into chat_model_configs
            (provider, model, is_default, context_limit, compression_threshold)
        select
            case when n = 0 then 'anthropic' else 'openai' end,
            'model ' || n, n = 1, 1, 1
        from generate_series(0, %s) as n
        """,
        (count,),
    )
    connection.execute("vacuum analyze")


def make_plan(scene: Scene, size: str) -> Path:
    path = scene.directory / "plan.json"
    options = Options(max_rows=10_000, max_fraction=1.0)
    with scene.connected(size) as connection, snapshot(connection):
        selected = [all_checks()["model_without_provider"]]
        write_plan(plan_repair(connection, selected, options), path)
    return path


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what must come did not come"
        time.sleep(0.002)


def kill_server(server: Server) -> None:
    """SIGKILL to the postmaster and all its children, as when the power fails."""
    postmaster = server.pid
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    children = [pid for pid, parent in pairs if parent == postmaster]
    server.stop(signal.SIGKILL)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in children))
    server.start()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Orphaned zombies wait for init to reap them; they hold nothing any more.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def kill(scene: Scene, victim: str, process: subprocess.Popen[bytes]) -> None:
    """Kill the server, or the command itself, which ends either way."""
    if victim == "server":
        kill_server(scene.server)
        process.wait(timeout=PATIENCE)
    else:
        process.kill()
        process.wait()


def wait_until_gone(scene: Scene, size: str) -> None:
    """Wait for the session of a killed client: it may go on, not knowing yet."""
    with scene.connected(size) as connection:
        wait_for(lambda: not sessions(connection))


def sessions(connection: Connection, blocked: bool = False) -> int:
    found = scalar(
        connection,
        """
        select count(*) from pg_stat_activity
        where application_name like 'sexton %%'
          and (not %s or wait_event_type = 'Lock')
        """,
        blocked,
    )
    return int(found)


def kill_at_stage(
    scene: Scene, size: str, arguments: tuple[str, ...], stage: str, victim: str, keys
) -> None:
    """Start a command, let it run into a lock where it is wanted, and kill it there."""
    with scene.connected(size) as holder, scene.connected(size) as watcher:
        holder.execute("begin")
        if stage == "before the first change":
            holder.execute("select pg_advisory_xact_lock(%s)", (ELECTION,))
        else:
            key = keys[0] if stage == "first batch" else keys[-1]
            query = "select from chat_model_configs where id = %s for update"
            holder.execute(query, (key,))
        process = subprocess.Popen(
            scene.command(size, *arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: sessions(watcher, blocked=True))
        if stage == "the end":
            # Let the last batch pass, and stop what follows it: the closing of the run.
            watcher.execute("begin; lock table sexton.runs in exclusive mode")
            holder.execute("commit")
            wait_for(lambda: stopped_at_runs(watcher))
        kill(scene, victim, process)
    wait_until_gone(scene, size)


def stopped_at_runs(connection: Connection) -> bool:
    """Whether somebody waits to write into the journal's list of runs."""
    return bool(
        scalar(
            connection,
            """
            select count(*) from pg_locks l
            where not l.granted and l.relation = 'sexton.runs'::regclass
            """,
        )
    )


def kill_at_random(
    scene: Scene, size: str, arguments: tuple[str, ...], victim: str, chance: random.Random
) -> None:
    """Start a command, and kill it at any moment of its life."""
    process = subprocess.Popen(
        scene.command(size, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Beyond its usual end too: a busy machine is slower than when it was measured.
    moment = chance.uniform(0.0, scene.took[arguments[0], size] * 1.5)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    kill(scene, victim, process)
    wait_until_gone(scene, size)


def check_agreement(connection: Connection, plan_id: str, total: int) -> tuple[int, int]:
    """Insist that the journal and the rows agree; return the steps made and restored."""
    if scalar(connection, "select to_regclass('sexton.changes')") is None:
        assert not scalar(
            connection, "select count(*) from chat_model_configs where deleted"
        )
        return 0, 0
    runs = rows(
        connection,
        "select * from sexton.runs where plan = %s order by run",
        plan_id,
    )
    assert len(runs) <= 1, "a plan has one run, however often it was interrupted"
    if not runs:
        made = back = 0
        run = undo = None
    else:
        run, undo = runs[0]["run"], runs[0]["undone_by"]
        made, back = (steps(connection, number) for number in (run, undo))
    if run and runs[0]["finished"]:
        assert made == total
    # The last journalled image of each row is the row, and all others are untouched.
    wrong = rows(
        connection,
        """
        with last as (
            select distinct on (c.key) c.key ->> 'id' as id, c.after
            from sexton.changes c
            where c.run in (%s, %s)
            order by c.key, c.run desc
        )
        select m.id, last.after, to_jsonb(m) as row
        from chat_model_configs m
        left join last on last.id = m.id::text
        where case
            when last.id is null then m.deleted
            else not to_jsonb(m) @> last.after
        end
        """,
        run,
        undo,
    )
    assert wrong == []
    deleted = scalar(connection, "select count(*) from chat_model_configs where deleted")
    defaults = scalar(
        connection,
        "select count(*) from chat_model_configs where is_default and not deleted",
    )
    assert defaults == 1
    if made < total:
        assert deleted == made
    return made, back


def steps(connection: Connection, run: int | None) -> int:
    """How many steps a run made: they are numbered without a gap."""
    [found] = rows(
        connection,
        """
        select count(*) as made, coalesce(max(step), 0) as last
        from sexton.changes where run = %s
        """,
        run,
    )
    assert found["made"] == found["last"]
    return int(found["made"])


def schedule(chance: random.Random) -> Iterator[tuple[str, str, str, str | None]]:
    """Which size, command and victim come next, and at which stage or None at random."""
    staged = list(itertools.product(("large",), COMMANDS, VICTIMS, STAGES))
    chance.shuffle(staged)
    yield from staged
    while True:
        size = chance.choice(["small", "large", "large"])
        stage = chance.choice([None, None, None, *STAGES])
        if size == "small" and stage == "the end":
            stage = None  # one transaction has no end of its own
        yield size, chance.choice(COMMANDS), chance.choice(VICTIMS), stage


def measure(scene: Scene) -> None:
    """How long the commands take undisturbed, to know when to kill them."""
    for size in SIZES:
        path = make_plan(scene, size)
        for command in COMMANDS:
            started = time.monotonic()
            argument = str(path) if command == "apply" else run_of(scene, size, path)
            scene.run(size, command, argument)
            scene.took[command, size] = time.monotonic() - started
        with scene.connected(size) as connection:
            assert scalar(connection, CHECKSUM) == scene.before[size]


def run_of(scene: Scene, size: str, path: Path) -> str:
    with scene.connected(size) as connection:
        query = "select max(run) from sexton.runs where plan = %s"
        return str(scalar(connection, query, read_plan(path).id))


def test_killed_anywhere_and_run_again_it_completes(scene, record_property):
    chance = random.Random(SEED)
    record_property("seed", SEED)
    measure(scene)
    moments = []
    for number, (size, command, victim, stage) in zip(
        range(KILLS), schedule(chance), strict=False
    ):
        label = f"kill {number} of seed {SEED}: {victim} in {command}, {size}, {stage}"
        sys.stderr.write(f"{label}\n")  # pytest shows it where the test fails
        path = make_plan(scene, size)
        plan = read_plan(path)
        total = len(plan.actions)
        keys = [action.key["id"] for action in plan.actions]
        argument = str(path)
        if command == "undo":
            with scene.connected(size) as connection:
                argument = str(apply_plan(connection, plan).run)
            keys.reverse()
        if stage:
            kill_at_stage(scene, size, (command, argument), stage, victim, keys)
        else:
            kill_at_random(scene, size, (command, argument), victim, chance)
        with scene.connected(size) as connection:
            made, back = check_agreement(connection, plan.id, total)
        moments.append((command, made, back, total))
        complete(scene, size, path, command, argument, total)
    if KILLS >= 100:
        met = {made for command, made, _, _ in moments if command == "apply"}
        assert {0, min(SIZES.values()) + 1, max(SIZES.values()) + 1} < met


def complete(
    scene: Scene, size: str, path: Path, command: str, argument: str, total: int
) -> None:
    """Run again what was interrupted; end where everything began."""
    plan = read_plan(path)
    with scene.connected(size) as connection:
        closed = undone(connection, plan.id)
    if not closed:
        scene.run(size, command, argument)
    with scene.connected(size) as connection:
        made, back = check_agreement(connection, plan.id, total)
        assert (made, back) == (total, total if command == "undo" else 0)
        if command == "apply":
            run = rows(connection, "select run from sexton.runs where plan = %s", plan.id)
            undo_run(connection, run[0]["run"])
        assert check_agreement(connection, plan.id, total) == (total, total)
        assert scalar(connection, CHECKSUM) == scene.before[size]


def undone(connection: Connection, plan_id: str) -> bool:
    """Whether the plan's run was undone to the end before the kill came."""
    return bool(
        scalar(
            connection,
            """
            select count(*)
            from sexton.runs r join sexton.runs u on u.run = r.undone_by
            where r.plan = %s and u.finished
            """,
            plan_id,
        )
    )
