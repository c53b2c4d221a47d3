"""Closed pipes, full disks, closed streams, signals: the exit code stays the command's."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sexton.database import scalar
from tests.support.tools import add_model, add_provider

SEXTON = [sys.executable, "-m", "sexton"]


def shell(command, **environment):
    """Run a shell's command line, with `sexton` as a command in it."""
    found = subprocess.run(
        ["bash", "-c", f'sexton() {{ {sys.executable} -m sexton "$@"; }}; {command}'],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in found.stderr
    return found


def test_a_closed_pipe_leaves_the_exit_code(url):
    for command, code in (
        ("audit default_missing --confirm-after 0", 0),
        ("checks", 0),
        ("undo 99 --format json", 2),
        ("--help", 0),
        ("frob", 2),
    ):
        found = shell(f"sexton {command} | true; exit ${{PIPESTATUS[0]}}", DATABASE_URL=url)
        assert found.returncode == code, (command, found.stderr)


def test_what_was_done_is_done_though_nobody_reads_of_it(connection, url):
    add_provider(connection, "openai")
    command = "sexton provider delete openai | true; exit ${PIPESTATUS[0]}"
    assert shell(command, DATABASE_URL=url).returncode == 0
    assert connection.execute("select from chat_providers").fetchall() == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_crash(url, closed):
    found = shell(f"sexton audit default_missing {closed}", DATABASE_URL=url)
    assert found.returncode == 0, found.stderr
    assert shell(f"sexton frob {closed}").returncode == 2


def test_what_is_read_from_a_closed_stream_is_empty(url):
    found = shell("sexton provider add openai --key-file - <&-", DATABASE_URL=url)
    assert (found.returncode, "the key is empty" in found.stderr) == (2, True)


def test_a_full_disk_is_incomplete(url):
    found = shell("sexton audit default_missing > /dev/full", DATABASE_URL=url)
    assert found.returncode == 3
    assert "cannot write to standard output: No space left" in found.stderr
    assert shell("sexton frob 2> /dev/full").returncode == 2


def test_arguments_that_are_not_utf8_are_refused(url):
    found = shell("sexton audit $'caf\\xe9'", DATABASE_URL=url)
    assert found.returncode == 2
    assert r"'caf\udce9' is not UTF-8" in found.stderr


def test_control_characters_do_not_reach_the_terminal():
    found = shell("sexton audit $'\\e]0;gotcha\\a\\n  ok' --url embedded:/proc/nowhere")
    assert found.returncode == 2
    assert "\x1b" not in found.stderr
    assert "\n  ok" not in found.stderr


def test_an_error_after_a_document_is_not_a_second_document(sexton, monkeypatch):
    def broken(*_, **__):
        import click

        click.echo("{}")
        raise ZeroDivisionError

    monkeypatch.setattr("sexton.cli.checks.show", broken)
    result = sexton("checks", "--format", "json", database=False)
    assert (result.code, result.json) == (70, {})
    assert "a bug in Sexton: ZeroDivisionError" in result.stderr


def test_an_exit_in_the_middle_is_no_clean_run(sexton, monkeypatch):
    monkeypatch.setattr("sexton.cli.checks.show", lambda *_: sys.exit(0))
    result = sexton("checks", "--format", "json", database=False)
    assert result.json["error"]["code"] == 70


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_embedded_server(tmp_path, number):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    tmp_path.chmod(0o711)
    process = subprocess.Popen(
        [*SEXTON, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Tests that run under nohup ignore a hang-up, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    for line in process.stdout:
        if "$ sexton status" in line:
            break
    [state] = tmp_path.glob("sexton-demo-*/db/server.json")
    server = json.loads(state.read_text())["pid"]
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not Path(f"/proc/{server}").exists()
    assert os.listdir(tmp_path) == []


def test_a_hang_up_is_ignored_under_nohup(url, connection):
    process = subprocess.Popen(
        ["nohup", *SEXTON, "audit", "--url", url, "--confirm-after", "1s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    others = "select count(*) from pg_stat_activity where datname = current_database()"
    while process.poll() is None and scalar(connection, others) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_logs_are_json_or_carry_the_time(url):
    for style in ("json", "time"):
        found = shell("sexton status", DATABASE_URL=url, SEXTON_LOG_FORMAT=style)
        assert found.returncode == 0
        [line] = found.stderr.splitlines()
        at, said = json.loads(line).values() if style == "json" else line.split(" ", 1)
        assert datetime.datetime.fromisoformat(at).tzinfo
        assert said.startswith("sexton: connected to")
    found = shell("sexton --log-format json undo 99", DATABASE_URL=url)
    assert [set(json.loads(line)) for line in found.stderr.splitlines()] == [
        {"time", "message"}
    ] * len(found.stderr.splitlines())
    assert found.returncode == 2


def test_a_reader_who_leaves_early_is_no_error(connection, url):
    add_provider(connection, "openai")
    for number in range(2000):
        add_model(connection, "openai", f"model-{number}")
    process = subprocess.Popen(
        [sys.executable, "-m", "sexton", "model", "list", "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read().count("\n") == 1  # where it is connected
    process.stderr.close()
    process.wait()
