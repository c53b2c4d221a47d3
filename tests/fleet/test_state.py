"""The state of a run: what is finished survives a kill, and answers no other question."""

import datetime
import json

import pytest

from sexton.documents import Head, now
from sexton.errors import Refused, UsageError
from sexton.fleet import addresses, state
from sexton.fleet.inventory import Target

ADDRESSES = {"a": "1", "b": "2", "c": "3"}


def head(command="fleet upgrade", **more):
    return Head(**{"command": command, "at": now(), "revision": "0004", **more})


def write(file, *records, ended=False, asked=None):
    with state.state(file, asked or head(), ADDRESSES) as begun:
        for record in records:
            begun.note(record)
        if ended:
            begun.end()


def finished(file, asked=None, at=ADDRESSES):
    with state.state(file, asked or head(), at) as begun:
        return begun.finished


A, B, C = (
    {"target": name, "status": status, "reason": "caf\u00e9 \U0001f480"}
    for name, status in (("a", "applied"), ("b", "unreachable"), ("c", "refused"))
)


def test_what_ended_well_is_finished_and_the_rest_is_done_again(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file, A, B, C)
    assert finished(file) == {"a": A}
    write(file, B | {"status": "clean"})
    assert list(finished(file)) == ["a", "b"]


def test_a_run_that_is_complete_lets_nobody_skip_the_next(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file, A, ended=True)
    assert finished(file) == {}
    write(file, A, ended=True)
    assert finished(file, head("fleet audit", revision=None)) == {}


def test_what_was_found_long_ago_says_nothing_of_now(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file, A, asked=head(at=now() - state.RESUMABLE + datetime.timedelta(hours=1)))
    assert list(finished(file)) == ["a"]
    file.unlink()
    write(file, A, asked=head(at=now() - state.RESUMABLE - datetime.timedelta(hours=1)))
    assert finished(file) == {}


def test_a_line_that_a_kill_cut_anywhere_is_done_again(tmp_path):
    """In the middle of a UTF-8 character, of the head, or just before its newline."""
    file = tmp_path / "state.jsonl"
    write(file, A, B | {"status": "clean"})
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    second = whole.index(b"\n", first) + 1
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        names = ["a", "b"][: (size >= second) + (size >= len(whole))]
        assert list(finished(file)) == names, size
        again = file.read_bytes()
        assert again.endswith(b"\n")
        assert list(finished(file)) == names, "the run after the next reads it as well"
        [json.loads(line) for line in again.splitlines()]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (head("fleet audit"), "sexton fleet upgrade, and this is sexton fleet audit"),
        (head(revision="0005"), "the revision 0004, and this is 0005"),
        (head(options={"fail_on": "never"}), "fail_on none, and this is never"),
        (head(options={"match": "a=b"}), "match none, and this is a=b"),
        (head(checks={"x": "2"}), "x as it was defined then"),
    ],
)
def test_another_question_is_refused(tmp_path, asked, says):
    file = tmp_path / "state.jsonl"
    write(file, A, asked=head(checks={"x": "1"}))
    before = file.read_bytes()
    with pytest.raises(Refused, match=says):
        finished(file, asked)
    assert file.read_bytes() == before


def test_a_target_at_another_address_is_refused(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file, A, B)
    asked = head(options={"targets": "more"})
    assert list(finished(file, asked, {**ADDRESSES, "b": "moved", "d": "new"})) == ["a"]
    with pytest.raises(Refused, match="about the target a at another address"):
        finished(file, at={**ADDRESSES, "a": "moved"})


@pytest.mark.parametrize(
    "text",
    ["[]\n[]\n", "notes", "notes\n", '{"head": 1}\n', "[" * 100_000 + "\n", "{}\n", "\n"],
)
def test_what_is_no_state_is_refused_and_left_alone(tmp_path, text):
    file = tmp_path / "state.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match="is not a state of a fleet"):
        finished(file)
    assert file.read_text() == text


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        finished(tmp_path / "none" / "state.jsonl")
    with pytest.raises(UsageError, match="is not a regular file"):
        finished(tmp_path)


def test_without_a_file_nothing_is_kept():
    assert finished(None) == {}


# -- addresses -------------------------------------------------------------------------


def test_an_address_is_told_from_another_without_its_secrets(monkeypatch, tmp_path):
    def digest(schema="", **more):
        return addresses.digest(Target(name="t", **more), schema)

    here = digest(url="postgresql://u:one@h/d")
    assert here == digest(url="postgresql+psycopg://u:two@h/d")
    assert here != digest(url="postgresql://u:one@h/e")
    assert here != digest(url="postgresql://u:one@h/d", schema="tenant")
    unset = digest(url_env="EU_URL")
    monkeypatch.setenv("EU_URL", "postgresql://h/d")
    first = digest(url_env="EU_URL")
    monkeypatch.setenv("EU_URL", "postgresql://h/e")
    assert len({unset, first, digest(url_env="EU_URL")}) == 3
    services = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    found = set()
    for host in "ab":
        services.write_text(f"# ours\n[eu]\nhost={host}\npassword={host}%(x)s\n")
        found.add(digest(service="eu"))
    assert len(found) == 2
    services.write_text("[eu]\nhost=b\npassword=other\n")
    assert digest(service="eu") in found
    relative = digest(url="dbname=d")
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert relative != digest(url="dbname=d")
    assert digest(service="unknown") != digest(service="another")
