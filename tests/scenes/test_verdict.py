"""What an audit found is said alike in every output, whatever --fail-on is."""

import json
import re

import junitparser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sexton.database import connect
from tests.support.audits import valid
from tests.support.endpoints import endpoint
from tests.support.fleets import documented, inventory
from tests.support.tools import add_chat, add_model

THRESHOLDS = ("info", "warning", "error", "new", "never")
RANKS = {"info": 0, "warning": 1, "error": 2}


def info(connection):
    add_chat(connection, add_model(connection, "openai", deleted=True, deleted_at="now"))


def warning(connection):
    connection.execute("update chat_model_configs set enabled = false")


def error(connection):
    add_model(connection, "azure")


def unreadable(connection):
    error(connection)
    connection.execute("alter table chats drop column last_model_config_id")
    connection.execute("alter table chats add column last_model_config_id int[]")


# What is made wrong, what is then found, and the severities of it.
SCENES = {
    "clean": (lambda _: None, "clean", ()),
    "info": (info, "findings", ("info",)),
    "warning": (warning, "findings", ("warning",)),
    "error": (error, "findings", ("error",)),
    "incomplete": (unreadable, "incomplete", ("error",)),
}


def exit_code(threshold, found, severities, *, known_before):
    if found == "incomplete":
        return 3
    if threshold == "never" or (threshold == "new" and known_before):
        return 0
    least = RANKS["warning" if threshold == "new" else threshold]
    return int(any(RANKS[severity] >= least for severity in severities))


@pytest.fixture
def yesterday(sexton, clean, tmp_path):
    """The document of an audit that found nothing, and one of an audit of today's rows."""

    def write(name):
        file = tmp_path / f"{name}.json"
        sexton("audit", "--confirm-after", "0", "-o", f"json:{file}")
        return file

    return write


@pytest.mark.parametrize("since", ["nothing", "the same"])
@pytest.mark.parametrize("scene", SCENES)
def test_every_output_follows_what_was_found(
    sexton, clean, yesterday, tmp_path, scene, since
):
    make, found, severities = SCENES[scene]
    before = yesterday("before")
    make(clean)
    if since == "the same":
        before = yesterday("before")
    for threshold in THRESHOLDS:
        code = exit_code(threshold, found, severities, known_before=since == "the same")
        files = {n: tmp_path / n for n in ("json", "html", "junit", "sarif", "prometheus")}
        with endpoint(200) as (url, received):
            result = sexton(
                *("audit", "--confirm-after", "0", "--fail-on", threshold),
                *(part for n, file in files.items() for part in ("-o", f"{n}:{file}")),
                *("-o", f"pushgateway:{url}/push"),
                *(("--since", str(before)) if threshold == "new" else ("--notify", url)),
            )
        assert result.code == code, (threshold, result.stdout)
        assert f" Exit {code}" in result.stdout

        summary = valid(json.loads(files["json"].read_text()))["summary"]
        assert (summary["status"], summary["exit_code"]) == (found, code)
        assert summary["fail_on"] == threshold
        assert bool(summary["failed"]) == bool(severities)

        page = files["html"].read_text()
        said = {
            "clean": "Nothing wrong was found",
            "findings": "Something is wrong",
            "incomplete": "Not everything was looked at",
        }[found]
        if severities == ("info",):
            said = "Only information was found"
        assert re.search(rf'<section class="{found}">', page)
        assert f"{said}" in page
        assert ("Nothing wrong was found" in page) == (found == "clean")

        [suite] = junitparser.JUnitXml.fromstring(files["junit"].read_bytes())
        properties = {entry.name: entry.value for entry in suite.properties()}
        assert (properties["status"], properties["fail_on"]) == (found, threshold)
        assert properties["exit_code"] == str(code)
        assert bool(suite.failures) == bool(severities)
        assert bool(suite.errors) == (found == "incomplete")

        [run] = json.loads(files["sarif"].read_text())["runs"]
        [invocation] = run["invocations"]
        assert invocation["exitCode"] == code
        assert invocation["executionSuccessful"] == (found != "incomplete")
        assert bool(run["results"]) == bool(severities)

        pushed = next(body for path, body in received if "push" in path).decode()
        for text in (files["prometheus"].read_text(), pushed):
            samples = [
                sample
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            ]
            assert [
                sample.labels["status"]
                for sample in samples
                if sample.name == "sexton_audit_status" and sample.value
            ] == [found]
            assert bool(severities) == any(
                sample.value for sample in samples if sample.name == "sexton_audit_findings"
            )

        notices = [json.loads(body) for path, body in received if "push" not in path]
        assert [notice["status"] for notice in notices] == (
            [] if found == "clean" or threshold == "new" else [found]
        )


def test_a_webhook_is_told_of_no_recovery_that_did_not_happen(
    sexton, clean, yesterday, tmp_path
):
    error(clean)
    before = yesterday("before")
    add_model(clean, "nobody")
    with endpoint(200) as (url, received):
        for number in range(2):
            result = sexton(
                *("audit", "--confirm-after", "0", "--fail-on", "new"),
                *("--since", str(before), "--notify", url),
                *("-o", f"json:{before}"),
            )
            assert result.code == 1 - number
    [(_, body)] = received
    notice = json.loads(body)
    assert (notice["before"], notice["status"]) == ("findings", "findings")


@pytest.mark.parametrize("threshold", [t for t in THRESHOLDS if t != "new"])
def test_a_fleet_counts_what_was_found(sexton, database, tmp_path, threshold):
    urls = {"fine": database(), "info": database(), "bad": database()}
    for name, make in (("info", info), ("bad", error)):
        with connect(urls[name], name="tests") as connection:
            from tests.support.tools import add_provider

            add_provider(connection, "openai", api_key="sk-made-up")
            add_model(connection, "openai", "first", is_default=True)
            make(connection)
    file = inventory(tmp_path, urls)
    arguments = ("fleet", "audit", "--inventory", file, "--fail-on", threshold)
    result = sexton(*arguments, "--format", "json", database=False)
    code = 0 if threshold == "never" else 1
    assert result.code == code
    document = documented(result)
    summary = document["summary"]
    assert (summary["findings"], summary["clean"]) == (2, 1)
    assert (summary["status"], summary["exit_code"]) == ("findings", code)
    assert summary["fail_on"] == threshold
    codes = {record["target"]: record["code"] for record in document["targets"]}
    assert codes["info"] == (1 if threshold == "info" else 0)
    text = sexton(*arguments, database=False)
    assert "3 targets: 2 findings, 1 clean" in text.stdout
    run, page = tmp_path / "run.json", tmp_path / "page.html"
    run.write_text(json.dumps(document))
    assert sexton("report", str(page), str(run), database=False).code == 0
    assert '<section class="findings">' in page.read_text()
