"""`sexton audit` as its users type it."""

import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from sexton.database import scalar
from tests.support.audits import start, valid
from tests.support.tools import add_chat, add_model

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


def test_no_server_exits_4(sexton, tmp_path):
    result = sexton("audit", "--url", f"host={tmp_path}", database=False)
    assert result.code == 4


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


# -- a terminal, a pipe, an interrupt --------------------------------------------------


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
    out, err = process.communicate(timeout=60)
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
