"""A project file: what is read of it, what is refused, and the checks that follow."""

import json
import os
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

import sexton
from sexton import project
from sexton.check import Severity
from sexton.cli.audit import audit
from sexton.declarations import project_file
from sexton.declarations.environment import own_environment
from sexton.errors import UsageError
from tests.support import shop

PACKAGE = Path(sexton.__file__).parent


def refused(file, text):
    file.write_text('project = "x"\n' + text)
    with pytest.raises(UsageError) as caught:
        project.load(file)
    found = re.fullmatch(r"(.*?)(?::\d+)?: (.*)", caught.value.message, re.DOTALL)
    assert found[1] == str(file)
    return found[2]


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
            REFERENCE + 'on_orphan = "softdelete"',
            "reference[0].on_orphan: 'softdelete' is not known; did you mean soft_delete?",
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
            "reference[0].on_orphan: 'tombstone' needs a [[soft_delete]] of a",
        ),
        (REFERENCE + "guard = true", "reference[0].guard: a guard leaves out the rows"),
        (REFERENCE * 2, "reference[1]: there is a check a_b_dangling already"),
        (
            REFERENCE + 'name = "No Name"',
            "reference[0].name: expected `str` matching regex",
        ),
        ('[[soft_delete]]\ntable = "a"', "soft_delete[0]: a soft delete has a boolean"),
        (
            '[[soft_delete]]\ntable = "a"\ndeleted = "b"\nlive = "b = 0"',
            "soft_delete[0]: write either `deleted` or `live`, not both",
        ),
        (
            '[[soft_delete]]\ntable = "a"\ndeleted = "b"\nset = { b = "1" }',
            "soft_delete[0]: `set` needs `live`",
        ),
        (
            '[[soft_delete]]\ntable = "a"\nlive = "true"',
            "soft_delete[0]: `live = 'true'` holds for every row",
        ),
        (
            '[[soft_delete]]\ntable = "a"\nlive = "b = 0"\nset = { b = "1; drop x" }',
            "soft_delete[0]: `1; drop x` is no SQL",
        ),
        (
            '[[soft_delete]]\ntable = "a"\nlive = "b = 0"\n'
            + REFERENCE
            + 'on_orphan = "soft_delete"',
            "reference[0].on_orphan: 'soft_delete' needs `set` in the [[soft_delete]] of a",
        ),
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("refrence = []", 2),
        ("\n\n[[refrence]]", 4),
        (REFERENCE + "chil = 1", 5),
        (REFERENCE + "\n# [[reference]]\n" + REFERENCE + "live = 3", 10),
        (REFERENCE + 'live = """\n[[reference]]\nlive = 1\n"""\nguard = 1', 9),
        ('[[reference]]\nchild = "a.b"', 2),
        (REFERENCE * 2, 5),
        (REFERENCE + "guard = true", 5),
    ],
)
def test_what_is_wrong_is_said_with_its_line(file, text, line):
    file.write_text('project = "x"\n' + text)
    with pytest.raises(UsageError, match=re.escape(f"{file}:{line}: ")):
        project.load(file)


def test_entries_are_numbered_without_those_of_the_extended_project(file):
    built_in = len(project.built_in("chat-v2.34").declared.reference)
    assert built_in
    assert refused(file, 'extends = "chat-v2.34"\n' + REFERENCE * 2).startswith(
        "reference[1]: there is a check"
    )


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


@pytest.fixture
def theirs(monkeypatch):
    """Give paths to another account, which only root can; else be another account."""

    def give(*paths):
        for path in paths:
            if os.geteuid() == 0:
                os.chown(path, 4242, -1, follow_symlinks=False)
            else:
                monkeypatch.setattr("os.geteuid", lambda: 12345)

    return give


PROGRAM = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


CHECK = """'''Nothing is wrong.'''
from sexton.check import Check
check = Check(__name__, severity="error", table="t", key=(), message="", find="select 1")
"""


def planted(folder):
    """A project file, and programs that it names."""
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "some_check.py").write_text(PROGRAM)
    (folder / "db" / "versions").mkdir(parents=True)
    (folder / "db" / "env.py").write_text(PROGRAM)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/db\n")
    (folder / "baseline.json").write_text("{}")
    (folder / "sexton.toml").write_text(
        'project = "p"\nchecks = ["own"]\nalembic = "alembic.ini"\n'
        'baseline = "baseline.json"\n'
    )
    return folder


def refused_unasked(folder, monkeypatch):
    """Look for the project in a folder, and read what it names: it is refused."""
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=r"is not (read|used) unasked: ") as refused:
        own_environment(project.find())
    assert not list(folder.rglob("ran"))
    assert "sexton --config" in refused.value.hint
    return refused.value.message


@pytest.mark.parametrize(
    "name",
    [
        *("sexton.toml", ".", "own", "own/some_check.py", "baseline.json"),
        *("alembic.ini", "db", "db/env.py", "db/versions"),
    ],
)
def test_what_another_account_may_change_is_not_executed(
    tmp_path, monkeypatch, theirs, name
):
    folder = planted(tmp_path / "mine")
    (folder / "own" / "some_check.py").write_text(CHECK)
    theirs(folder / name)
    said = refused_unasked(folder, monkeypatch)
    assert "belongs to another account" in said


@pytest.mark.parametrize("name", ["sexton.toml", ".", "own", "own/some_check.py", "db"])
def test_what_every_account_may_write_is_not_executed(tmp_path, monkeypatch, name):
    folder = planted(tmp_path / "mine")
    (folder / "own" / "some_check.py").write_text(CHECK)
    (folder / name).chmod(0o777)
    assert "every account may write" in refused_unasked(folder, monkeypatch)


def test_a_strangers_link_to_a_file_of_ours_is_refused(tmp_path, monkeypatch, theirs):
    mine, stranger = planted(tmp_path / "mine"), tmp_path / "stranger"
    (stranger / "own").mkdir(parents=True)
    (stranger / "own" / "some_check.py").write_text(PROGRAM)
    (stranger / "sexton.toml").symlink_to(mine / "sexton.toml")
    theirs(stranger / "sexton.toml")
    refused_unasked(stranger, monkeypatch)
    (stranger / "sexton.toml").unlink()
    (stranger / "sexton.toml").symlink_to(mine / "sexton.toml")  # in a folder of theirs
    theirs(stranger)
    refused_unasked(stranger, monkeypatch)


def test_names_are_beside_the_file_that_a_link_leads_to(tmp_path, monkeypatch):
    mine, linked = planted(tmp_path / "mine"), tmp_path / "linked"
    (mine / "own" / "some_check.py").write_text(CHECK)
    (linked / "own").mkdir(parents=True)
    (linked / "own" / "some_check.py").write_text(PROGRAM)
    (linked / "sexton.toml").symlink_to(mine / "sexton.toml")
    monkeypatch.chdir(linked)
    found = project.find()
    assert list(found.checks) == ["some_check"]
    assert found.alembic == mine / "alembic.ini"
    assert not list(tmp_path.rglob("ran"))


def test_a_file_that_the_user_names_may_be_anybodys(tmp_path, theirs):
    folder = planted(tmp_path / "mine")
    (folder / "own" / "some_check.py").write_text(CHECK)
    theirs(folder / "sexton.toml", folder / "own", folder / "db")
    found = project.load(folder / "sexton.toml")
    assert list(found.checks) == ["some_check"]
    own_environment(found)


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
    known = {*project_file.Options.__struct_fields__, "trust_owner"}
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
    "customers_key_counts_deleted": [],
    "customers_half_deleted": [{"id": 3}],
    "invoices_customer_id_dangling": [{"id": 2}, {"id": 4}],
    "invoices_customer_id_undecided": [],
    "note_lines_without_note": [{"Tenant": 2, "No": "a", "place": 1}],
    "staff_boss_id_dangling": [{"id": 4}],
    "staff_deleted_at_implausible": [],
    "staff_key_counts_deleted": [],
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
    said = run("provider", "list").stderr
    assert "no such command 'provider' here: it is the built-in product's" in said
    assert file.name in said
    assert "  provider" not in run("--help", database=False).stdout
