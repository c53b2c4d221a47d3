"""What else goes, or changes, when a row is deleted."""

import pytest

from sexton.catalog.cascades import DOES, count_reached, referring
from sexton.catalog.relations import resolve

TABLES = """
    create table owner (id int primary key);
    create table "100%% pets" (
        id int primary key, owner_id int references owner on delete cascade
    );
    create table toy (
        id int primary key, pet int references "100%% pets" on delete set null
    );
    create table vet (id int primary key, owner_id int references owner);
    insert into owner values (1), (2);
    insert into "100%% pets" values (1, 1), (2, 1), (3, 2);
    insert into toy values (1, 1), (2, 2), (3, 3), (4, null);
    insert into vet values (1, 1);
""".replace("%%", "%")


@pytest.fixture
def found(connection):
    """The keys that a deletion of owners may follow, and the table's oid."""
    connection.execute(TABLES)
    relation = resolve(connection, ["owner"])["owner"].oid
    keys = referring(connection, relation, follow=True)
    return [key for key in keys if key.action in DOES], relation


def test_keys_that_only_refuse_are_not_followed(found):
    keys, _ = found
    assert [(key.name, key.action) for key in keys] == [
        ("100% pets_owner_id_fkey", "c"),
        ("toy_pet_fkey", "n"),
    ]


def test_what_hangs_on_what_goes_is_counted_too(connection, found):
    keys, relation = found
    reached = count_reached(connection, keys, relation, "this.id = %(id)s", {"id": 1})
    assert [(key.name, count) for key, count in reached] == [
        ("100% pets_owner_id_fkey", 2),
        ("toy_pet_fkey", 2),
    ]
    assert count_reached(connection, keys, relation, "this.id = %(id)s", {"id": 9}) == []


def test_without_following_only_the_keys_to_the_table_itself_are_read(connection, found):
    _, relation = found
    names = [key.name for key in referring(connection, relation)]
    assert names == ["100% pets_owner_id_fkey", "vet_owner_id_fkey"]


def test_a_key_to_another_partition_does_not_refer_to_this_one(connection):
    connection.execute(
        """
        create table part (id int primary key) partition by list (id);
        create table part_1 partition of part for values in (1);
        create table part_2 partition of part for values in (2);
        create table beside (id int constraint to_sibling references part_2);
        create table above (id int constraint to_parent references part)
        """
    )
    oid = resolve(connection, ["part_1"])["part_1"].oid
    assert [key.name for key in referring(connection, oid)] == ["to_parent"]
