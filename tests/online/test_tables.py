"""Tables and names as steps say them."""

import contextlib

import pytest

from sexton.database import connect, scalar
from sexton.errors import UsageError, WrongSchema
from sexton.online.tables import Table, array, column_where, partitioned, said

NAME = "it's"
TABLES = """
    create schema shop;
    create table shop."it's" (b int, gone int, a int);
    alter table shop."it's" drop column gone;
    create table shop.parts (id int) partition by range (id);
"""


@pytest.fixture
def placed(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        connection.execute(TABLES)
        yield connection


def test_a_table_is_found_by_the_callers_path(placed):
    placed.execute("set search_path = shop")
    found = Table("it's").found(placed)
    assert (found.schema, found.step_name) == ("shop", "shop.it's")
    assert found.sql == '"shop"."it\'s"'
    assert found.rows == '"shop.it\'s"'
    assert Table("it's").found(None) == Table("it's")
    with pytest.raises(WrongSchema, match="there is no table nothing"):
        Table("nothing").found(placed)


@pytest.mark.parametrize("name", ['a"b', "a\0b", "", "a.b"])
def test_names_that_steps_cannot_say_are_refused(name):
    with pytest.raises(UsageError, match=r"is no name of a table|can name"):
        Table(name)


def test_catalog_queries_speak_of_the_table_alone(placed):
    placed.execute("set search_path = pg_catalog")
    here, parts = Table("it's", "shop"), Table("parts", "shop")
    assert scalar(placed, f"select {column_where(here, 'a')}")
    assert not scalar(placed, f"select {column_where(here, 'a', 'a.attnotnull')}")
    assert not scalar(placed, f"select {column_where(here, 'gone')}")
    assert scalar(placed, f"select exists ({partitioned(parts)})")
    assert not scalar(placed, f"select exists ({partitioned(parts, below=90000)})")
    assert not scalar(placed, f"select exists ({partitioned(here)})")
    assert scalar(placed, f"select {array(['a', None, NAME])}") == ["a", None, NAME]


def test_a_sentence_is_no_template():
    assert said("a {b}\n").format_map({}) == "a {b}\\n"
