"""The project in use: found, loaded, and put back."""

import pytest

from sexton import project
from sexton.check import Check
from sexton.errors import UsageError
from sexton.project import Project, load_checks, refuse_circles


def check(name, **more):
    given = {
        "severity": "error",
        "table": "t",
        "key": (),
        "message": "",
        "find": "select 1",
    }
    return Check(f"own.{name}", text="It is so.", **{**given, **more})


def test_the_built_in_ones_come_by_name_and_know_their_checks():
    for name in project.BUILT_IN:
        found = project.built_in(name)
        assert found.name == name
        assert list(found.checks) == sorted(found.checks)


def test_one_that_is_used_for_a_while_is_put_back():
    before = project.current()
    other = Project("other")
    with project.afresh():
        project.use(other)
        assert project.current() is other
        assert project.all_checks() == {}
    assert project.current() is before


def test_repairs_that_wait_for_each_other_or_for_nobody_are_refused():
    circle = {"a": check("a", followed_by=("b",)), "b": check("b", followed_by=("a",))}
    with pytest.raises(UsageError, match="wait for each other: "):
        refuse_circles(circle)
    with pytest.raises(UsageError, match="followed by gone, which is no check"):
        refuse_circles({"a": check("a", followed_by=("gone",))})
    later = {"a": check("a", after=("gone",))}
    assert refuse_circles(later) == later


def test_a_folder_without_checks_is_said(tmp_path):
    (tmp_path / "_helper.py").write_text("check = 1")
    with pytest.raises(UsageError, match="there are no checks in"):
        load_checks(tmp_path, "own")
