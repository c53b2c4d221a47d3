"""Soft deletes that a database seems to have are proposed in comments."""

import re

import pytest

from sexton import project
from sexton.database import connect
from tests.support.tools import Cli

TABLES = """
    create schema crm;
    create table twice (id int primary key, deleted boolean, "deletedAt" timestamp);
    create table chat (id int primary key, deleteat bigint not null default 0);
    create table crm."My Rows" (id int primary key, "is_Deleted" smallint);
    create table dated (id int primary key, removed_at timestamptz, a text, "B c" int);
    create unique index on dated (lower(a), "B c");
    create unique index on dated (a) where removed_at is null;
    create table endless (
        id int primary key, deleted_at timestamptz not null default 'infinity'
    );
    create table plain (id int primary key, deletion_reason text);
    create table parts (id int, deleted_at date, primary key (id)) partition by list (id);
    create table parts_1 partition of parts default;
    create table child (
        id int primary key, dated_id int references dated, plain_id int references plain
    );
    insert into dated values (1, now());
    insert into plain values (1);
    insert into child values (1, 1, 1);
"""
ENTRIES = """\
# [[soft_delete]]
# table = "twice"
# deleted = "deleted"
# deleted_at = "deletedAt"
#
# [[soft_delete]]
# table = "chat"
# live = "deleteat = 0"
# set = { deleteat = "extract(epoch from now())" }
#
# [[soft_delete]]
# table = "dated"
# deleted_at = "removed_at"
#
# [[unique]]
# table = "dated"
# columns = ["lower(a)", "\\"B c\\""]
#
# [[soft_delete]]
# table = "endless"
# live = "deleted_at = 'infinity'"
# set = { deleted_at = "now()" }
#
# [[soft_delete]]
# table = "parts"
# deleted_at = "deleted_at"
#
# [[soft_delete]]
# table = "crm.My Rows"
# live = "\\"is_Deleted\\" = 0"
# set = { is_Deleted = "1" }
"""


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    with connect(url, name="tests") as connection:
        connection.execute(TABLES)
    monkeypatch.chdir(tmp_path)
    return Cli(url, capfd)


def by_table(text):
    return sorted(re.split(r"\n#\n(?=# \[\[)", text.strip("\n")))


def test_they_are_proposed_and_can_all_be_uncommented(run, tmp_path):
    made = run("init")
    assert made.code == 0
    assert "2 references; 6 tables may be soft-deleted" in made.stderr
    file = tmp_path / "sexton.toml"
    text = file.read_text()
    found = text[text.index("# [[soft_delete]]") : text.index("\n#\n# Then each live")]
    assert by_table(found) == by_table(ENTRIES)
    labels = {ref.label: ref for ref in project.load(file).declared.reference}
    assert labels["child.dated_id -> dated.id"].on_delete == "keep"
    assert labels["child.plain_id -> plain.id"].on_delete == "refuse"
    file.write_text(text.replace(found, found.replace("# ", "").replace("\n#\n", "\n\n")))
    assert len(project.load(file).declared.soft_delete) == 6
    assert len(project.load(file).declared.unique) == 1
    audited = run("audit", "--confirm-after", "0")
    assert "1 warn (dated_key_counts_deleted). Exit 1." in audited.stdout


def test_none_are_proposed_for_tables_without_marks(run):
    with connect(run.url, name="tests") as connection:
        connection.execute(
            'drop table twice, chat, dated, endless, parts, crm."My Rows" cascade'
        )
    made = run("init", "--out", "-")
    assert "For example" in made.stdout
    assert "may be soft-deleted" not in made.stderr
