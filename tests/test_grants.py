"""Least privilege: each role, with exactly what is printed, does its whole job."""

import contextlib
import json
import os
from importlib import resources

import jsonschema
import psycopg
import pytest
from psycopg import conninfo, sql

from sexton.database import connect
from sexton.grants import KINDS, written
from sexton.project import all_checks, current
from tests.conftest import origin
from tests.support.commands import CHAT, CLAUDE, GPT, KEY, OLD, USER, damage, fill
from tests.support.tools import Cli


@pytest.fixture
def closed(administrator, database):
    """Make a database, at a revision, on which PUBLIC may nothing; its URL."""

    def make(revision="head", prepare=None):
        url = database(revision)
        name = conninfo.conninfo_to_dict(url)["dbname"]
        administrator.execute(f"revoke all on database {name} from public")
        with contextlib.closing(connect(url, name="tests")) as connection:
            connection.execute("revoke all on schema public from public")
            if prepare:
                prepare(connection)
        return url

    return make


@pytest.fixture
def with_journal(closed, capfd):
    """Make such a database with rows by an upgrade, which makes the journal."""

    def make(prepare):
        url = closed("0003")
        assert Cli(url, capfd)("upgrade").code == 0
        with contextlib.closing(connect(url, name="tests")) as connection:
            prepare(connection)
        return url

    return make


@pytest.fixture
def role(administrator):
    """A role that may log in, and nothing else; with a name that needs quoting."""
    name = f'ann "of" {os.getpid()}'
    quoted = sql.Identifier(name)
    administrator.execute(sql.SQL("create role {} login password 'x'").format(quoted))
    yield name
    for (database,) in administrator.execute(
        "select datname from pg_database where datallowconn and datname <> 'template0'"
    ).fetchall():
        url = origin().url(database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("reassign owned by {} to current_user").format(quoted)
            )
            connection.execute(sql.SQL("drop owned by {} cascade").format(quoted))
    administrator.execute(sql.SQL("drop role {}").format(quoted))


@pytest.fixture
def granted(role, capfd):
    """Grant a role exactly what is printed, without some; its command line."""

    def give(url, kind, without=()):
        document = Cli(url, capfd)("grants", kind, "--to", role, "--format", "json").json
        with psycopg.connect(url, autocommit=True) as connection:
            for grant in document["grants"]:
                if grant["sql"] not in without:
                    connection.execute(grant["sql"])
        return Cli(conninfo.make_conninfo(url, user=role, password="x"), capfd), document

    return give


def test_the_text_is_sql_that_grants(closed, role, capfd):
    url = closed()
    text = Cli(url, capfd)("grants", "auditor", "--to", role).stdout
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text)
    mine = Cli(conninfo.make_conninfo(url, user=role, password="x"), capfd)
    assert mine("audit", "--format", "json").json["summary"]["incomplete"] == 0


def test_the_document_follows_its_schema(closed, capfd):
    schema = resources.files("sexton.reporters").joinpath("grants.schema.json").read_text()
    for kind in KINDS:
        document = Cli(closed(), capfd)(
            "grants", kind, "--to", "x", "--format", "json"
        ).json
        jsonschema.validate(document, json.loads(schema))


def test_an_auditor_looks_and_changes_nothing(closed, granted):
    url = closed(prepare=damage)
    auditor, document = granted(url, "auditor")
    assert not [
        g
        for g in document["grants"]
        if "select" not in g["sql"]
        and "usage" not in g["sql"]
        and "connect" not in g["sql"]
    ]
    found = auditor("audit", "--format", "json", "--confirm-after", "0").json
    assert found["summary"]["incomplete"] == found["summary"]["skipped"] == 0
    assert auditor("status").code == 0
    assert auditor("repair").code == 1
    assert auditor("explain", "threshold_dangling").code == 0
    assert auditor("provider", "delete", "openai", "--dry-run").code == 0
    assert auditor("repair", "--apply", "--max-fraction", "1").code in (3, 5)


@pytest.mark.parametrize("kind", ["usage on schema", "select on table"])
def test_without_one_of_its_grants_an_auditor_is_incomplete(closed, granted, kind):
    url = closed(prepare=damage)
    auditor, document = granted(url, "auditor")
    sample = [grant["sql"] for grant in document["grants"] if kind in grant["sql"]]
    with psycopg.connect(url, autocommit=True) as connection:
        for grant in sample:
            away = grant.replace("grant ", "revoke ", 1).replace(" to ", " from ")
            connection.execute(away)
            result = auditor("audit", "--confirm-after", "0")
            assert result.code == 3, grant
            assert grant.partition(" to ")[0] in result.stdout + result.stderr
            connection.execute(grant)
    assert auditor("audit", "--confirm-after", "0").code == 1


def test_a_deployer_makes_everything_in_an_empty_database(closed, granted):
    deployer, _ = granted(closed("empty"), "deployer")
    assert deployer("upgrade").code == 0
    assert deployer("status").code == 0
    assert deployer("guard", "add").code == 0
    assert deployer("guard", "remove").code == 0
    assert deployer("downgrade", "base").code == 0


@pytest.mark.parametrize("owner", ["superuser", "owner"])
def test_a_deployer_changes_what_others_own(closed, granted, administrator, owner):
    name = f"sexton_owner_{os.getpid()}"

    def own(connection):
        fill(connection)
        if owner == "owner":
            connection.execute(f"grant create, usage on schema public to {name}")
            for table in ("chat_model_configs", "chat_providers", "chats"):
                connection.execute(f"alter table {table} owner to {name}")

    administrator.execute(f"create role {name}")
    try:
        url = closed("0001", own)
        deployer, _ = granted(url, "deployer")
        assert deployer("upgrade", "--plan").code == 1
        assert deployer("upgrade", "--guard").code == 0
        assert deployer("guard", "remove").code == 0
        assert deployer("downgrade", "0001").code == 0
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"reassign owned by {name} to current_user")
            connection.execute(f"drop owned by {name}")
        administrator.execute(f"drop role {name}")


def test_a_deployer_adopts(closed, granted):
    deployer, _ = granted(closed("upstream"), "deployer")
    assert deployer("adopt", "--apply").code == 0
    assert deployer("upgrade").code == 0


LIFE = f"""
    provider add google --key-env SEXTON_TEST_KEY
    provider update google --display-name G --user-keys
    provider user-key google {USER} --key-env SEXTON_TEST_KEY
    provider user-key google {USER} --remove
    model create google gemini --context-limit 5000
    model update {OLD} --disable
    model promote {CLAUDE}
    model reassign {GPT} --to {CLAUDE}
    model delete {OLD}
    provider disable openai
    provider enable openai
    provider delete openai
    provider add openai --key-env SEXTON_TEST_KEY
    provider restore openai
    provider list
    model list
    chat resolve {CHAT}
    history
    status
"""


def test_a_repairer_does_the_whole_life_cycle(with_journal, granted, monkeypatch):
    monkeypatch.setenv("SEXTON_TEST_KEY", KEY)
    repairer, _ = granted(with_journal(fill), "repairer")
    for line in LIFE.strip().splitlines():
        result = repairer(*line.split())
        assert result.code == 0, (line, result.stderr)


def test_a_repairer_repairs_and_undoes(with_journal, granted, tmp_path):
    repairer, _ = granted(with_journal(damage), "repairer")
    plan = str(tmp_path / "plan.json")
    assert repairer("repair", "--out", plan, "--max-fraction", "1").code == 1
    assert repairer("apply", plan).code == 0
    assert repairer("undo", "2").code in (0, 1)  # the first is the upgrade
    for check in ("threshold_dangling", "tombstone_unreferenced", "user_key_unusable"):
        options = ["--unsafe", check, "--apply", "--max-fraction", "1"]
        # What a person must decide is left, and told by 1; a missing right would be 3.
        assert repairer("repair", check, *options).code in (0, 1)


@pytest.mark.parametrize(
    ("line", "code"),
    [("provider delete openai", 0), ("repair --apply --max-fraction 1", 1)],
)
def test_a_schema_made_for_a_role_is_enough_for_its_journal(
    closed, granted, role, line, code
):
    def prepare(connection):
        (fill if code == 0 else damage)(connection)
        owned = sql.SQL("alter schema sexton owner to {}").format(sql.Identifier(role))
        connection.execute("drop table if exists sexton.changes, sexton.runs")
        connection.execute(owned)

    repairer, document = granted(closed(prepare=prepare), "repairer")
    assert not [g for g in document["grants"] if "create on database" in g["sql"]]
    result = repairer(*line.split())
    assert result.code == code, result.stderr
    assert len(repairer("history", "--format", "json").json["runs"]) == 1


def test_a_repairer_writes_nothing_else(closed, granted):
    url = closed(prepare=fill)
    _, document = granted(url, "repairer")
    writes = written(all_checks().values(), current().writable)
    for grant in document["grants"]:
        if grant["sql"].startswith(("grant insert", "grant update", "grant delete")):
            table = grant["sql"].split(" on table ")[1].partition(" to ")[0]
            name = table.replace('"', "").removeprefix("public.")
            assert name in writes or name.startswith("sexton.")


def test_a_name_that_a_terminal_would_obey_is_escaped(closed, capfd):
    odd = "a\x1b[2Jb\nc"
    text = Cli(closed(), capfd)("grants", "auditor", "--to", odd).stdout
    assert "\x1b" not in text
    assert "U&" in text
