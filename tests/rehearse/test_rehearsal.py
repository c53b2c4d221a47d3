"""A rehearsal as a whole: what is new, what is accepted, what is incomplete."""

import datetime

import pytest

from sexton.errors import UsageError
from tests.support.rehearsals import (
    ADD,
    DROP,
    INDEX,
    MODELS,
    Environment,
    codes,
    git,
    of,
)


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path)


def test_what_is_observed_of_a_statement(environment, server):
    environment.add("one", INDEX, 'op.drop_index("i")')
    document = environment.rehearse(on=server, rows={"invoices": 5_000_000})
    assert document.base == "rev:root"
    (statement,) = of(document, "one").statements
    assert statement.line == 13
    assert statement.sql == "CREATE INDEX i ON invoices (total)"
    assert [(lock.table, lock.mode) for lock in statement.locks] == [("invoices", "SHARE")]
    assert (statement.built, statement.scanned) == (["i"], ["invoices"])
    assert statement.rewritten == []
    assert statement.estimate_ms == 10_000
    assert statement.others_waited_ms is not None
    proofs = of(document, "one").proofs
    assert (proofs.up_down_up, proofs.killed_and_resumed) == ("passed", "passed")


def test_each_revision_runs_after_the_ones_before_it(environment, server):
    environment.add("one", 'op.create_table("t", sa.Column("id", sa.Integer))', "pass")
    environment.add("two", 'op.create_index("ti", "t", ["id"])', 'op.drop_index("ti")')
    document = environment.rehearse(on=server)
    assert codes(of(document, "one")) == ["no-way-down"]
    assert codes(of(document, "two")) == ["blocking-index-build"]
    only = environment.rehearse("two", on=server)
    assert [one.revision for one in only.revisions] == ["two"]


def test_all_revisions_from_nothing(environment, server):
    document = environment.rehearse(base="base", on=server)
    assert codes(of(document, "root")) == ["no-way-down"]


def test_a_branch_of_git_says_what_is_new(environment, server, tmp_path):
    environment.add("released", ADD, DROP)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "released")
    git(tmp_path, "checkout", "-b", "feature")
    environment.add("new", INDEX, 'op.drop_index("i")')
    document = environment.rehearse(base=None, on=server)
    assert document.base.startswith("main (")
    assert [one.revision for one in document.revisions] == ["new"]
    file = environment.versions / "released.py"
    file.write_text(file.read_text() + "# changed\n")
    changed = environment.rehearse(base="main", on=server)
    assert codes(of(changed, "released")) == ["changed-after-release"]


@pytest.mark.parametrize("base", ["nowhere", "rev:nowhere", "--output=/tmp/x"])
def test_a_base_that_is_none_is_refused(environment, base):
    with pytest.raises(UsageError, match="is no revision and no commit"):
        environment.rehearse(base=base)


def test_without_a_branch_a_base_must_be_named(environment):
    with pytest.raises(UsageError, match="no branch to compare with") as caught:
        environment.rehearse(base=None)
    assert "--base base" in caught.value.hint


def test_a_dump_makes_the_base(environment, server, tmp_path):
    dump = tmp_path / "schema.sql"
    dump.write_text(
        "\\restrict x\nset search_path = '';\n"
        "create table public.invoices (id int, total int);\n"
    )
    environment.add("one", INDEX, 'op.drop_index("i")')
    document = environment.rehearse(on=server, schema=dump)
    assert codes(of(document, "one")) == ["blocking-index-build"]


def test_an_accepted_finding_does_not_count(environment, server):
    accept = "# sexton: accept blocking-index-build because it is small"
    environment.add("one", f"{accept} until 2999-12-31\n{INDEX}", 'op.drop_index("i")')
    document = environment.rehearse(on=server)
    assert (document.summary.status, document.summary.exit_code) == ("clean", 0)
    (finding,) = of(document, "one").findings
    assert (finding.accepted.reason, finding.accepted.until) == (
        "it is small",
        "2999-12-31",
    )


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        (
            "accept blocking-index-build because small until 2001-01-01",
            "acceptance-expired",
        ),
        ("accept blocking-index-build", "acceptance-without-reason"),
        ("accept blocking-index-build until 2999-01-01", "acceptance-without-reason"),
        (
            "accept blocking-index-build because x until 2999-31-31",
            "acceptance-without-reason",
        ),
        ("accept table-rewrite because it is another", None),
    ],
)
def test_what_accepts_nothing(environment, server, comment, code):
    environment.add("one", f"{INDEX}  # sexton: {comment}", 'op.drop_index("i")')
    document = environment.rehearse(on=server)
    expected = {"blocking-index-build", code} - {None}
    assert set(codes(of(document, "one"))) == expected
    assert document.summary.exit_code == 1


def test_the_models_must_equal_the_database(tmp_path, server):
    environment = Environment(tmp_path, before=MODELS, metadata="metadata")
    environment.add("one", 'op.execute("select 1")', 'op.execute("select 1")')
    document = environment.rehearse(on=server)
    (finding,) = of(document, "one").findings
    assert finding.code == "models-differ"
    assert "paid" in finding.message
    environment.add("two", ADD, DROP)
    document = environment.rehearse("two", on=server)
    assert document.summary.status == "clean"
    assert of(document, "two").proofs.models_equal == "passed"


def test_the_teams_own_slip_is_incomplete(environment, server):
    environment.add("one", 'op.execute("alter table nothing add x int")')
    environment.add("two", INDEX)
    document = environment.rehearse(on=server)
    assert (document.summary.status, document.summary.exit_code) == ("incomplete", 3)
    (one,) = document.revisions
    assert 'relation "nothing" does not exist' in one.problem
    assert "one.py, line 13" in one.problem


def test_a_revision_that_fails_by_itself_ends_the_rehearsal(environment, server):
    line = 'op.create_index("i", "invoices", ["total"], postgresql_concurrently=True)'
    environment.add("one", line)
    environment.add("two", ADD, DROP)
    document = environment.rehearse(on=server)
    assert [one.revision for one in document.revisions] == ["one"]
    assert codes(document.revisions[0]) == ["concurrently-in-transaction"]
    assert document.summary.exit_code == 3


def test_rows_that_the_revision_corrects_are_no_finding(environment, server):
    environment.add(
        "one",
        """
        op.execute("update invoices set note = 'none' where note is null")
        op.alter_column("invoices", "note", nullable=False)
        """,
        'op.alter_column("invoices", "note", nullable=True)',
    )
    assert "not-null-fails-on-data" not in codes(of(environment.rehearse(on=server), "one"))


def test_an_env_py_reaches_no_other_database(tmp_path, server):
    before = """
    import os
    from sqlalchemy import create_engine
    for url in (os.environ["DATABASE_URL"], "postgresql+psycopg://u:p@db.invalid/live"):
        with create_engine(url, poolclass=pool.NullPool).connect() as other:
            name = other.exec_driver_sql("select current_database()").scalar_one()
            assert name.startswith("rehearsal"), name
    """
    environment = Environment(tmp_path, before=before)
    environment.add("one", ADD, DROP)
    assert environment.rehearse(on=server).summary.status == "clean"


def test_nothing_new_is_clean(environment, server):
    document = environment.rehearse(on=server)
    assert (document.revisions, document.summary.exit_code) == ([], 0)


def test_dates_are_days(environment, server):
    today = datetime.date.today().isoformat()
    comment = f"# sexton: accept blocking-index-build because x until {today}"
    environment.add("one", f"{comment}\n{INDEX}", 'op.drop_index("i")')
    assert environment.rehearse(on=server).summary.status == "clean"
