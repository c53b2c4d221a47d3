"""A finding says its row, the same in every run."""

import uuid

from sexton.check import Check, Reference, Severity
from sexton.database import scalar
from tests.support.audits import run
from tests.support.tools import add_message, add_model, add_provider, look


def test_composite_keys_are_told_whole(free):
    free.execute("create table a (x int, y text, ref int, primary key (x, y))")
    free.execute("create table b (id int primary key)")
    free.execute("insert into b values (1)")
    free.execute("insert into a values (1, 'p', 1), (2, '%s', 5), (2, 'r', 6)")
    check = Check(
        "tests.a_without_b",
        severity=Severity.ERROR,
        table="a",
        key=("x", "y"),
        message="a ({x}, {y}) names b {ref}",
        reference=Reference("ref", "b", "id"),
    )
    outcome = run(free, check, confirm_after=0.01)["a_without_b"]
    assert [f.key for f in outcome.findings] == [{"x": 2, "y": "%s"}, {"x": 2, "y": "r"}]
    assert outcome.findings[0].message == "a (2, %s) names b 5"


def test_a_reference_from_messages_says_which_message(broken):
    chat = scalar(broken, "select id from chats limit 1")
    message = add_message(broken, chat, uuid.uuid4())
    outcome = look(broken, "message_without_model", sample=1000)
    assert message in [finding.key["id"] for finding in outcome.findings]


def test_fingerprints_are_the_same_in_every_run(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "google")

    def fingerprints():
        audit = ("audit", "model_without_provider", "--confirm-after", "0")
        document = sexton(*audit, "--format", "json").json
        return [f["fingerprint"] for f in document["checks"][0]["findings"]]

    assert fingerprints() == fingerprints() != []
