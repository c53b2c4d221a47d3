"""The baseline knows findings by identity; it shrinks by itself and grows where allowed."""

import datetime
import json

import msgspec
import pytest

from sexton.audit import baseline
from sexton.audit.auditor import run_checks
from sexton.audit.baseline import load, write
from sexton.audit.outcome import Options
from sexton.audit.selection import select_checks
from sexton.documents import Head, now
from sexton.errors import Refused, UsageError
from sexton.project import all_checks
from tests.support.tools import add_model, add_provider

NAME = "model_without_provider"
HEAD_OF_NONE = (
    '"schema_version": 2, "head": {"command": "audit", "at": "2026-01-01T00:00:00Z"}'
)
TODAY = datetime.date(2026, 6, 15)


@pytest.fixture
def orphans(connection):
    add_provider(connection, "openai")
    return [str(add_model(connection, "azure", name)) for name in "abc"]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "baseline.json"


def audited(connection, known=None, *, names=(NAME,), sample=100):
    options = Options(sample=sample, confirm_after=0.001, known=known or {})
    return run_checks(connection, select_checks(names), options)[1]


def entry(key, **more):
    return {"check": NAME, "table": "chat_model_configs", "key": {"id": key}, **more}


def about(database="chat", **more):
    """The head of an audit on this database."""
    checks = {name: check.definition for name, check in all_checks().items()}
    values = {"command": "audit", "at": now(), "checks": checks, "database": database}
    return Head(**{**values, **more})


def put(file, *entries):
    head = msgspec.to_builtins(about())
    document = {"schema_version": 2, "head": head, "known": list(entries)}
    file.write_text(json.dumps(document))


def test_known_findings_are_counted_and_new_ones_fail(connection, orphans, file):
    put(file, entry(orphans[0]), entry(orphans[1]))
    [outcome] = audited(connection, load(file).known())
    assert (outcome.status, outcome.count, outcome.known) == ("fail", 3, 2)
    assert [finding.key["id"] for finding in outcome.findings] == [orphans[2]]


def test_where_all_are_known_the_check_passes_and_says_so(connection, orphans, file):
    put(file, *map(entry, orphans))
    [outcome] = audited(connection, load(file).known())
    assert (outcome.status, outcome.count, outcome.known) == ("pass", 3, 3)
    assert outcome.reason == "the baseline knows 3"


def test_new_findings_are_shown_before_the_sample_is_used_up(connection, orphans, file):
    put(file, *map(entry, sorted(orphans)[:2]))
    [outcome] = audited(connection, load(file).known(), sample=1)
    assert [finding.key["id"] for finding in outcome.findings] == [sorted(orphans)[2]]
    assert not outcome.truncated


def test_a_row_of_another_table_is_not_known(connection, orphans, file):
    put(file, {**entry(orphans[0]), "table": "chats"})
    [outcome] = audited(connection, load(file).known())
    assert outcome.known == 0


def test_stale_entries_are_told(connection, orphans, file):
    put(file, entry(orphans[0]), entry("gone"), {**entry("x"), "check": "no_such_check"})
    before = load(file)
    outcomes = audited(connection, before.known())
    stale = before.compare(outcomes, all_checks()).stale
    assert [e.key["id"] for e in stale] == ["gone", "x"]


def test_entries_of_checks_that_did_not_run_are_not_stale(connection, orphans, file):
    put(file, *map(entry, orphans), {**entry("x"), "check": "default_missing"})
    before = load(file)
    assert not before.compare(audited(connection, before.known()), all_checks()).stale


def test_an_entry_counts_until_the_day_it_expires(connection, orphans, file):
    for key, expires in zip(orphans, ("2026-06-14", "2026-06-15", None), strict=True):
        put(
            file,
            *(json.loads(file.read_text())["known"] if file.exists() else ()),
            entry(key, expires=expires),
        )
    before = load(file, today=TODAY)
    outcomes = audited(connection, before.known())
    assert outcomes[0].known == 2
    [expired] = before.compare(outcomes, all_checks()).expired
    assert expired.key["id"] == orphans[0]


# -- writing ---------------------------------------------------------------------------


def test_the_first_one_takes_all(connection, orphans, file):
    diff = write(
        file,
        None,
        audited(connection),
        about(),
        allow_additions=False,
        reason="r",
        owner="o",
    )
    assert (diff.added, diff.removed, diff.kept) == (3, 0, 0)
    entries = load(file).entries
    assert {e.key["id"] for e in entries} == set(orphans)
    assert {(e.reason, e.owner) for e in entries} == {("r", "o")}


def test_it_never_grows_silently(connection, orphans, file):
    put(file, entry(orphans[0]))
    before = file.read_text()
    known = load(file)
    outcomes = audited(connection, known.known())
    with pytest.raises(Refused, match="2 findings are not in"):
        write(file, known, outcomes, about(), allow_additions=False)
    assert file.read_text() == before
    diff = write(file, known, outcomes, about(), allow_additions=True)
    assert (diff.added, diff.removed, diff.kept) == (2, 0, 1)


def test_it_shrinks_by_itself_and_keeps_what_people_wrote(connection, orphans, file):
    put(
        file,
        entry(orphans[0], reason="known since May", owner="ops"),
        *map(entry, orphans[1:]),
        entry("gone"),
    )
    connection.execute("delete from chat_model_configs where id = %s", [orphans[1]])
    known = load(file)
    diff = write(
        file, known, audited(connection, known.known()), about(), allow_additions=False
    )
    assert (diff.added, diff.removed, diff.kept) == (0, 2, 2)
    kept = {e.key["id"]: e for e in load(file).entries}
    assert kept[orphans[0]].reason == "known since May"


def test_what_could_not_be_looked_at_stays(connection, orphans, file):
    put(file, *map(entry, orphans))
    known = load(file)
    connection.execute("delete from chat_providers")
    outcomes = audited(connection, known.known())
    assert outcomes[0].status == "incomplete"
    assert write(file, known, outcomes, about(), allow_additions=False).kept == 3


def test_too_many_to_review_are_refused(connection, file):
    add_provider(connection, "openai")
    for name in "abc":
        add_model(connection, "azure", name)
    with pytest.raises(Refused, match="too many to accept"):
        write(file, None, audited(connection, sample=2), about(), allow_additions=False)
    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 200_000,
        '{"a":' * 200_000,
        "{}",
        '{"schema_version": 1, "known": []}',
        '{"schema_version": 2, "known": []}',
        f'{{{HEAD_OF_NONE}, "known": [{{}}]}}',
        f'{{{HEAD_OF_NONE}, "known": [{{"check": "a", "table": "b", "key": {{}}, '
        '"expires": "soon"}]}',
        f'{{{HEAD_OF_NONE}, "known": [{{"check": "a", "table": "b", "key": {{}}, '
        '"expire": "2026-01-01"}]}',
        f'{{{HEAD_OF_NONE}, "known": [{{"check": "a", "table": "b", "key": '
        '{"id": "\\u0000"}}]}',
    ],
)
def test_a_file_that_is_none_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(UsageError, match="is not a baseline"):
        load(file)


def test_a_file_that_is_missing_is_refused(file):
    with pytest.raises(UsageError, match="cannot read the baseline"):
        load(file)


def test_the_limit_is_that_of_a_review():
    assert baseline.LIMIT <= 10_000


def test_a_baseline_of_another_database_is_refused(sexton, clean, database, file):
    """Row 7 there is not row 7 here, though both have the key 7."""
    from sexton.database import connect

    accept = ("audit", "--confirm-after", "0", "--write-baseline", str(file))
    add_model(clean, "azure")
    assert sexton(*accept).code == 0
    other = database()
    with connect(other, name="tests") as connection:
        add_provider(connection, "openai", api_key="sk-made-up")
        add_model(connection, "openai", is_default=True)
    here = type(sexton)(other, sexton.capture)
    result = here("audit", "--baseline", str(file))
    assert result.code == 5
    assert f"{file} is about the database " in result.stderr
    before = file.read_text()
    assert here(*accept).code == 5
    assert file.read_text() == before
    assert here(*accept, "--allow-additions").code == 0
    assert here("audit", "--baseline", str(file)).code == 0


@pytest.mark.parametrize("cluster", ["1", None])
def test_a_cluster_tells_databases_of_one_name_apart(sexton, clean, file, cluster):
    add_model(clean, "azure")
    sexton("audit", "--confirm-after", "0", "--write-baseline", str(file))
    document = json.loads(file.read_text())
    document["head"]["system"] = cluster
    file.write_text(json.dumps(document))
    code = 5 if cluster else 0  # what a role might not read cannot be compared
    assert sexton("audit", "--baseline", str(file)).code == code


OWN = """
project = "shop"
[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
{more}
"""


def test_findings_accepted_under_another_definition_are_accepted_no_more(
    sexton, connection, tmp_path, file
):
    connection.execute(
        "create table customers (id int primary key, deleted boolean not null);"
        "create table invoices (id int primary key, customer_id int);"
        "insert into customers values (1, false); insert into invoices values (7, 99)"
    )
    project = tmp_path / "sexton.toml"
    project.write_text(OWN.format(more=""))
    audit = ("audit", "--config", str(project), "--confirm-after", "0")
    accept = (*audit, "--write-baseline", str(file))
    assert sexton(*accept).code == 0
    assert sexton(*audit, "--baseline", str(file)).code == 0
    project.write_text(OWN.format(more='parent_live = "not deleted"'))
    result = sexton(*audit, "--baseline", str(file))
    assert result.code == 5
    assert "invoices_customer_id_dangling as it was defined then" in result.stderr
    assert sexton(*accept).code == 5
    assert sexton(*accept, "--allow-additions").code == 0
    assert sexton(*audit, "--baseline", str(file)).code == 0
