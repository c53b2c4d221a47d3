"""The state of a run: what is finished survives a kill, and is not done again."""

import pytest

from sexton.errors import UsageError
from sexton.fleet import state


def write(file, *records):
    with state.journal(file, "upgrade") as (_, out):
        for record in records:
            state.note(out, record)


def finished(file, kind="upgrade"):
    with state.journal(file, kind) as (found, _):
        return found


def test_what_ended_well_is_finished_and_the_rest_is_done_again(tmp_path):
    file = tmp_path / "state.jsonl"
    write(
        file,
        {"target": "a", "status": "applied"},
        {"target": "b", "status": "unreachable"},
        {"target": "c", "status": "refused"},
    )
    assert list(finished(file)) == ["a"]
    write(file, {"target": "b", "status": "clean"})
    assert list(finished(file)) == ["a", "b"]


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file, {"target": "a", "status": "applied"})
    with open(file, "a") as out:
        out.write('{"target": "b", "sta')
    assert list(finished(file)) == ["a"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    file = tmp_path / "state.jsonl"
    write(file)
    with pytest.raises(UsageError, match="it is of a fleet upgrade"):
        finished(file, "audit")
    file.write_text("[]\n[]\n")
    with pytest.raises(UsageError, match="is not the state of a fleet upgrade"):
        finished(file)


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        finished(tmp_path / "none" / "state.jsonl")


def test_without_a_file_nothing_is_kept():
    assert finished(None) == {}
