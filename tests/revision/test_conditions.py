"""Conditions as the planner spells them."""

import pytest

from sexton.catalog.relations import resolve
from sexton.errors import Refused, WrongSchema
from sexton.revision.conditions import Conditions

ALIKE = [
    ("not deleted", "deleted = false", "NOT deleted"),
    ('"Default"', '"Default" = true', '("Default")'),
    ("no is null", "(no) is null"),
    ('"Default" and not deleted', '("Default") and (deleted = false)'),
]


def test_the_same_is_spelt_the_same(empty):
    empty.execute('create table t (deleted boolean, "Default" boolean, no int)')
    conditions = Conditions(empty, resolve(empty, ["t"])["t"])
    spelt = [{conditions.spelt(text) for text in alike} for alike in ALIKE]
    assert [len(texts) for texts in spelt] == [1] * len(ALIKE)
    assert len(set.union(*spelt)) == len(ALIKE)
    with pytest.raises(WrongSchema, match="no column gone"):
        conditions.spelt("not gone")
    with pytest.raises(Refused, match="a sub-select"):
        conditions.mark("no = (select 1)")
