"""`sexton revision`: what differs becomes a revision that runs, and runs back."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from sexton.database import connect
from sexton.ddl.engine import engine
from tests.support.environments import ENV
from tests.support.revisions import TEMPLATE, state
from tests.support.schemas import conforms
from tests.support.tools import Cli

TABLES = """
    create schema billing;
    create table customers (id bigint generated always as identity primary key, name text);
    create table invoices (
        id bigint primary key, customer_id bigint, paid boolean not null default false,
        constraint invoices_customer foreign key (customer_id) references customers
            on delete cascade deferrable initially deferred
    );
    create table billing."Note Lines" (
        id bigint primary key, "Tenant" bigint, "No" text, is_default boolean
    );
    create table billing.notes ("Tenant" bigint, "No" text, id bigint primary key);
    create table addresses (
        id bigint primary key, customer_id bigint references customers,
        is_default boolean not null default false, gone_at timestamptz
    );
    create index on addresses (customer_id);
    alter table addresses drop constraint addresses_customer_id_fkey;
    alter table addresses add constraint old_one foreign key (customer_id)
        references customers not valid;
"""
FILE = """
project = "shop"
alembic = "alembic.ini"

[[soft_delete]]
table = "customers"
deleted = "deleted"
deleted_at = "deleted_at"

[[soft_delete]]
table = "addresses"
deleted = "deleted"
deleted_at = "gone_at"

[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
live = "not paid"
key = "none"
guard = true

[[reference]]
child = "billing.Note Lines(Tenant, No)"
parent = "billing.notes(Tenant, No)"
key = "foreign"
on_orphan = "null"

[[reference]]
child = "addresses.customer_id"
parent = "customers.id"
parent_live = "true"
live = "true"
key = "foreign"

[[default]]
table = "addresses"
flag = "is_default"
per = ["customer_id"]
elect = ["id"]
"""
# Nothing is unprotected for an instant: what is set comes before what goes.
ORDER = [
    "op.add_soft_delete",
    "op.add_column_online",
    *["op.create_index_online"] * 4,
    *["op.create_foreign_key_online"] * 2,
    "op.add_guard",
    "op.drop_constraint_online",
]


class Team:
    """A team's environment beside its project file, on one database."""

    def __init__(self, url, folder, capfd):
        self.url, self.folder = url, folder
        self.sexton = Cli(url, capfd)
        versions = folder / "db" / "versions"
        versions.mkdir(parents=True)
        (folder / "db" / "env.py").write_text(ENV)
        shutil.copy(TEMPLATE, folder / "db")
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/db\n")
        self.declare(FILE)

    def declare(self, text):
        (self.folder / "sexton.toml").write_text(text)

    def files(self):
        return sorted((self.folder / "db" / "versions").glob("*.py"))

    def run(self, verb, where):
        config = Config(str(self.folder / "alembic.ini"))
        with engine(self.url, "tests").connect() as connection:
            config.attributes["connection"] = connection
            getattr(command, verb)(config, where)

    def execute(self, sql):
        with contextlib.closing(connect(self.url, name="tests")) as connection:
            connection.execute(sql)

    def state(self):
        with contextlib.closing(connect(self.url, name="tests")) as connection:
            return state(connection)


@pytest.fixture
def team(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    monkeypatch.chdir(tmp_path)
    made = Team(url, tmp_path, capfd)
    made.execute(TABLES)
    return made


def test_up_down_and_up_again_makes_what_is_declared(team):
    before = team.state()
    planned = team.sexton("revision", "--dry-run", "--format", "json")
    assert planned.code == 1, planned
    assert team.files() == []
    made = team.sexton("revision", "-m", "soften customers", "--format", "json")
    assert made.code == 0, made
    changes = conforms(planned.json, "revision")["changes"]
    assert made.json["changes"] == changes
    assert [one.partition("(")[0] for c in changes for one in c["upgrade"]] == ORDER
    [file] = team.files()
    assert str(file) == conforms(made.json, "revision")["file"]
    assert file.name.endswith("_soften_customers.py")
    assert made.json["text"] == file.read_text()
    assert formatted(file)
    assert team.state() == before, "looking changes nothing"
    assert team.sexton("revision").code == 5, "it is written, and has not run"
    team.run("upgrade", "head")
    up = team.state()
    again = team.sexton("revision", "--format", "json")
    assert (again.code, conforms(again.json, "revision")["changes"]) == (0, [])
    assert team.sexton("revision").stdout == (
        "nothing differs: the database has what is declared\n"
    )
    assert team.sexton("audit", "declared_keys", "--confirm-after", "0").code == 0
    team.run("downgrade", "base")
    down = team.state()
    [stays] = set(before) - set(down)
    assert "NOT VALID" in stays
    assert set(down) - set(before) == {stays.replace(" NOT VALIDfalse", "true")}
    team.run("upgrade", "head")
    assert team.state() == up


def formatted(*files):
    """Whether ruff, with its own settings, would leave files as they are."""
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "--isolated", "--diff", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 or pytest.fail(done.stdout)


def test_guards_follow_what_is_declared(team):
    team.execute("alter table customers add deleted boolean not null default false")
    reference = """
        project = "shop"
        alembic = "alembic.ini"
        [[reference]]
        child = "invoices.customer_id"
        parent = "customers.id"
        live = "not paid"
        parent_live = "not deleted and name <> 'x.y('"
        """
    spec = ("invoices.customer_id", "customers.id", "--live")
    assert team.sexton("guard", "add", *spec, "paid is true").code == 0
    before = team.state()
    team.declare(reference)
    silent = team.sexton("revision")
    assert silent.stdout.startswith("nothing differs")
    assert "guard = true keeps it, guard = false drops it" in silent.stderr
    team.declare(reference + "guard = true\n")
    assert team.sexton("revision").code == 0
    team.run("upgrade", "head")
    other = team.state()
    assert other != before
    assert team.sexton("revision").stdout.startswith("nothing differs")
    team.declare(reference + "guard = false\n")
    dropped = team.sexton("revision", "--format", "json").json
    [change] = dropped["changes"]
    assert change["upgrade"][0].startswith("op.drop_guard(")
    team.run("upgrade", "head")
    assert [part for part in team.state() if "sexton_" in part] == []
    team.run("downgrade", "-1")
    assert team.state() == other
    team.run("downgrade", "base")
    assert team.state() == before


REFUSED = {
    "names no Alembic environment": ('project = "shop"', 2),
    "no table nobody": ("[[soft_delete]]\ntable = 'nobody'\ndeleted = 'deleted'", 2),
    "has no column gone": (
        "[[soft_delete]]\ntable = 'customers'\ndeleted = 'deleted'\n"
        "[[default]]\ntable = 'customers'\nflag = 'gone'",
        2,
    ),
    "full_one of lines is MATCH FULL": (
        "[[reference]]\nchild = 'lines.up'\nparent = 'customers.id'\nkey = 'none'",
        5,
    ),
    "parts.no is not unique, and no index is built online": (
        "[[reference]]\nchild = 'lines.up'\nparent = 'parts.no'\nkey = 'foreign'",
        5,
    ),
    "known is no table": (
        "[[reference]]\nchild = 'lines.up'\nparent = 'known.id'\nkey = 'foreign'",
        5,
    ),
    "is not immutable": (
        "[[default]]\ntable = 'addresses'\nflag = 'is_default'\namong = 'gone_at > now()'",
        5,
    ),
}
ODD = """
    create table lines (id int primary key, up bigint);
    alter table lines add constraint full_one foreign key (up) references customers
        match full;
    create table parts (no bigint) partition by list (no);
    create view known as select * from customers;
"""


def test_what_no_revision_can_say_is_refused_in_one_sentence(team):
    team.execute(ODD)
    before = team.state()
    for said, (text, code) in REFUSED.items():
        head = "" if "Alembic" in said else 'project = "shop"\nalembic = "alembic.ini"\n'
        team.declare(head + text)
        result = team.sexton("revision")
        assert (result.code, result.stdout) == (code, ""), (said, result)
        assert said in result.stderr, (said, result)
        assert "next: " in result.stderr, result
    team.declare(FILE)
    assert "would break the docstring" in team.sexton("revision", "-m", 'a """').stderr
    template = team.folder / "db" / "script.py.mako"
    template.write_text(template.read_text().replace("downgrades", "others"))
    assert "does not use ${imports}" in team.sexton("revision").stderr
    template.unlink()
    assert "cannot read" in team.sexton("revision").stderr
    (team.folder / "sexton.toml").unlink()
    built_in = team.sexton("revision")
    assert built_in.code == 2
    assert "come with Sexton" in built_in.stderr
    assert team.files() == []
    assert team.state() == before


def test_an_env_that_registers_nothing_and_hooks_of_the_team(team):
    """The revision registers the operations itself; hooks print beside the document."""
    (team.folder / "db" / "env.py").write_text("raise SystemExit(1)")
    with (team.folder / "alembic.ini").open("a") as ini:
        ini.write(
            "[post_write_hooks]\nhooks = shout\nshout.type = exec\n"
            "shout.executable = /bin/echo\nshout.options = hooked\n"
        )
    made = team.sexton("revision", "--format", "json")
    assert made.code == 0
    assert "hooked" in made.stderr
    [file] = team.files()
    assert "import sexton.alembic  # noqa: F401" in file.read_text()
    assert made.json["text"] == file.read_text()
