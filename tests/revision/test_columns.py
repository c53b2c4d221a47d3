"""The columns of soft deletes that are still to be made."""

import pytest

from sexton.catalog.relations import resolve
from sexton.errors import Refused
from sexton.reference import Declarations, SoftDelete
from sexton.revision import columns
from tests.support.revisions import down, state, up

TABLES = """
    create schema billing;
    create table billing."Odd Ones" (id int);
    create table pair (id int);
    create table timed (id int, gone_at timestamptz);
    create table flagged (id int, gone boolean not null default false);
    create table done (id int, gone boolean not null default false);
    create view seen as select 1 as id;
    create table whole (id int) partition by list (id);
    create table part partition of whole for values in (1);
"""


def changes(connection, *soft):
    declared = Declarations(soft_delete=soft)
    coming = columns.lacking(connection, declared)
    relations = resolve(connection, declared.tables())
    return columns.changes(connection, declared, coming, relations)


def soft(table, deleted="gone", deleted_at="gone_at"):
    return SoftDelete(table=table, deleted=deleted, deleted_at=deleted_at)


def test_what_lacks_is_added_and_taken_back(empty, empty_url):
    empty.execute(TABLES)
    before = state(empty)
    declared = (
        *(soft("pair"), soft("timed"), soft("flagged"), soft("done", deleted_at="")),
        soft("billing.Odd Ones", "", "Gone At"),
        soft("whole"),
    )
    made = changes(empty, *declared)
    assert [one.what for one in made] == [
        "add gone and gone_at to pair",
        "add gone to timed",
        "add gone_at to flagged",
        "add Gone At to billing.Odd Ones",
        "add gone and gone_at to whole",
    ]
    assert [bool(one.note) for one in made] == [False, True, False, False, False]
    up(empty_url, made)
    assert changes(empty, *declared) == []
    assert 'billing."Odd Ones".Gone At timestamp with time zonefalse' in state(empty)
    down(empty_url, made)
    assert state(empty) == before


def test_what_can_have_no_column_of_its_own_is_refused(empty):
    empty.execute(TABLES)
    with pytest.raises(Refused, match="to seen: it is no table"):
        changes(empty, soft("seen"))
    with pytest.raises(Refused, match="to part: it is a partition"):
        changes(empty, soft("part"))
    assert columns.lacking(empty, Declarations(soft_delete=(soft("nobody"),))) == {}
