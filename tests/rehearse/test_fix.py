"""What a rehearsal offers instead, and `--fix`; other tools' rules; the base's models."""

import subprocess

import pytest

from sexton.errors import UsageError
from sexton.rehearse import squawk
from tests.support.rehearsals import ADD, DROP, INDEX, MODELS, Environment, codes, git, of

KEY = """op.create_foreign_key(
    "k", "invoices", "customers", ["customer_id"], ["id"]
)"""
ONLINE = (
    ("op.create_index_online", 'op.drop_index("i")', INDEX),
    ("op.create_foreign_key_online", 'op.drop_constraint("k", "invoices")', KEY),
    (
        "op.set_not_null_online",
        'op.alter_column("invoices", "note", nullable=True)',
        "op.execute(\"update invoices set note = '' where note is null\")\n"
        'op.alter_column("invoices", "note", nullable=False)',
    ),
    (
        "op.create_unique_online",
        'op.drop_constraint("u", "invoices")',
        'op.create_unique_constraint("u", "invoices", ["total"])',
    ),
)


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path)


def instead(document, number):
    return [f.instead for f in of(document, number).findings if f.instead]


@pytest.mark.parametrize(("operation", "down", "up"), ONLINE)
def test_the_diff_is_what_fix_writes_and_ends_the_finding(
    environment, server, tmp_path, operation, down, up
):
    file = environment.add("one", up, down)
    before = file.read_text()
    (diff,) = {one.diff for one in instead(environment.rehearse(on=server), "one")} - {None}
    assert f"+    {operation}(" in diff
    assert file.read_text() == before
    found = environment.rehearse(on=server, fix=True)
    assert {"blocking-index-build", "scan-under-lock"} & set(codes(of(found, "one")))
    assert f"    {operation}(" in file.read_text()
    again = codes(of(environment.rehearse(on=server), "one"))
    assert not {"blocking-index-build", "scan-under-lock"} & set(again)
    (patch := tmp_path / "p.diff").write_text(diff)
    file.write_text(before)
    name = diff.split()[1].removeprefix("a/")
    patch.write_text(diff.replace(name, "db/versions/one.py"))
    git(tmp_path, "init", "-b", "main")
    subprocess.run(["git", "apply", "p.diff"], cwd=tmp_path, check=True)
    assert f"    {operation}(" in file.read_text()


def test_fix_imports_what_registers_the_operations(environment, server):
    file = environment.add("one", INDEX, 'op.drop_index("i")')
    file.write_text(file.read_text().replace("import sexton.alembic\n", ""))
    environment.rehearse(on=server, fix=True)
    assert "from alembic import op\nimport sexton.alembic  # noqa: F401\n" in (
        file.read_text()
    )
    assert codes(of(environment.rehearse(on=server), "one")) == []


@pytest.mark.parametrize(
    "up",
    [
        'for name in ("i", "j"):\n    op.create_index(name, "invoices", ["total"])',
        'with op.batch_alter_table("invoices") as batch:\n'
        '    batch.create_index("i", ["total"])',
        'op.execute("create index i on invoices (total)")',
        'op.create_index("i", "invoices", ["total"], postgresql_with={"fillfactor": 50})',
        f"{INDEX}  # sexton: accept blocking-index-build because it is small",
    ],
)
def test_what_is_not_rewritten(environment, server, up):
    file = environment.add("one", up, 'op.execute("drop index if exists i, j")')
    before = file.read_text()
    assert "blocking-index-build" in {
        one.code for one in of(environment.rehearse(on=server, fix=True), "one").findings
    }
    assert file.read_text() == before


def test_what_the_models_of_the_base_use_is_not_dropped(tmp_path, server):
    """The application of the base still runs during the deploy; ours is another one."""
    own = "import sys; sys.path.insert(0, '.')\nimport shop"
    environment = Environment(tmp_path, before=own, metadata="shop.metadata")
    (tmp_path / "shop.py").write_text(MODELS)
    environment.add("released", ADD, DROP)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "released")
    git(tmp_path, "checkout", "-b", "feature")
    environment.add(
        "new",
        'op.drop_column("invoices", "paid")\nop.execute("drop type mood")',
        ADD + "\nop.execute(\"create type mood as enum ('glad', 'sad')\")",
    )
    environment.add(
        "table",
        'op.drop_table("customers")',
        'op.execute("create table customers (id bigint primary key, name text, '
        'email varchar(50), age int)")',
    )
    less = MODELS.replace(',\n    sa.Column("paid", sa.Boolean)', "")
    less = less.replace('sa.Table("customers"', 'sa.Table("customers", sa.MetaData()', 1)
    (tmp_path / "shop.py").write_text(
        less.replace("sa.MetaData(), metadata", "sa.MetaData()")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        document = environment.rehearse(base="main", on=server)
    (dropped,) = [
        f for f in of(document, "new").findings if f.code == "drop-of-used-column"
    ]
    assert (dropped.line, dropped.severity) == (13, "error")
    assert "invoices.paid" in dropped.message
    (dropped,) = [f for f in of(document, "table").findings if f.code == dropped.code]
    assert "drops customers, which" in dropped.message


def test_models_of_the_base_that_cannot_be_imported_are_said(tmp_path, server):
    own = "import sys; sys.path.insert(0, '.')\nimport shop"
    environment = Environment(tmp_path, before=own, metadata="shop.metadata")
    (tmp_path / "shop.py").write_text("raise ImportError('no such thing')")
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "released")
    git(tmp_path, "checkout", "-b", "feature")
    (tmp_path / "shop.py").write_text(MODELS)
    environment.add("new", 'op.drop_column("customers", "age")', "pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        document = environment.rehearse(base="main", on=server)
    (unknown,) = [f for f in of(document, "new").findings if f.code == "models-unknown"]
    assert unknown.severity == "info"
    assert "no such thing" in unknown.message


def test_squawk_is_asked_about_the_statements_that_ran(environment, server):
    environment.add(
        "one",
        'op.execute("select 1")\nop.execute("alter table invoices\\n add x char(3)")',
        "op.execute('alter table invoices drop x')",
    )
    found = of(environment.rehearse(on=server, also_squawk=True), "one").findings
    (one,) = [f for f in found if f.code == "squawk-ban-char-field"]
    assert (one.line, one.severity) == (14, "warning")
    assert one.file.endswith("one.py")


def test_without_squawk_nothing_begins(environment, server, monkeypatch):
    monkeypatch.setattr(squawk.shutil, "which", lambda *_, **__: None)
    environment.add("one", INDEX)
    with pytest.raises(UsageError, match="squawk is not installed"):
        environment.rehearse(on=server, also_squawk=True)
