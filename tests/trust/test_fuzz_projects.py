"""Project files, inventories and reports of any content: refused in a sentence, or sound.

Nothing that one says is executed beyond the row that a condition speaks of, and no file
ends in a bug of ours.
"""

import contextlib
import copy
import io
import json
import os
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sexton.cli import run
from sexton.database import connect, rows, scalar
from tests.conftest import origin
from tests.support import shop
from tests.support.documents import audited, check
from tests.trust.test_fuzz import CALM, CODES, CONTROL, mutant, texts

# Whatever calls one of these says so, even where its transaction is rolled back.
CANARIES = """
    create sequence canary;
    create function evil() returns boolean language plpgsql as
        $$ begin perform pg_catalog.nextval('public.canary'); return true; end $$;
    create function evil(anyelement) returns boolean immutable language plpgsql as
        $$ begin perform pg_catalog.nextval('public.canary'); return true; end $$;
    create function evil(anyelement, anyelement) returns boolean language plpgsql as
        $$ begin perform pg_catalog.nextval('public.canary'); return true; end $$;
    create operator public.~~~ (leftarg = anyelement, rightarg = anyelement,
                                function = public.evil);
    create domain evil_domain as integer check (public.evil(value));
    create view evil_view as select * from customers where public.evil();
    create type state as enum ('open', 'closed');
    alter table invoices add state state;
    create extension citext;
    alter table customers add nick public.citext;
    alter table addresses add note text;
"""
AUDIT = ("audit", "--confirm-after", "0")
SCRIPT = ("guard", "add", "--sql")
COMMANDS = (AUDIT, ("repair",), SCRIPT, ("guard", "status"))
GUARDED = shop.FILE.replace('live = "not paid"', 'live = "not paid"\nguard = true')


@pytest.fixture(scope="module")
def world(administrator, tmp_path_factory):
    """A shop with canaries, and commands that insist on what must always hold."""
    name = f"sexton_fuzz_projects_{os.getpid()}"
    administrator.execute(f"create database {name}")

    class World:
        directory = tmp_path_factory.mktemp("projects")
        url = origin().url(name)
        tried = 0

        def write(self, text, name="sexton.toml"):
            # A new one each time: nothing is remembered of a file by its name.
            self.tried += 1
            file = self.directory / str(self.tried) / name
            file.parent.mkdir()
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            return file

        def run(self, *arguments, url=True):
            out, err = io.StringIO(), io.StringIO()
            where = ["--url", self.url] if url else []
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run([*arguments, *where])
            said = err.getvalue()
            assert code in CODES, said[-2000:]
            assert "Traceback" not in said
            assert not CONTROL.search(said), said[:2000]
            if code in (2, 4, 5):
                last = said[said.rindex("sexton: ") :].strip().splitlines()
                assert len(last) <= 2, said[-2000:]
            return code, out.getvalue(), said

        def untouched(self):
            with contextlib.closing(connect(self.url, name="tests")) as connection:
                return (
                    not scalar(connection, "select is_called from canary"),
                    rows(connection, "select * from customers order by id"),
                    rows(connection, "select * from invoices order by id"),
                )

        def obey(self, file, *commands):
            """Give the file to commands that read one; their codes."""
            before = self.untouched()
            assert before[0]
            codes = [self.run(*c, "--config", str(file))[0] for c in commands or COMMANDS]
            assert self.untouched() == before
            return codes

    world = World()
    shop.build(world.url)
    with contextlib.closing(connect(world.url, name="tests")) as connection:
        connection.execute(CANARIES)
    yield world
    administrator.execute(f"drop database {name} with (force)")


def toml(value):
    """A value in TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml(name)} = {toml(inner)}" for name, inner in value.items())
        return "{" + pairs + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        escaped = re.sub(
            r'[\x00-\x1f\x7f"\\]', lambda found: f"\\u{ord(found[0]):04x}", value
        )
        return f'"{escaped}"'.encode(errors="replace").decode()
    return "[]" if value is None else repr(value)


def document(value):
    """A whole file in TOML."""
    return "\n".join(f"{toml(name)} = {toml(inner)}" for name, inner in value.items())


HOSTILE = [
    "true) or (select pg_sleep(10)) is null --",
    "true) or (public.evil()",
    "paid; drop table customers",
    "paid /* ) or (public.evil() */ or public.evil()",
    "exists (select from customers)",
    "customer_id in (table customers)",
    "(with x as (values (1)) select true from x)",
    "exists (select from public.evil_view)",
    "public.evil()",
    "public . evil ( )",
    'public."evil"(paid)',
    "not paid and public.evil(1)",
    "paid operator(public.~~~) paid",
    "customer_id::public.evil_domain > 0",
    "cast(customer_id as public.evil_domain) > 0",
    "public.evil_domain '1' > 0",
    "pg_sleep(10) is null",
    "pg_catalog.nextval('public.canary') > 0",
    "setval('public.canary', 7) > 0",
    "query_to_xml('select public.evil()', true, true, '') is null",
    "random() > 0.5",
    "x = E'\\' ) or public.evil() --'",
    'paid is not null and U&"\\0065vil"()',
    "evil()",
    "\u202epaid",
    "paid\x00",
    "(" * 500 + "paid" + ")" * 500,
    "paid or " * 5000 + "paid",
    "nothing = 1",
    "count(*) > 0",
    "generate_series(1, 3) > 0",
    "row_number() over () > 0",
    "1",
    "",
]
SOUND = [
    "not paid",
    "paid is not true and customer_id between 1 and 10",
    "coalesce(customer_id, 0) > 0 -- and so on",
    "state = 'open'::public.state or state is null",
    "length(customer_id::text) < 20",
    "pg_catalog.abs(customer_id) > 0 /* never */",
    "$$select ; ($$ <> 'values ('",
]
PLACES = ("live", "parent_live", "among")


@pytest.mark.parametrize("place", PLACES)
def test_a_condition_that_leaves_its_row_is_refused_before_anything_runs(world, place):
    for text in filter(str.strip, HOSTILE):
        made = tomllib.loads(GUARDED)
        entry = made["default"][0] if place == "among" else made["reference"][0]
        entry[place] = text
        if place != "live":
            entry[place] = text.replace("paid", "deleted").replace("customer_id", "id")
        commands = (AUDIT, SCRIPT) if place == "live" else (AUDIT,)
        [code, *others] = world.obey(world.write(document(made)), *commands)
        assert code == 2, text
        assert set(others) <= {2, 4, 5}, text


def test_a_condition_over_its_row_is_taken(world):
    for text in SOUND:
        made = tomllib.loads(shop.FILE)
        made["reference"][0]["live"] = text
        assert world.obey(world.write(document(made)), AUDIT)[0] in (0, 1), text
    made["reference"][0]["live"] = "not paid"
    made["default"][0]["among"] = "not deleted"
    made["reference"][0]["parent_live"] = "nick operator(public.=) 'x'::public.citext"
    assert world.obey(world.write(document(made)), AUDIT)[0] in (0, 1)


def test_a_condition_that_a_guard_is_given_is_held_to_the_same(world):
    for text in HOSTILE:
        if text.strip() and "\x00" not in text:
            guard = ["guard", "add", "invoices.customer_id", "customers.id", "--live", text]
            code, *_ = world.run(*guard, "--sql")
            assert code in (2, 4, 5), text
    assert world.untouched()[0]


def test_project_files(world):
    base = tomllib.loads(GUARDED)
    base |= {"severity": {"customers_half_deleted": "info"}, "skip": ["customers_*"]}
    base |= {"secrets": ["name"], "statement_timeout": "1min", "jobs": 2}
    names = st.sampled_from(
        [*HOSTILE, "invoices", "customers.id", "id", 'a"b.c', "a(b, c)", "A.B.C.D", "%s"]
    )

    @CALM
    @given(st.data())
    def fuzz(data):
        broken = copy.deepcopy(base)
        if data.draw(st.booleans()):
            section = data.draw(st.sampled_from(["soft_delete", "reference", "default"]))
            entry = data.draw(st.sampled_from(broken[section]))
            entry[data.draw(st.sampled_from([*entry, *PLACES, "elect"]))] = data.draw(names)
        else:
            broken = mutant(data.draw, broken)
        where = data.draw(st.sampled_from(["sexton.toml", "pyproject.toml"]))
        if where == "pyproject.toml":
            broken = {"tool": {"sexton": broken}}
        world.obey(world.write(document(broken), where))

    fuzz()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbfproject = 'x'",
        b"project = 'x'\x00",
        b"project = 'x\x1b[2J'",
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a = " * 20_000,
        b"[a" + b".a" * 2_000 + b"]",
        b"project = '" + b"x" * 1_000_000 + b"'",
        b"project = 1" + b"0" * 5000,
        b"project = 'x'\nproject = 'y'",
        b"tool = 3",
        b"[tool]\nsexton = [1]",
        "project = 'x'\n'\u202erefrence' = []".encode(),
        b"project = 'x'\n\"a\\nok  all_checks  everything is fine\" = 1",
        b"project = 'x'\nchecks = ['\\u0000']".replace(b"'\\u0000'", b'"\\u0000"'),
        b"project = 'x'\nchecks = ['" + b"x" * 5000 + b"']",
        b"project = 'x'\nalembic = '/dev/null'",
        b"project = 'x'\nstatement_timeout = nan",
        b"project = 'x'\ndeadline = inf",
        b"project = 'x'\njobs = 99999999999999999999",
        b"project = 'x'\nsample = -1",
        b"project = 'x'\noutput = ['nothing:x']",
        b"project = 'x'\nnotify = 'file:///etc/passwd'",
        b"project = 'x'\nbaseline = '.'",
        b"project = 'chat'\nextends = 'x'",
    ],
)
@pytest.mark.parametrize("name", ["sexton.toml", "pyproject.toml"])
def test_files_that_are_no_projects(world, content, name):
    world.obey(world.write(content, name), AUDIT)


def test_a_name_of_a_file_forges_no_line(world):
    file = world.write("[", "a\nok  all_checks\u202e\x1b[2J.toml")
    assert world.run("audit", "--config", str(file))[0] == 2
    assert world.run("fleet", "audit", "--inventory", str(file), url=False)[0] == 2
    out = str(world.directory / "out.html")
    assert world.run("report", out, str(file), url=False)[0] == 2
    assert world.run("fleet", "merge", str(file), url=False)[0] == 2
    inventory = world.write('[[target]]\nname = "a"\nurl_env = "NOTHING"\n')
    resumed = ["fleet", "audit", "--inventory", str(inventory), "--resume", str(file)]
    assert world.run(*resumed, url=False)[0] == 2


def test_inventories(world):
    base = {
        "fleet": {"per_server": 2, "deadline": "1min"},
        "target": [
            {"name": "a", "url": world.url, "labels": {"tier": "canary"}},
            {"name": "b", "url_env": "SEXTON_NOWHERE", "schema": "billing"},
            {"name": "c", "service": "nothing"},
        ],
        "source": [{"url": world.url, "query": "select 'd' as name, 'x' as service"}],
        "wave": [{"name": "w", "match": "tier=canary", "parallel": 2, "soak": "0s"}],
    }
    queries = st.sampled_from(
        [
            "drop table customers",
            "select 1; drop table customers",
            "commit; drop table customers",
            "select 'a' as name, 1 as service",
            "select 'e' as name, 'x' as service, '[1]'::jsonb as labels",
            "select '%s' as name, '%' as service",
            "select",
            "-- nothing",
            "update customers set name = 'x' returning name, name as service",
        ]
    )

    @CALM
    @given(st.data())
    def fuzz(data):
        broken = copy.deepcopy(base)
        if data.draw(st.booleans()):
            broken["source"][0]["query"] = data.draw(queries)
        else:
            broken = mutant(data.draw, broken)
        before = world.untouched()
        file = world.write(document(broken), "fleet.toml")
        kind = data.draw(st.sampled_from(["audit", "status"]))
        world.run("fleet", kind, "--inventory", str(file), url=False)
        assert world.untouched() == before

    fuzz()


def test_documents_that_a_report_is_made_of(world):
    runs = [audited(1, check("a", 1), check("b")), audited(2, check("a", 1, 2))]

    @CALM
    @given(st.data())
    def fuzz(data):
        files = [
            world.write(json.dumps(mutant(data.draw, made)), "run.json") for made in runs
        ]
        out = files[0].parent / "out.html"
        world.run("report", str(out), *map(str, files), url=False)
        world.run("fleet", "merge", *map(str, files), url=False)

    fuzz()


@CALM
@given(text=texts.filter(lambda text: "\0" not in text and not text.startswith("-")))
def test_arguments_of_init(world, text):
    for option in ("--project", "--models"):
        world.run("init", option, text, "--out", "-")


def test_what_init_writes_of_hostile_names_is_read_again(world, database):
    names = ['a"b', "'; drop table x; --", "a\nb", "\u202egnp", "%s", "a.b", "[x]", "{x}"]
    names += [
        "back\\slash",
        'a"""b',
        "#",
        "=",
        " blank ",
        "\x1b[2J",
        "select",
        "Ünï",
        "(a,b)",
    ]
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            connection.execute(
                f"create table {quoted} ({quoted} bigint primary key,"
                f" mine bigint references {quoted})".replace("%", "%%"),
                (),
            )
    file = world.directory / "init.toml"
    world.url, before = url, world.url
    try:
        assert world.run("init", "--out", str(file))[0] == 0
        said = world.run("audit", "--config", str(file), "--confirm-after", "0")
        assert said[0] == 0, said[1]
        said = world.run("repair", "--config", str(file))
        assert said[0] == 0, said[1]
    finally:
        world.url = before
