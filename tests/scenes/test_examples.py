"""The examples of examples/: each is valid, and what it runs does run."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from sexton.errors import BUSY, NO_CONNECTION
from tests.support.project import ROOT
from tests.support.rehearsals import Environment, git

EXAMPLES = ROOT / "examples"


def ran(done, file):
    """What an example runs has run; else the file to correct is named."""
    assert done.returncode == 0, (
        f"correct {file.relative_to(ROOT)}: exit {done.returncode}\n"
        f"{done.stdout}{done.stderr}"
    )


PROGRAMS = str(Path(sys.executable).parent)


def shell(command, url, home, **variables):
    """Run a line as a scheduler's shell does, with the database and a home."""
    environment = {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "HOME": str(home),
        "DATABASE_URL": url,
        **variables,
    }
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_the_cron_line_runs_and_is_quiet_where_nothing_is_wrong(url, tmp_path):
    [line] = [
        line
        for line in (EXAMPLES / "cron" / "sexton").read_text().splitlines()
        if re.match(r"[\d*]", line)
    ]
    *_, user, command = line.split(maxsplit=6)
    assert user == "sexton"
    ran(shell(command, url, tmp_path), EXAMPLES / "cron" / "sexton")
    assert (tmp_path / "audit.json").exists(), "examples/cron/sexton writes it no more"
    assert (tmp_path / "sexton.prom").exists(), "examples/cron/sexton writes it no more"


def test_the_units_are_valid_and_the_service_runs(url, tmp_path):
    folder = EXAMPLES / "systemd"
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(folder / "sexton-audit.service")
    command = unit["Service"]["ExecStart"].replace("/usr/local/bin/", "")
    (tmp_path / "sexton").mkdir()
    done = shell(command.replace("%S", str(tmp_path)), url, tmp_path)
    ran(done, folder / "sexton-audit.service")
    written = tmp_path / "sexton" / "sexton.prom"
    assert written.exists(), "examples/systemd/sexton-audit.service writes it no more"
    if verify := shutil.which("systemd-analyze"):
        result = subprocess.run(
            [verify, "verify", "--man=no", *map(str, sorted(folder.iterdir()))],
            capture_output=True,
            text=True,
        )
        # The one thing it may miss is the program, which lies elsewhere here.
        problems = [
            line
            for line in result.stderr.splitlines()
            if "sexton-audit" in line and "is not executable" not in line
        ]
        assert not problems, f"correct examples/systemd: {problems}"


def test_the_ci_job_is_a_workflow_and_its_commands_run(url, tmp_path):
    file = EXAMPLES / "ci" / "github.yml"
    check = [sys.executable, "-m", "check_jsonschema"]
    schema = ["--builtin-schema", "vendor.github-workflows"]
    ran(subprocess.run([*check, *schema, str(file)], capture_output=True, text=True), file)
    [job] = yaml.safe_load(file.read_text())["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "sexton " in step.get("run", "")]
    assert len(commands) == 2
    for command in commands:
        ran(shell(command, url, tmp_path), file)
    assert (tmp_path / "audit.xml").exists(), "examples/ci/github.yml writes it no more"


def branch(folder):
    """A repository whose branch adds a revision that blocks; the base is `main`."""
    environment = Environment(folder)
    git(folder, "init", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "released")
    git(folder, "checkout", "-b", "feature")
    environment.add(
        "new", 'op.create_index("i", "invoices", ["total"])', 'op.drop_index("i")'
    )
    (folder / "requirements.txt").touch()


def test_the_action_annotates_and_summarizes(tmp_path):
    file = ROOT / "action.yml"
    check = [sys.executable, "-m", "check_jsonschema"]
    schema = ["--builtin-schema", "vendor.github-actions"]
    ran(subprocess.run([*check, *schema, str(file)], capture_output=True, text=True), file)
    branch(tmp_path)
    (tmp_path / "summary.md").touch()
    variables = {
        "BASE": "main",
        "ALEMBIC": "alembic.ini",
        "ARGUMENTS": "",
        "SARIF": "found.sarif",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    *_, step = yaml.safe_load(file.read_text())["runs"]["steps"]
    assert set(step["env"]) == {"BASE", "ALEMBIC", "ARGUMENTS", "SARIF"}
    done = shell(step["run"], "", tmp_path, **variables)
    assert done.returncode == 1, done.stderr
    assert "::error file=db/versions/new.py,line=13," in done.stdout
    assert "`blocking-index-build`" in (tmp_path / "summary.md").read_text()
    assert "db/versions/new.py" in (tmp_path / "found.sarif").read_text()


def test_the_jobs_that_rehearse_are_valid_and_their_commands_run(tmp_path):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    for schema, name in (
        ("vendor.github-workflows", "rehearse-github.yml"),
        ("vendor.gitlab-ci", "rehearse-gitlab.yml"),
    ):
        file = EXAMPLES / "ci" / name
        checked = [*check, schema, str(file)]
        ran(subprocess.run(checked, capture_output=True, text=True), file)
    branch(tmp_path)
    *_, command = yaml.safe_load(file.read_text())["rehearse"]["script"]
    done = shell(command.replace("FETCH_HEAD", "main"), "", tmp_path)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "rehearsal.sarif").exists(), f"{file} writes it no more"
    action = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    workflow = yaml.safe_load((EXAMPLES / "ci" / "rehearse-github.yml").read_text())
    *_, step = workflow["jobs"]["rehearse"]["steps"]
    assert set(step["with"]) <= set(action)


def test_the_hook_of_pre_commit_names_what_exists():
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = shlex.split(hook["entry"])
    done = subprocess.run([Path(PROGRAMS) / program, *words, "--help"], capture_output=True)
    assert done.returncode == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["optional-dependencies"]["embedded"]
    assert hook["additional_dependencies"] == needed


KUBERNETES = pytest.mark.parametrize(
    "file", sorted((EXAMPLES / "kubernetes").iterdir()), ids=lambda file: file.name
)


def job_of(file):
    document = yaml.safe_load(file.read_text())
    kubernetes_validate.validate(document, "1.31", strict=True)
    if document["kind"] == "CronJob":
        return document["spec"]["jobTemplate"]["spec"]
    return document["spec"]


@KUBERNETES
def test_the_kubernetes_jobs_are_valid(file):
    pod = job_of(file)["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"], f"set runAsNonRoot in {file}"
    assert container["securityContext"]["readOnlyRootFilesystem"], (
        f"set readOnlyRootFilesystem in {file}"
    )
    # Kubernetes takes a failure policy only with pods that are not restarted in place.
    assert pod["restartPolicy"] == "Never", f"set restartPolicy: Never in {file}"


@KUBERNETES
def test_only_what_time_can_cure_is_tried_again(file):
    rules = job_of(file)["podFailurePolicy"]["rules"]
    [codes] = [rule["onExitCodes"] for rule in rules if "onExitCodes" in rule]
    assert (codes["operator"], codes["values"]) == ("NotIn", [NO_CONNECTION, BUSY]), (
        f"the exit codes of sexton.errors that are tried again stand in {file}"
    )


@KUBERNETES
def test_what_the_pods_run_does_run(file, url, tmp_path):
    [container] = job_of(file)["template"]["spec"]["containers"]
    os.chmod(tmp_path, 0o555)  # as read-only as the container's file system
    ran(shell(shlex.join(["sexton", *container["args"]]), url, tmp_path), file)


def test_the_container_is_rootless_and_starts_the_command():
    lines = (EXAMPLES / "container" / "Containerfile").read_text().splitlines()
    last = {line.split()[0]: line for line in lines if line[:1].isupper()}
    correct = "correct examples/container/Containerfile"
    assert last["USER"] == "USER 65532:65532", correct
    assert last["ENTRYPOINT"] == 'ENTRYPOINT ["sexton"]', correct
    copied = [line.split()[1] for line in lines if line.startswith("COPY . ")]
    assert copied == ["."], f"{correct}: the build takes the sources it stands in"
