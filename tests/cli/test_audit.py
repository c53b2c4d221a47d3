"""`sexton audit` as its users type it."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from sexton.database import connect, scalar
from tests.support.tools import Cli, add_chat, add_model, add_provider

SCHEMA = json.loads(files("sexton.reporters").joinpath("audit.schema.json").read_text())
SLOW = '''"""It sleeps.

Why: to be interrupted.

Cure: none.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chats",
    key=("n",),
    message="{n}",
    find="select 1 as n from pg_sleep(60)",
)
'''


def valid(document):
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    return document


@pytest.fixture
def clean(connection):
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    return connection


@pytest.fixture
def orphan(clean):
    return str(add_model(clean, "azure"))


@pytest.fixture
def slow(tmp_path):
    directory = tmp_path / "checks"
    directory.mkdir()
    (directory / "slow.py").write_text(SLOW)
    return str(directory)


# -- exit codes ------------------------------------------------------------------------


@pytest.mark.usefixtures("clean")
def test_a_clean_database_exits_0(sexton):
    result = sexton("audit")
    assert result.code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1].endswith("Exit 0.")


@pytest.mark.usefixtures("orphan")
@pytest.mark.parametrize(("fail_on", "code"), [("info", 1), ("error", 1), ("never", 0)])
def test_findings_exit_1_from_the_severity_asked_for(sexton, fail_on, code):
    assert sexton("audit", "--fail-on", fail_on).code == code


def test_a_finding_below_the_threshold_exits_0(sexton, clean):
    clean.execute("update chat_model_configs set enabled = false")
    assert sexton("audit", "default_disabled", "--fail-on", "error").code == 0
    assert sexton("audit", "default_disabled", "--fail-on", "warning").code == 1


@pytest.mark.usefixtures("orphan")
def test_incomplete_wins_over_findings(sexton, slow):
    names = ("slow", "model_without_provider")
    result = sexton("audit", *names, "--checks", slow, "--statement-timeout", "0.1")
    assert result.code == 3
    *_, last, _summary = result.stdout.splitlines()
    assert last.startswith("INCOMPLETE  slow ")
    assert "stopped after 0.1 s, its timeout" in last
    assert "FAIL        model_without_provider" in result.stdout


@pytest.mark.usefixtures("clean")
def test_where_everything_is_skipped_nothing_was_looked_at(sexton):
    result = sexton("audit", "override_dangling")
    assert result.code == 3
    assert "there is no table site_configs" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("no_such_check",),
        ("--format", "xml"),
        ("-j", "0"),
        ("-o", "report.pdf"),
        ("--deadline", "soon"),
        ("--deadline", "-1"),
        ("--statement-timeout", "5 days"),
        ("--confirm-after", "nan"),
        ("--confirm-after", "1e300"),
        ("--fail-on", "new"),
        ("--since", "/no/such/run.json"),
        ("--only-own",),
        ("default_missing", "--skip", "default_*"),
        ("no_such_*",),
        ("--baseline", "/no/such/file.json"),
        ("--checks", "/no/such/directory"),
    ],
)
def test_wrong_usage_exits_2(sexton, arguments):
    result = sexton("audit", *arguments)
    assert result.code == 2
    assert result.stdout == ""


def test_no_server_exits_4(sexton, tmp_path):
    result = sexton("audit", "--url", f"host={tmp_path}", database=False)
    assert result.code == 4


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("time_", ["9", "9s", "9000ms", "0.15m", "1min", "0"])
def test_times_are_written_as_people_write_them(sexton, time_):
    result = sexton("audit", "default_missing", "--statement-timeout", time_)
    assert result.code == 0


# -- what each line says ---------------------------------------------------------------


@pytest.mark.usefixtures("orphan")
def test_every_line_names_its_scope_strategy_and_time(sexton):
    for line in sexton("audit", "-v").stdout.splitlines():
        if line.startswith(("ok", "FAIL")):
            assert " ms" in line or "enforced by CONSTRAINT" in line
            assert "chat" in line or "schema_drift" in line


# -- formats ---------------------------------------------------------------------------


def test_json_is_as_its_schema_says(sexton, orphan):
    result = sexton("audit", "--format", "json")
    document = valid(result.json)
    assert result.stderr == ""
    assert document["summary"]["status"] == "findings"
    assert document["summary"]["findings"] == 1
    [check] = [c for c in document["checks"] if c["status"] == "fail"]
    assert check["findings"][0]["key"] == {"id": orphan}
    assert check["findings"][0]["values"] == {}, "keys only, unless asked for more"


@pytest.mark.usefixtures("orphan")
def test_values_are_shown_if_asked_for(sexton):
    document = valid(sexton("audit", "--format", "json", "--values").json)
    [check] = [c for c in document["checks"] if c["status"] == "fail"]
    assert check["findings"][0]["values"] == {"provider": "azure", "model": "m"}


@pytest.mark.usefixtures("orphan")
def test_one_run_writes_every_format(sexton, tmp_path):
    places = [tmp_path / f"report.{end}" for end in ("txt", "json", "xml", "sarif", "prom")]
    extra = tmp_path / "metrics"
    options = [part for place in places for part in ("-o", str(place))]
    result = sexton("audit", "--format", "json", *options, "-o", f"prometheus:{extra}")
    assert result.code == 1
    assert json.loads(places[1].read_text()) == result.json
    assert all(place.read_text() for place in (*places, extra))
    assert {path.name for path in tmp_path.iterdir()} == {
        *(place.name for place in places),
        "metrics",
    }, "no temporary file is left behind"


@pytest.mark.usefixtures("clean")
def test_a_file_that_cannot_be_written_is_said(sexton, tmp_path):
    result = sexton("audit", "-o", str(tmp_path / "no" / "report.json"))
    assert result.code == 2
    assert "cannot write" in result.stderr


@pytest.mark.usefixtures("orphan")
def test_reports_say_where_they_looked(sexton, tmp_path):
    file = tmp_path / "sexton.prom"
    result = sexton("audit", "--format", "json", "--label", "eu", "-o", str(file))
    run = valid(result.json)["run"]
    assert run["database"].startswith("sexton_test")
    assert (run["role"], run["project"], run["label"]) == ("postgres", "chat", "eu")
    assert f'database="{run["database"]}"' in file.read_text()
    assert sexton("audit").stdout.startswith(f"{run['database']} at ")


def test_reports_are_written_where_nothing_could_be_reached(sexton, tmp_path):
    places = [
        tmp_path / f"report.{end}" for end in ("json", "xml", "sarif", "prom", "html")
    ]
    options = [part for place in places for part in ("-o", str(place))]
    url = f"host={tmp_path} dbname=gone user=me password=hunter2"
    result = sexton("audit", "--url", url, *options, database=False)
    assert result.code == 4
    document = valid(json.loads(places[0].read_text()))
    assert document["summary"]["status"] == "incomplete"
    assert {c["status"] for c in document["checks"]} == {"incomplete"}
    assert "not looked at: cannot connect" in document["checks"][0]["reason"]
    assert document["run"]["database"] == "gone"
    assert 'sexton_audit_incomplete{database="gone"' in places[3].read_text()
    assert "<error" in places[1].read_text()
    assert not any("hunter2" in place.read_text() for place in places)


def test_names_may_have_wildcards_and_some_be_left_out(sexton, clean):
    result = sexton("audit", "default_*", "--skip", "default_disabled", "--format", "json")
    assert [c["check"] for c in result.json["checks"]] == [
        *("default_ambiguous", "default_missing", "default_under_disabled_provider"),
    ]
    result = sexton("audit", "default_mising")
    assert (result.code, "did you mean default_missing?" in result.stderr) == (2, True)


# -- what is new -----------------------------------------------------------------------


def test_what_is_new_persists_and_is_resolved(sexton, clean, tmp_path):
    first, second = (add_model(clean, "azure", name) for name in "ab")
    yesterday = tmp_path / "yesterday.json"
    audit = ("audit", "model_without_provider", "--confirm-after", "0")
    assert sexton(*audit, "-o", str(yesterday)).code == 1
    since = (*audit, "--since", str(yesterday))
    assert sexton(*since, "--fail-on", "new").code == 0
    clean.execute("delete from chat_model_configs where id = %s", [first])
    third = add_model(clean, "azure", "c")
    result = sexton(*since, "--fail-on", "new", "--format", "json", "--sample", "1")
    assert result.code == 1
    [check] = valid(result.json)["checks"]
    assert [check[word] for word in ("new", "persisting", "resolved")] == [1, 1, 1]
    assert [f["key"]["id"] for f in check["findings"]] == [str(third)], "new ones first"
    began = json.loads(yesterday.read_text())["run"]["started_at"]
    [check] = sexton(*since, "--format", "json").json["checks"]
    seen = {f["key"]["id"]: f["since"] for f in check["findings"]}
    assert seen[str(second)] == began
    assert seen[str(third)] > began
    said = sexton(*since).stdout
    assert "1 new since, 1 resolved" in said
    assert "Since " in said.splitlines()[-1]


def test_a_list_that_was_cut_off_is_said_and_gives_no_comfort(sexton, clean, tmp_path):
    for name in "abc":
        add_model(clean, "azure", name)
    file = tmp_path / "run.json"
    audit = ("audit", "model_without_provider", "--confirm-after", "0")
    sexton(*audit, "--sample", "1", "-o", str(file))
    result = sexton(*audit, "--since", str(file), "--fail-on", "new", "--format", "json")
    assert result.code == 1
    [check] = valid(result.json)["checks"]
    assert (check["new"], check["persisting"], check["resolved"]) == (0, 3, 0)
    assert "lists fewer findings than it counts" in check["compared"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 200_000, '{"run": {}, "checks": [{}]}']
)
def test_a_run_that_is_none_is_refused(sexton, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    result = sexton("audit", "--since", str(tmp_path / "run.json"), database=False)
    assert result.code == 2
    assert "no document of an audit" in result.stderr


def test_a_run_on_another_database_is_refused(sexton, clean, tmp_path):
    file = tmp_path / "run.json"
    sexton("audit", "-o", str(file))
    document = json.loads(file.read_text())
    document["run"]["database"] = "another"
    file.write_text(json.dumps(document))
    result = sexton("audit", "--since", str(file))
    assert result.code == 2
    assert "another" in result.stderr


# -- baseline --------------------------------------------------------------------------


@pytest.mark.usefixtures("orphan")
def test_a_baseline_is_written_used_and_refused_to_grow(sexton, tmp_path, clean):
    file = str(tmp_path / "baseline.json")

    def audit(*arguments):
        return sexton("audit", "--confirm-after", "0.01", *arguments)

    accepted = audit("--write-baseline", file, "--reason", "restored")
    assert accepted.code == 0
    assert accepted.stdout.splitlines()[-1].endswith("Exit 0.")
    result = audit("--baseline", file, "--format", "json")
    assert result.code == 0
    document = valid(result.json)
    assert sum(check["known"] for check in document["checks"]) == 1
    assert document["baseline"] == {"file": file, "stale": [], "expired": []}

    other = add_model(clean, "azure", "another")
    assert audit("--baseline", file).code == 1
    result = audit("--write-baseline", file)
    assert result.code == 5
    assert "--allow-additions" in result.stderr
    refused = audit("--write-baseline", file, "--format", "json")
    assert refused.json["error"]["code"] == 5, "one document, and no more"
    assert audit("--write-baseline", file, "--allow-additions").code == 0
    assert len(json.loads(Path(file).read_text())["known"]) == 2

    clean.execute("delete from chat_model_configs where id = %s", [other])
    result = audit("--baseline", file)
    assert result.code == 0
    assert (
        f"stale       model_without_provider           chat_model_configs id={other}"
        in (result.stdout)
    )
    assert audit("--write-baseline", file).code == 0
    assert len(json.loads(Path(file).read_text())["known"]) == 1


# -- your own checks -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("check = 1", "defines no `check"),
        ("1 /", "SyntaxError"),
        (SLOW.replace('"""It', "'''It").partition('"""')[0] + "'''", "defines no `check"),
        (SLOW.replace("find=", "finds="), "TypeError"),
        (SLOW[SLOW.index("from") :], "has no docstring"),
        (SLOW.replace("Severity.ERROR", "'eror'"), "'eror' is not a valid Severity"),
        (SLOW + "import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
@pytest.mark.usefixtures("clean")
def test_a_check_that_does_not_load_is_named(sexton, tmp_path, text, says):
    (tmp_path / "mine.py").write_text(text)
    result = sexton("audit", "--checks", str(tmp_path))
    assert result.code == 2
    assert "mine.py" in result.stderr
    assert says in result.stderr


@pytest.mark.usefixtures("clean")
def test_a_check_cannot_take_the_name_of_ours(sexton, tmp_path):
    (tmp_path / "default_missing.py").write_text(SLOW)
    assert sexton("audit", "--checks", str(tmp_path)).code == 2


OWN = """\"\"\"It is there.

Why: {why}.

Cure: none.
\"\"\"

from sexton.check import Check

print("it prints")


def judge(row):
    print("its judge prints")
    return row{judged}


check = Check(
    __name__,
    severity="warning",
    table="things",
    key=("id",),
    message="{message}",
    find="select id from things order by id",
    reads={{"things": ("id",)}},
    judge=judge,
)
"""


@pytest.fixture
def things(database, capfd):
    """A database of somebody else's, with two rows."""
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("create table things (id int primary key)")
        connection.execute("insert into things values (1), (2)")
    return Cli(url, capfd)


def test_only_own_checks_run_on_anybodys_tables(things, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        text = OWN.format(why=folder, judged="", message="thing {id}")
        (tmp_path / folder / f"{folder}.py").write_text(text)
    folders = ("--checks", str(tmp_path / "one"), "--checks", str(tmp_path / "two"))
    result = things("audit", *folders, "--only-own", "--format", "json")
    assert result.code == 1
    document = valid(result.json)
    assert [c["check"] for c in document["checks"]] == ["one", "two"]
    assert [c["count"] for c in document["checks"]] == [2, 2]
    assert "it prints" in result.stderr
    assert "its judge prints" in result.stderr
    assert things("audit", *folders).code == 4, "the product's tables are not there"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"message": "thing {amount}"}, "its message names amount, but its rows have id"),
        ({"message": "thing {id"}, "its message is no template of its rows"),
        ({"judged": "['amount']"}, "its judge failed: KeyError: 'amount'"),
        ({"judged": " and {}"}, "its rows do not have id, which is its key"),
    ],
)
def test_a_slip_in_an_own_check_makes_it_incomplete(things, tmp_path, broken, says):
    for name, more in (("good", {}), ("bad", broken)):
        text = OWN.format(**{"why": "", "judged": "", "message": "thing {id}", **more})
        (tmp_path / f"{name}.py").write_text(text)
    result = things(*("audit", "--checks", str(tmp_path), "--only-own"))
    assert result.code == 3
    assert f"the check contradicts itself: {says}" in result.stdout
    assert "warning     good " in result.stdout


def test_own_checks_are_listed_and_explained(sexton, slow):
    result = sexton("checks", "--checks", slow, database=False)
    assert "slow " in result.stdout
    assert (
        "It sleeps." in sexton("explain", "slow", "--checks", slow, database=False).stdout
    )


# -- explain ---------------------------------------------------------------------------


def test_explain_shows_the_rule_and_its_inputs(sexton, clean):
    clean.execute("alter table chats drop constraint chats_last_model_config_id_fkey")
    clean.execute(
        "insert into chats (owner_id, last_model_config_id) "
        "select gen_random_uuid(), (select id from chat_model_configs) "
        "from generate_series(1, 20000)"
    )
    clean.execute("analyze")
    said = sexton("explain", "chat_without_model").stdout
    assert "gap probing       about 0.0 ms <- chosen" in said
    assert "index      idx_chats_last_model_config_id" in said
    clean.execute("drop index idx_chats_last_model_config_id")
    document = sexton("explain", "chat_without_model", "--format", "json").json
    assert document["database"]["strategy"] == "anti-join"
    assert document["database"]["advice"] == (
        "create index concurrently on chats (last_model_config_id)"
    )


def test_explain_needs_no_database(sexton):
    result = sexton("explain", "chat_without_model", database=False)
    assert result.code == 0
    assert "On this database" not in result.stdout


# -- a terminal, a pipe, an interrupt --------------------------------------------------


def start(url, *arguments, stderr=subprocess.PIPE):
    return subprocess.Popen(
        [sys.executable, "-m", "sexton", "audit", "--url", url, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def wait_until_it_sleeps(connection, process):
    while not scalar(
        connection,
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' "
        "and datname = current_database()",
    ):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("orphan")
def test_an_interrupt_cancels_on_the_server_and_leaves_a_partial_report(
    url, connection, slow, number, jobs
):
    names = ("model_without_provider", "slow", "default_missing")
    process = start(
        url,
        *names,
        "--checks",
        slow,
        "--format",
        "json",
        "-j",
        jobs,
        "--confirm-after",
        "0",
    )
    wait_until_it_sleeps(connection, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    checks = {check["check"]: check for check in valid(json.loads(out))["checks"]}
    # Two connections work at once: the other one may have been interrupted as well.
    orphans = checks["model_without_provider"]
    assert orphans["status"] in ("fail", "incomplete")[: int(jobs)]
    assert orphans["count"] == (orphans["status"] == "fail")
    assert checks["slow"]["status"] == "incomplete"
    assert "interrupted" in checks["slow"]["reason"]
    assert not scalar(
        connection,
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' "
        "and datname = current_database()",
    )


@pytest.mark.usefixtures("clean")
def test_a_terminal_sees_a_bar_and_a_pipe_does_not(url, slow):
    for terminal in (True, False):
        reader, writer = pty.openpty()
        process = start(
            *(url, "slow", "--checks", slow, "--statement-timeout", "1.5"),
            stderr=writer if terminal else subprocess.PIPE,
        )
        os.close(writer)
        out, err = process.communicate(timeout=30)
        if terminal:
            err = os.read(reader, 100_000).decode()
        os.close(reader)
        assert process.returncode == 3
        assert out.splitlines()[1].startswith("INCOMPLETE")
        assert ("1 checks" in err) == terminal


def test_now_and_then_a_line_where_there_is_no_terminal(capfd):
    from sexton.cli.progress import Progress

    with Progress(3, every=0.01) as progress:
        progress.watch("default_missing")
        while not (said := capfd.readouterr().err):
            time.sleep(0.001)
    assert said.startswith("sexton: 0 of 3 checks done after 0 s; now default_missing")


@pytest.mark.usefixtures("clean")
def test_an_audit_without_sqlalchemy(url):
    """Nothing heavy is imported, or the small audits would take as long as the big ones."""
    code = (
        "import sys; from sexton.cli import run; "
        f"code = run(['audit', '--url', {url!r}]); "
        "heavy = {'sqlalchemy', 'alembic', 'rich', 'prometheus_client', 'junitparser'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_chats_of_the_product_need_no_new_option(sexton, clean):
    clean.execute("alter table chats drop constraint chats_last_model_config_id_fkey")
    add_chat(clean, uuid.uuid4())
    assert sexton("audit", "--confirm-after", "0.01", "-j", "2").code == 1
