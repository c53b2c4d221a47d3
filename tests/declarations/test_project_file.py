"""A project file: what is read of it, what is refused, and the checks that follow."""

import json
import os
import tomllib
from pathlib import Path

import jsonschema
import psycopg
import pytest

import sexton
from sexton import project
from sexton.check import Severity
from sexton.cli.audit import audit
from sexton.database import connect, rows, scalar
from sexton.declarations import project_file
from sexton.errors import UsageError
from tests.support import shop
from tests.support.tools import Cli

PACKAGE = Path(sexton.__file__).parent


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sexton.toml"


@pytest.fixture
def shop_url(database):
    url = database("empty")
    shop.build(url)
    return url


@pytest.fixture
def run(shop_url, file, capfd):
    """Run a command with the shop's project file."""
    file.write_text(shop.FILE)
    cli = Cli(shop_url, capfd)
    return lambda *arguments, **how: cli(*arguments, "--config", str(file), **how)


def refused(file, text):
    file.write_text('project = "x"\n' + text)
    with pytest.raises(UsageError) as caught:
        project.load(file)
    assert caught.value.message.startswith(f"{file}: ")
    return caught.value.message.removeprefix(f"{file}: ")


REFERENCE = '[[reference]]\nchild = "a.b"\nparent = "c.d"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refrence = []", "refrence is not known; did you mean reference?"),
        ("qqq = 1", "qqq is not known: it is one of format, output,"),
        (REFERENCE + "chil = 1", "reference[0].chil is not known; did you mean child?"),
        (
            REFERENCE * 2 + "live = 3",
            "reference[1].live: expected `str | null`, got `int`: 3",
        ),
        ('[[reference]]\nchild = "a.b"', "reference[0]: `parent` is missing"),
        (
            REFERENCE + 'on_orphan = "tombstne"',
            "reference[0].on_orphan: 'tombstne' is not known; did you mean tombstone?",
        ),
        (
            REFERENCE + 'severity = "erorr"',
            "reference[0].severity: 'erorr' is not known; did you mean error?",
        ),
        (
            '[[reference]]\nchild = "a"\nparent = "c.d"',
            "reference[0]: `a` names no column: write `table.column`",
        ),
        (
            '[[reference]]\nchild = "a.b; drop table c"\nparent = "c(d"',
            "reference[0]: `c(d` names no column",
        ),
        (
            '[[reference]]\nchild = "a(b, c)"\nparent = "c.d"',
            "reference[0]: a(b, c) -> c.d pairs 2 columns with 1",
        ),
        (REFERENCE + 'live = "true) or (true"', "reference[0]: `true) or (true` is no SQL"),
        (REFERENCE + 'live = "x = \'a"', "reference[0]: `x = 'a` is no SQL condition"),
        (REFERENCE + 'live = "a; b"', "reference[0]: `a; b` is no SQL condition"),
        (
            REFERENCE + 'on_orphan = "tombstone"',
            "reference[0].on_orphan: a tombstone needs",
        ),
        (REFERENCE + "guard = true", "reference[0].guard: where every row counts"),
        (REFERENCE * 2, "reference[1]: there is a check a_b_dangling already"),
        (
            REFERENCE + 'name = "No Name"',
            "reference[0].name: expected `str` matching regex",
        ),
        ('[[soft_delete]]\ntable = "a"', "soft_delete[0]: a soft delete has a boolean"),
        (
            '[[default]]\ntable = "a"\nflag = "f"\nelect = ["a.b desc"]',
            "default[0]: `a.b desc` is no order",
        ),
        ('statement_timeout = "1 fortnight"', "'1 fortnight' is no time"),
        ('extends = "chatt"', "extends: 'chatt' is not built in; did you mean chat?"),
        ('severity = { nothing = "info" }', "severity: there is no check nothing"),
        ("project = 3", "Cannot overwrite a value"),
        ("[", "Invalid initial character"),
    ],
)
def test_what_is_wrong_is_said_with_its_path_and_the_nearest_name(file, text, message):
    assert message in refused(file, text)


def test_what_is_found_above_is_the_nearest(tmp_path, monkeypatch):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    (tmp_path / "sexton.toml").write_text('project = "far"')
    assert project.find().name == "far"
    (tmp_path / "a" / "pyproject.toml").write_text('[tool.sexton]\nproject = "near"\n')
    assert project.find().name == "near"
    (tmp_path / "a" / "sexton.toml").write_text('project = "former"')
    assert project.find().name == "former"
    (tmp_path / "a" / "b" / "pyproject.toml").write_text("[tool.other]\nx = 'sexton'\n")
    assert project.find().name == "former"


def test_a_file_of_another_account_is_not_read_unasked(tmp_path, monkeypatch):
    (tmp_path / "sexton.toml").write_text('project = "theirs"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    owner = (tmp_path / "sexton.toml").stat().st_uid
    if owner:
        with pytest.raises(UsageError, match="belongs to another account"):
            project.find()
    else:
        (tmp_path / "sexton.toml").unlink()
        (tmp_path / "sexton.toml").write_text('project = "theirs"')
        os.chown(tmp_path / "sexton.toml", 4242, -1)
        with pytest.raises(UsageError, match="belongs to another account"):
            project.find()


def test_chat_is_built_in_alone_and_as_a_base(file):
    file.write_text('project = "chat"')
    chat = project.built_in("chat")
    assert project.load(file).checks.keys() == chat.checks.keys()
    file.write_text('project = "mine"\nextends = "chat"\n' + REFERENCE)
    mine = project.load(file)
    assert mine.checks.keys() - chat.checks.keys() == {"a_b_dangling"}
    assert (mine.migrations, mine.secrets) == (chat.migrations, chat.secrets)


def test_severities_and_own_checks_are_the_files(tmp_path, file):
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "odd.py").write_text(
        '"""Odd.\n\nWhy.\n\nCure."""\n'
        "from sexton.check import Check, Severity\n"
        'check = Check(__name__, severity=Severity.ERROR, table="t", key=("id",), '
        'message="{id}", where="this.id > 0")\n'
    )
    file.write_text(
        'project = "x"\nchecks = ["checks"]\n[severity]\nodd = "info"\n' + REFERENCE
    )
    found = project.load(file).checks
    assert {name: c.severity for name, c in found.items()} == {
        "odd": Severity.INFO,
        "a_b_dangling": Severity.ERROR,
    }
    assert found["odd"].explanation.startswith("Odd.")


def test_the_schema_in_the_package_is_the_codes():
    file = PACKAGE / "declarations" / "project.schema.json"
    made = json.dumps(project_file.schema(), indent=2, sort_keys=True) + "\n"
    assert file.read_text() == made, (
        "write it anew: python -m sexton.declarations.project_file"
        " > toolkit/sexton/declarations/project.schema.json"
    )
    schema = json.loads(made)
    jsonschema.validate(tomllib.loads(shop.FILE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"project": "x", "refrence": []}, schema)


def test_every_option_of_audit_has_its_long_name_in_the_file():
    options = {
        name.lstrip("-").replace("-", "_")
        for parameter in audit.params
        for name in parameter.opts
        if name.startswith("--")
    }
    known = set(project_file.Options.__struct_fields__)
    # The file's `checks` are folders, and it is no place for a database's address.
    assert options - {"config", "url", "checks"} <= known, (
        "add it to sexton.declarations.project_file.Options"
    )


def test_a_file_speaks_for_the_options_of_audit(run, file):
    file.write_text('fail_on = "never"\nformat = "json"\nsample = 0\n' + shop.FILE)
    result = run("audit", "--confirm-after", "0")
    assert result.code == 0
    assert all(not check["findings"] for check in result.json["checks"])
    assert run("audit", "--confirm-after", "0", "--fail-on", "error").code == 1
    file.write_text("sample = -1\n" + shop.FILE)
    assert run("audit").code == 2


# -- the checks ----------------------------------------------------------------------------

FOUND = {
    "addresses_default_ambiguous": [{"id": 3}, {"id": 4}],
    "addresses_default_dangling": [{"id": 5}],
    "addresses_default_missing": [{"customer_id": 1}],
    "customers_deleted_at_implausible": [{"id": 4}],
    "customers_half_deleted": [{"id": 3}],
    "invoices_customer_id_dangling": [{"id": 2}, {"id": 4}],
    "note_lines_without_note": [{"Tenant": 2, "No": "a", "place": 1}],
    "staff_boss_id_dangling": [{"id": 4}],
    "staff_deleted_at_implausible": [],
}


def test_every_declaration_finds_what_breaks_it(run):
    result = run("audit", "--format", "json", "--confirm-after", "0")
    assert result.code == 1, result.stderr
    checks = {check["check"]: check for check in result.json["checks"]}
    assert {
        name: [finding["key"] for finding in check["findings"]]
        for name, check in checks.items()
    } == FOUND
    assert {check["status"] for check in checks.values()} == {"pass", "fail"}
    [line] = checks["note_lines_without_note"]["findings"]
    assert line["table"] == "billing.Note Lines"
    assert line["message"] == (
        "billing.Note Lines (2, a, 1) names billing.Credit Notes (2, a), "
        "which does not exist"
    )


def test_a_shared_scan_and_two_looks_find_the_same(run, monkeypatch):
    monkeypatch.setattr("sexton.audit.units.LARGE", 0)
    result = run("audit", "--format", "json", "--confirm-after", "10ms")
    assert {
        check["check"]: [finding["key"] for finding in check["findings"]]
        for check in result.json["checks"]
    } == FOUND


def test_checks_and_explain_speak_of_declared_ones(run):
    listed = run("checks", "--format", "json", database=False).json["checks"]
    assert [check["check"] for check in listed] == sorted(FOUND)
    for name in FOUND:
        result = run("explain", name)
        assert result.code == 0, result.stderr
        assert len(result.stdout.split("\n\n")) > 3


def test_nothing_of_the_product_is_left(run, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert "no such command 'provider'" in run("provider", "list").stderr.lower()
    assert "  provider" not in run("--help", database=False).stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'child = "invoices.customer_id"',
            'child = "invoices.custmer_id"',
            "reference[0].child: invoices has no column custmer_id; "
            "did you mean customer_id?",
        ),
        (
            'deleted = "deleted"',
            'deleted = "xyz"',
            "soft_delete[0].deleted: customers has no column xyz\n"
            "  next: sexton revision writes the migration that adds it",
        ),
        (
            'parent = "customers.id"',
            'parent = "costumers.id"',
            "has no table costumers; did you mean customers?",
        ),
        (
            'parent = "customers.id"',
            'parent = "public.customers.id"',
            "customers and public.customers are one table: write it in one way",
        ),
        ("billing.Note Lines", "Note Lines", "did you mean billing.Note Lines?"),
        ('live = "not paid"', 'live = "not payed"', "reference[0].live: 'not payed' is no"),
        ('live = "not paid"', "live = \"paid = 'x'\"", "is no condition over invoices"),
        (
            'id = ["Tenant", "No", "place"]',
            'id = ["Tenant"]',
            "billing.Note Lines has no unique key within (Tenant)",
        ),
    ],
)
def test_what_the_database_lacks_is_refused_by_the_nearest_name(
    run, file, old, new, message
):
    file.write_text(shop.FILE.replace(old, new))
    result = run("audit")
    assert result.code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_key_that_tells_rows_apart_is_told(run, file):
    file.write_text(shop.FILE.replace('id = ["Tenant", "No", "place"]', ""))
    result = run("audit")
    assert result.code == 2
    assert 'write id = ["Tenant", "No", "place"] in one of its entries' in result.stderr


def test_a_valid_key_spares_the_look(run, shop_url):
    with connect(shop_url, name="tests") as connection:
        connection.execute("delete from staff where id = 4")
        connection.execute(
            'delete from billing."Note Lines" where "No" = \'a\' and "Tenant" = 2'
        )
        connection.execute(
            'alter table billing."Note Lines" add foreign key ("Tenant", "No") '
            'references billing."Credit Notes"'
        )
    checks = {
        check["check"]: check
        for check in run("audit", "--format", "json", "--confirm-after", "0").json["checks"]
    }
    assert checks["note_lines_without_note"]["strategy"] == "constraint"


# -- the repairs ---------------------------------------------------------------------------

EVERYTHING = """
    select jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text) as rows from (
        select to_jsonb(c) as t from customers c union all
        select to_jsonb(i) from invoices i union all
        select to_jsonb(a) from addresses a union all
        select to_jsonb(s) from staff s union all
        select to_jsonb(l) from billing."Note Lines" l
    ) t
"""


def everything(url):
    with connect(url, name="tests") as connection:
        return scalar(connection, EVERYTHING)


def test_repairs_do_what_is_declared_and_are_taken_back(run, shop_url):
    before = everything(shop_url)
    planned = run("repair", "--format", "json", "--unsafe", "note_lines_without_note")
    assert planned.code == 1, planned.stderr
    assert everything(shop_url) == before
    result = run(
        *("repair", "--apply", "--unsafe", "note_lines_without_note"),
        *("--max-fraction", "1", "--max-rows", "100"),
    )
    assert result.code == 1, result.stdout + result.stderr  # two take a person
    assert "customers 2 is no live row: customer_id is emptied" in result.stdout
    with connect(shop_url, name="tests") as connection:

        def column(query):
            return [row["value"] for row in rows(connection, query)]

        assert column("select customer_id as value from invoices order by id") == [
            *(1, None, 2, None, None)
        ]
        assert column(
            "select id as value from staff where gone_at is null order by id"
        ) == [*(1, 2)]
        assert column("select id as value from addresses where is_default order by id") == [
            *(2, 4)
        ]
        assert column('select count(*) as value from billing."Note Lines"') == [2]
    left = run("audit", "--format", "json", "--confirm-after", "0").json["checks"]
    assert {c["check"] for c in left if c["count"]} == {
        "customers_deleted_at_implausible",
        "customers_half_deleted",
    }
    undone = run("undo", "1")
    assert undone.code == 0, undone.stdout + undone.stderr
    assert everything(shop_url) == before


def test_a_dead_row_hands_its_flag_on(run, file, shop_url):
    file.write_text(
        """
        project = "shop"
        [[soft_delete]]
        table = "addresses"
        deleted = "deleted"
        [[reference]]
        child = "addresses.customer_id"
        parent = "customers.id"
        on_orphan = "tombstone"
        [[default]]
        table = "addresses"
        flag = "is_default"
        required = true
        """
    )
    with connect(shop_url, name="tests") as connection:
        connection.execute("update addresses set is_default = false, customer_id = 1")
        connection.execute(
            "update addresses set is_default = true, customer_id = 99 where id = 1"
        )
    result = run("repair", "--apply", "--max-fraction", "1")
    assert result.code == 0, result.stdout + result.stderr
    with connect(shop_url, name="tests") as connection:
        [row] = rows(connection, "select id, deleted from addresses where is_default")
    assert row == {"id": 2, "deleted": False}


def test_keys_and_guards_that_are_asked_for_are_looked_for(run, file, shop_url):
    text = shop.FILE.replace('live = "not paid"', 'live = "not paid"\nguard = true')
    text = text.replace('name = "note_lines', 'key = "foreign"\nname = "note_lines')
    file.write_text(text.replace('severity = "warning"', 'key = "none"'))
    with connect(shop_url, name="tests") as connection:
        connection.execute("delete from staff where id = 4")
        connection.execute(
            "alter table staff add constraint odd foreign key (boss_id) references staff"
        )
        connection.execute("update invoices set customer_id = null")

    def found():
        result = run("audit", "declared_keys", "--format", "json", "--confirm-after", "0")
        assert result.code in (0, 1), result.stderr + result.stdout
        [check] = result.json["checks"]
        return {f["key"]["reference"]: f["values"] for f in check["findings"]}, check

    first, check = found()
    assert set(first) == {
        "billing.Note Lines(Tenant, No) -> billing.Credit Notes(Tenant, No)",
        "invoices.customer_id -> customers.id",
        "staff.boss_id -> staff.id",
    }
    said = " ".join(finding["message"] for finding in check["findings"])
    assert "alter table staff drop constraint odd" in said
    assert 'alter table billing."Note Lines" add foreign key ("Tenant", "No")' in said
    with connect(shop_url, name="tests") as connection:
        connection.execute("alter table staff drop constraint odd")
        connection.execute('delete from billing."Note Lines"')
        connection.execute(
            'alter table billing."Note Lines" add foreign key ("Tenant", "No") '
            'references billing."Credit Notes"'
        )
    result = run("guard", "add")
    assert result.code == 0, result.stderr
    assert found()[0] == {}
    with connect(shop_url, name="tests") as connection:
        connection.execute("insert into invoices (customer_id) values (1)")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("update customers set deleted = true where id = 1")
    assert run("guard", "status").code == 0
    assert run("guard", "remove").code == 0
