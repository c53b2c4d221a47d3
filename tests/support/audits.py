"""Running checks as tests do: by name or of their own, with the outcomes by name."""

import json
import subprocess
import sys
from importlib.resources import files

import jsonschema

from sexton.audit.auditor import run_checks
from sexton.audit.outcome import Options
from sexton.check import Check, Severity
from sexton.database import scalar
from sexton.project import all_checks

FREE = "alter table chats drop constraint chats_last_model_config_id_fkey"


def own(name, find, key=(), **more):
    """A check of our own, for what a real one does not do on demand."""
    declared = {"message": "found", "table": "chats", "severity": Severity.ERROR, **more}
    return Check(f"tests.{name}", key=key, find=find, **declared)


def run(connection, *names_or_checks, connect=None, watch=lambda _: None, **options):
    """Run checks by name or of our own; return the outcomes by name."""
    checks = [
        all_checks()[check] if isinstance(check, str) else check
        for check in names_or_checks
    ]
    _, outcomes = run_checks(
        connection, checks, Options(**options), connect=connect, watch=watch
    )
    return {outcome.check.name: outcome for outcome in outcomes}


def model_of(connection):
    return scalar(connection, "select id from chat_model_configs limit 1")


SLOW = own("slow", "select 1 as n from pg_sleep(30)", ("n",))


def by_check(outcomes):
    return {
        name: (
            o.status,
            o.count,
            [(f.fingerprint, f.message, f.values) for f in o.findings],
        )
        for name, o in outcomes.items()
    }


SCHEMA = json.loads(files("sexton.reporters").joinpath("audit.schema.json").read_text())


SLEEPER = '''"""It sleeps.

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


def start(url, *arguments, stderr=subprocess.PIPE):
    return subprocess.Popen(
        [sys.executable, "-m", "sexton", "audit", "--url", url, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
