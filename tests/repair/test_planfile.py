"""Plan files from anybody: odd, broken or made to harm, and always one sentence."""

import copy
import json

import pytest

from sexton.errors import Refused, UsageError
from sexton.repair.plan import digest_of
from sexton.repair.planfile import read_plan, write_plan
from sexton.text.exact import canonical
from tests.support.repairs import incident, planned, saved


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


@pytest.fixture
def document(connection, path):
    """The document of a plan that is saved."""
    incident(connection)
    write_plan(planned(connection), path)
    return json.loads(path.read_text())


def rehashed(document):
    """A document whose digest is right, whatever it says."""
    head = {k: v for k, v in document["plan"].items() if k != "digest"}
    lines = map(canonical, document["actions"])
    document["plan"]["digest"] = digest_of(head, lines, document["skipped"])
    return json.dumps(document)


def test_lines_that_end_as_on_windows_are_the_same_plan(document, path):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_plan(path).document() == document


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"schema_version": 2,\n"plan": ' + "[" * 200_000 + ',\n"actions": [\n],\n',
        "null",
        "[]",
        "\0",
        '{"schema_version": NaN}',
        '{"schema_version": 1e400}',
        '"\\ud800"',
        "9" * 10_000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("command", ["apply", "show"])
def test_what_is_no_plan_is_wrong_usage(sexton, path, text, command):
    path.write_text(text)
    result = sexton(command, str(path), database=command == "apply")
    assert result.code == 2, result.stderr
    assert "is not a plan" in result.stderr


VALUES = [None, True, 7, 10**30, -1.5, "", "x\0", "\ud800", [], {}, [[1]], {"a": None}]


def mutants(document):
    """Documents in which one value, anywhere, is another."""

    def places(node, way=()):
        if way:
            yield way
        items = enumerate(node) if isinstance(node, list) else ()
        for name, value in node.items() if isinstance(node, dict) else items:
            yield from places(value, (*way, name))

    for way in places(document):
        for value in VALUES:
            changed = copy.deepcopy(document)
            node = changed
            for name in way[:-1]:
                node = node[name]
            node[way[-1]] = value
            yield way, value, changed


def test_a_plan_with_a_wrong_value_anywhere_is_refused_or_stale(document, path, sexton):
    """Re-hashed, so that only what it says can be held against it."""
    for number, (way, value, changed) in enumerate(mutants(document)):
        if number % 7 and way[0] != "plan":
            continue  # the same kinds of value in each action
        try:
            text = rehashed(changed)
        except (ValueError, KeyError, TypeError, AttributeError):
            text = json.dumps(changed)
        path.write_text(text)
        # What is a reason, for example, may be any text; what is a value may not cure.
        live = way[0] == "actions"
        result = sexton("apply" if live else "show", str(path), database=live)
        assert result.code in (0, 2, 3, 5), (way, value, result.stderr)


def test_a_baseline_is_not_overwritten_by_the_hint(sexton, path):
    path.write_text('{"schema_version": 1, "findings": []}')
    result = sexton("apply", str(path))
    assert result.code == 2
    assert str(path) not in result.stderr.partition("next:")[2]


def test_a_saved_plan_is_shown_without_a_database(document, sexton, path):
    del document
    result = sexton("show", str(path), database=False)
    assert result.code == 0
    assert f"sexton apply {path}" in result.stdout
    result = sexton("show", str(path), "--format", "json", database=False)
    assert result.json == json.loads(path.read_text())


def test_a_saved_plan_is_the_plan(connection, path):
    incident(connection)
    plan = saved(connection, path)
    read = read_plan(path)
    assert read.document() == plan.document() == json.loads(path.read_text())
    assert read.digest == plan.digest
    assert list(read.actions) == plan.actions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"deleted":[false,true]', '"deleted":[false,false]'),
        ('"max_rows":1000', '"max_rows":9999'),
        ('"expires_at":"2', '"expires_at":"9'),
        ("default_missing", "default_ambiguous"),
    ],
)
def test_an_altered_plan_is_refused(connection, path, old, new):
    incident(connection)
    saved(connection, path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Refused, match="was altered after it was made"):
        read_plan(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document))
    with pytest.raises(Refused, match="was altered after it was made"):
        read_plan(path)


def test_half_a_plan_is_no_plan(connection, path):
    incident(connection)
    saved(connection, path)
    text = path.read_text()
    for length in range(0, len(text) - 3, 7):
        path.write_text(text[:length])
        with pytest.raises((UsageError, Refused)):
            read_plan(path)


def test_a_plan_that_cannot_be_read_or_written_says_why(connection, tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        read_plan(tmp_path / "absent.json")
    with pytest.raises(UsageError, match=r"cannot write .*No such file"):
        write_plan(planned(connection), tmp_path / "absent" / "plan.json")
    with pytest.raises(UsageError, match=r"cannot read .*absent") as caught:
        read_plan(tmp_path / "absent")
    assert caught.value.hint == "sexton repair --out FILE makes a plan"


def test_a_file_that_is_no_plan_is_not_advised_to_be_overwritten(tmp_path):
    known = tmp_path / "known.json"
    known.write_text('{"schema_version": 1, "entries": []}')
    with pytest.raises(UsageError, match="is not a plan") as raised:
        read_plan(known)
    assert "known.json" not in raised.value.hint
    assert "sexton repair --out" in raised.value.hint
