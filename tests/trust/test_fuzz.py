"""Odd input: never a bug of ours, a traceback, a secret, or anything executed."""

import contextlib
import copy
import hashlib
import io
import json
import os
import re
import xml.dom.minidom

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sexton.cli import run
from sexton.database import connect
from tests.conftest import origin
from tests.support.commands import GPT, KEY, OLD, damage

CALM = settings(
    derandomize=True,
    max_examples=int(os.environ.get("FUZZ", "40")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CODES = {0, 1, 2, 3, 4, 5, 6}
CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
# No argument of a process holds one.
IMPOSSIBLE = re.compile("[\0]")
INJECTED = [
    "users set username = 'pwned' --",
    "chat_model_configs t set model = 'x' from d where true; drop table users --",
    'x"; drop table users; --',
    "'); update users set username = 'pwned'; --",
    "sexton.runs",
    "pg_catalog.pg_class",
    "users",
]
PLAUSIBLE = [
    *("users", "chats", "chat_model_configs", "site_configs", "username", "id", "key"),
    *("value", "deleted", "api_key", "is_default", "insert", "update", "delete", "now"),
    *("model_without_provider", "threshold_dangling", "default_missing", GPT, OLD),
]
ODD = [
    "",
    "\x00",
    "\x1b]0;title\x07\x1b[2J",
    "a\nok  all_checks  everything is fine",
    "\u202egnp.exe",
    "%s %(x)s {name} {0} %",
    "\ud800",
    "[/red][bold]",
    "<a>&amp;]]>",
    "x" * 100_000,
    *INJECTED,
]
texts = st.one_of(st.sampled_from(ODD), st.text(max_size=30))
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(),
        st.sampled_from([0, -1, 2**31, 2**63, 10**400]),
        texts,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def world(administrator, template, tmp_path_factory):
    """A damaged database that can be had anew, and where a file may lie."""
    made = []

    class World:
        directory = tmp_path_factory.mktemp("fuzz")
        url = ""

        def renew(self):
            name = f"sexton_fuzz_{os.getpid()}_{len(made)}"
            model = made[0] if made else template("head")
            administrator.execute(f"create database {name} template {model}")
            self.url = origin().url(name)
            if not made:
                self.execute(damage)
                # The journal is there before anybody plants rows in it.
                assert self.run("model", "promote", OLD)[0] == 0
                made.append(name)
                self.renew()
                return
            made.append(name)

        def execute(self, work):
            with contextlib.closing(connect(self.url, name="tests")) as connection:
                return work(connection)

        def run(self, *arguments):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run([*arguments, "--url", self.url])
            said = out.getvalue() + err.getvalue()
            assert code in CODES, said[-2000:]
            assert "Traceback" not in said
            assert KEY not in said
            return code, out.getvalue(), err.getvalue()

        def users(self):
            query = "select coalesce(string_agg(username, ',' order by id), '') from users"
            with psycopg.connect(self.url) as connection:
                return connection.execute(query).fetchone()[0]

    world = World()
    world.renew()
    yield world
    for name in made:
        administrator.execute(f"drop database {name} with (force)")


def rehashed(document):
    """The plan as one document, with the digest that its content has now."""

    def canonical(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    with contextlib.suppress(Exception):
        head = {k: v for k, v in document["plan"].items() if k != "digest"}
        digest = hashlib.sha256(canonical(head).encode("utf-8", "surrogatepass"))
        for action in document["actions"]:
            line = "\n" + canonical(action)
            digest.update(line.encode("utf-8", "surrogatepass"))
        digest.update(("\n\n" + canonical(document["skipped"])).encode())
        document["plan"]["digest"] = digest.hexdigest()
    return document


def places(value, path=()):
    """Every path into a document."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for name, inner in items:
        yield from places(inner, (*path, name))


def mutant(draw, document):
    """The document with one to three of its values replaced, removed or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in places(document) if path]
        if not paths:
            break
        part = draw(st.sampled_from([path[0] for path in paths]))
        path = draw(st.sampled_from([path for path in paths if path[0] == part]))
        holder = document
        for name in path[:-1]:
            holder = holder[name]
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
        if how == "replace" and isinstance(holder[path[-1]], str) and draw(st.booleans()):
            holder[path[-1]] = draw(st.sampled_from([*PLAUSIBLE, *INJECTED]))
        elif how == "replace":
            holder[path[-1]] = draw(values)
        elif how == "remove" or isinstance(holder, list):
            holder.pop(path[-1])
        else:
            name = draw(st.one_of(texts, st.sampled_from(PLAUSIBLE)))
            holder[name] = holder.pop(path[-1])
    return document


def text_of(document):
    return json.dumps(document, ensure_ascii=True)


def test_plans(world):
    file = world.directory / "plan.json"

    def fresh():
        assert world.run("repair", "--out", str(file), "--max-fraction", "1")[0] == 1
        return json.loads(file.read_text())

    document = fresh()
    users = world.users()

    @CALM
    @given(st.data())
    def fuzz(data):
        nonlocal document
        broken = rehashed(mutant(data.draw, document))
        file.write_text(text_of(broken))
        code, *_ = world.run("apply", str(file))
        assert world.users() == users
        if code == 0:
            world.renew()
            document = fresh()

    fuzz()


def test_baselines(world):
    file = world.directory / "known.json"
    world.run("audit", "--write-baseline", str(file), "--confirm-after", "0")
    document = json.loads(file.read_text())

    @CALM
    @given(st.data())
    def fuzz(data):
        file.write_text(text_of(mutant(data.draw, document)))
        check = ["threshold_dangling", "--confirm-after", "0"]
        world.run("audit", "--baseline", str(file), *check)

    fuzz()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"\xef\xbb\xbf{}",
        b'{"schema_version": 1' + b"0" * 5000 + b"}",
        b'"' + b"x" * 1_000_000,
        b"null",
        b'{"schema_version": 1, "schema_version": 1}',
    ],
)
def test_files_that_are_no_documents(world, content):
    file = world.directory / "odd.json"
    file.write_bytes(content)
    assert world.run("apply", str(file))[0] in (2, 5)
    assert world.run("audit", "--baseline", str(file), "no_live_model")[0] in (2, 5)


def test_journal_rows(world):
    """What a role with INSERT on the journal may plant, and a superuser then reads."""
    role = f"fuzzer_{os.getpid()}"

    def grant(connection):
        connection.execute(f"create role {role}")
        connection.execute(f"grant usage on schema sexton to {role}")
        connection.execute(f"grant select, insert on all tables in schema sexton to {role}")

    world.execute(grant)
    plain = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"))
    stored = st.one_of(
        st.sampled_from([t for t in ODD if "\x00" not in t and "\ud800" not in t]),
        st.sampled_from(["chat_model_configs", "public.chats", "user_configs"]),
        plain,
    )
    objects = st.dictionaries(
        st.one_of(stored, st.sampled_from(["id", "model", "deleted", "key", "user_id"])),
        st.one_of(st.none(), st.integers(), stored, st.sampled_from([GPT, OLD])),
        max_size=3,
    )
    try:
        users = world.users()

        @CALM
        @given(
            kind=st.one_of(stored, st.sampled_from(["repair", "undo", "provider delete"])),
            planted=st.lists(st.tuples(stored, objects, objects, objects), max_size=3),
            others=st.booleans(),
        )
        def fuzz(kind, planted, others):
            def plant(connection):
                [last] = connection.execute("select max(run) as run from sexton.runs")
                connection.execute(f"set role {role}")
                run = last["run"]
                if not others:
                    [made] = connection.execute(
                        "insert into sexton.runs (kind, actor, os_user) "
                        "values (%s, %s, %s) returning run",
                        (kind, kind, kind),
                    )
                    run = made["run"]
                for step, (table, *sides) in enumerate(planted, 1000):
                    with contextlib.suppress(psycopg.IntegrityError):
                        connection.execute(
                            "insert into sexton.changes (run, step, check_name, "
                            "table_name, key, before, after, why) "
                            "values (%s, %s, %s, %s, %s, %s, %s, %s)",
                            (run, step, kind, table, *map(json.dumps, sides), kind),
                        )
                return run

            run = world.execute(plant)
            for command in (["history"], ["history", str(run)], ["undo", str(run)]):
                _, out, _ = world.run(*command)
                assert not CONTROL.search(out)
            json.loads(world.run("history", str(run), "--format", "json")[1])
            assert world.users() == users

        fuzz()
    finally:
        world.execute(lambda c: c.execute(f"drop owned by {role}"))
        with psycopg.connect(origin().address, autocommit=True) as connection:
            connection.execute(f"drop role {role}")


def test_names_in_the_database(world):
    report = world.directory / "report.xml"
    stored = st.one_of(
        st.sampled_from([t for t in ODD if "\x00" not in t and "\ud800" not in t]),
        st.text(
            st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"),
            max_size=40,
        ),
    )

    @CALM
    @given(name=stored)
    def fuzz(name):
        world.execute(
            lambda c: c.execute(
                "update chat_model_configs set model = %s, display_name = %s "
                "where provider = 'google'",
                (name, name),
            )
        )
        audit = ["audit", "model_without_provider", "--confirm-after", "0"]
        for command in (
            [*audit, "-o", f"junit:{report}"],
            ["repair", "model_without_provider"],
            ["model", "list"],
        ):
            _, out, err = world.run(*command)
            assert not CONTROL.search(out + err), command
        xml.dom.minidom.parse(str(report))
        json.loads(world.run(*audit, "--format", "json", "--values")[1])

    fuzz()


def test_arguments(world):
    @CALM
    @given(text=texts.filter(lambda text: not IMPOSSIBLE.search(text)))
    def fuzz(text):
        for command in (
            ["provider", "delete", text, "--dry-run"],
            ["provider", "add", text],
            ["model", "update", OLD, "--display-name", text],
            ["model", "update", text, "--display-name", "x"],
            ["model", "create", "openai", text, "--context-limit", "5", "--actor", text],
            ["chat", "resolve", text],
            ["audit", text],
            ["explain", text],
            ["repair", text],
            ["undo", text],
            ["history", text],
            ["apply", text],
            ["grants", "auditor", "--to", text],
            ["upgrade", text, "--plan"],
        ):
            if text.startswith("-"):
                command = [part for part in command if part != text]
            _, _, err = world.run(*command)
            assert not CONTROL.search(err), command[:2]

    fuzz()


ADDRESSES = st.one_of(
    st.sampled_from(
        [
            "postgresql://u:{KEY}@h\x00/x",
            "postgresql://u:{KEY}@[::1/x",
            "postgresql://u:{KEY}@127.0.0.1:1/x?options=%",
            "host=127.0.0.1 port=1 password='{KEY}",
            "postgresql://u:p@{KEY}@127.0.0.1:1/",
            "embedded:/proc/1/{KEY}x",
            "service=no password={KEY}",
        ]
    ),
    st.text(max_size=20).map(lambda t: "postgresql://u:{KEY}@127.0.0.1:1/" + t),
)


def test_addresses(world):
    @CALM
    @given(address=ADDRESSES)
    def fuzz(address):
        out, err = io.StringIO(), io.StringIO()
        url = address.replace("{KEY}", KEY)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(["status", "--url", url])
        if "proc" not in url:
            assert KEY not in out.getvalue() + err.getvalue()
        assert code in (2, 4), err.getvalue()

    fuzz()
