"""The command line from outside: exit codes, and what stands on which stream."""

import json
import os
import subprocess
import sys
import tempfile

import pytest
from psycopg import conninfo

from sexton.cli import run
from sexton.cli import sexton as group
from sexton.database import location
from tests.support.project import HEAD
from tests.support.tools import Cli, add_model, add_provider

MISSING = "00000000-0000-0000-0000-000000000000"


def outside(*arguments, **environment):
    """Run `sexton` as a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "sexton", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def walk(command, path=()):
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from walk(sub, (*path, name))


COMMANDS = [path for path, command in walk(group) if not hasattr(command, "commands")]
READING = [
    ("status",),
    ("audit",),
    ("repair",),
    ("checks",),
    ("explain", "default_missing"),
    ("provider", "list"),
    ("model", "list"),
]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(sexton, path):
    result = sexton(*path, "--help", database=False)
    assert (result.code, result.stderr) == (0, "")
    assert "Usage: sexton" in result.stdout


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_reading_commands_print_one_document(sexton, arguments):
    where = [] if arguments[0] in ("checks", "explain") else ["--url", sexton.url]
    result = outside(*arguments, "--format", "json", *where)
    assert result.returncode == 0
    assert result.stderr == ""
    assert isinstance(json.loads(result.stdout), dict)


def test_exit_codes_are_in_the_help():
    said = outside("--help").stdout
    for code in (0, 1, 2, 3, 4, 5, 6, 70):
        assert f"\n    {code} " in said, (
            f"the help in sexton/cli/__init__.py does not say what {code} means"
        )


BAD_INPUT = {
    "unknown command": (["frob"], 2, "No such command 'frob'"),
    "unknown option": (["audit", "--frob"], 2, "No such option"),
    "unknown check": (["audit", "frob"], 2, "no check 'frob'"),
    "unknown check, repair": (["repair", "frob"], 2, "no check 'frob'"),
    "unknown check, explain": (["explain", "frob"], 2, "no check 'frob'"),
    "unknown provider": (["provider", "delete", "frob"], 2, "no provider is called"),
    "unknown model": (["model", "promote", MISSING], 2, "no model config has"),
    "unknown chat": (["chat", "resolve", MISSING], 2, "no chat has the id"),
    "malformed model id": (["model", "promote", "frob"], 2, "'frob' is not a model"),
    "malformed chat id": (["chat", "resolve", "frob"], 2, "'frob'"),
    "unknown revision": (["upgrade", "0099"], 2, "no revision '0099'"),
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("undo frob", "'frob' is not a valid run's number"),
        ("grants", "Choose from: auditor, deployer, repairer\n"),
        ("report /frob /frob", "next: sexton audit --format json > run.json makes one\n"),
        ("fleet merge /frob", "next: to make one: sexton fleet audit "),
    ],
)
def test_it_says_what_to_type_next(sexton, words, said):
    result = sexton(*words.split(), database=False)
    assert (result.code, said in result.stderr) == (2, True), result


@pytest.mark.parametrize("name", BAD_INPUT)
@pytest.mark.parametrize("style", ["text", "json"])
def test_bad_input_gets_one_sentence(sexton, name, style):
    arguments, code, sentence = BAD_INPUT[name]
    wants_json = style == "json" and "--frob" not in arguments and arguments != ["frob"]
    database = "explain" not in arguments and arguments != ["frob"]
    result = sexton(
        *arguments, *(["--format", "json"] if wants_json else []), database=database
    )
    assert result.code == code
    if wants_json:
        assert result.stderr == ""
        assert result.json["error"]["code"] == code
        # Upstream's own sentence is the message, where it has one; ours is in the hint.
        error = result.json["error"]
        said = f"{error['message']}; {error['hint']}"
    else:
        assert result.stdout == ""
        said = result.stderr
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "address",
    ["postgresql://bob:s3cret@127.0.0.1:1/x", "host=/nowhere password=s3cret", "s3cret"],
)
@pytest.mark.parametrize("command", ["status", "audit", "upgrade", "repair"])
def test_no_connection_is_4_and_shows_no_password(address, command):
    result = outside(command, "--url", address, "--format", "json")
    assert result.returncode == 4
    assert json.loads(result.stdout)["error"]["code"] == 4
    assert "s3cret" not in result.stdout + result.stderr


def test_no_url_at_all_says_what_to_pass():
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "DATABASE"))}
    # A server might run on this machine; another port makes sure none answers.
    result = subprocess.run(
        [sys.executable, "-m", "sexton", "status"],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, "PGPORT": "1"},
    )
    assert result.returncode == 4
    assert "cannot connect" in result.stderr


CONNECTED = """
    status
    adopt
    upgrade
    downgrade 0004
    guard add --plan
    guard status
    repair
    history
    provider list
    provider delete openai --dry-run
"""


def test_commands_say_where_they_are_connected_and_as_whom(sexton, connection):
    add_provider(connection, "openai")
    for line in CONNECTED.strip().splitlines():
        said = sexton(*line.split()).stderr
        assert f"sexton: connected to {location(connection)}\n" in said, line


def test_a_read_only_role_may_look(administrator, connection, url, capfd):
    add_model(connection, "openai", is_default=True)
    add_provider(connection, "openai", api_key="sk-hidden")
    role = f"reader_{os.getpid()}"
    administrator.execute(f"create role {role} login password 'x'")
    try:
        connection.execute(f"grant usage on schema sexton to {role}")
        for schema in ("public", "sexton"):
            connection.execute(f"grant select on all tables in schema {schema} to {role}")
        reader = Cli(conninfo.make_conninfo(url, user=role, password="x"), capfd)
        assert reader("audit", "--format", "json").json["summary"]["incomplete"] == 0
        assert reader("model", "list").code == 0
        assert "sk-hidden" not in reader("provider", "list", "--format", "json").stdout
        assert reader("provider", "delete", "openai", "--dry-run").code == 0
        assert reader("repair").code == 0
        refused = reader("provider", "delete", "openai")
        assert (refused.code, refused.stdout) == (3, "")
        assert "may not write the journal" in refused.stderr
        blunt = reader("provider", "delete", "openai", "--no-journal")
        assert blunt.code == 3
        assert "permission denied" in blunt.stderr
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_a_bug_is_70_and_no_traceback(sexton, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("postgresql://bob:s3cret@h/x")

    monkeypatch.setattr("sexton.chat.status.status", broken)
    result = sexton("status")
    assert result.code == 70
    assert "a bug in Sexton: ZeroDivisionError" in result.stderr
    assert "s3cret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_3_and_quiet(sexton, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sexton.chat.status.status", interrupted)
    result = sexton("status")
    assert result.code == 3
    assert "interrupted" in result.stderr


def test_version(sexton):
    from sexton import __version__

    assert sexton("--version", database=False).stdout == f"sexton {__version__}\n"


def test_every_command_answers_to_an_embedded_directory(tmp_path, capfd):
    embedded = Cli(f"embedded:{tmp_path}/db", capfd)
    assert embedded("upgrade").code == 0
    assert embedded("status", "--format", "json").json["revision"] == HEAD


def test_a_missing_temporary_directory_is_no_bug(tmp_path, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", None)
        gone = str(tmp_path / "none")
        patch.setattr(tempfile, "_candidate_tempdir_list", lambda: [gone])
        assert run(["demo"]) == 3
    assert "no temporary directory can be written" in capfd.readouterr().err
