"""Tables are looked up once, by the caller's path, and called by their whole name."""

import os

import pytest

from sexton.catalog.relations import (
    SAFE_PATH,
    bind,
    column_names,
    expose,
    literal,
    quoted,
    resolve,
)
from sexton.database import rows, scalar, settings
from sexton.errors import Refused


def test_names_are_found_by_the_callers_path(connection):
    connection.execute('create schema "Pro duct"; create table "Pro duct".chats ()')
    found = resolve(connection, ["chats", "Pro duct.chats", "nothing", "no.chats"])
    assert set(found) == {"chats", "Pro duct.chats"}
    assert found["chats"].sql == '"public"."chats"'
    assert found["Pro duct.chats"].sql == '"Pro duct"."chats"'
    connection.execute('set search_path = "Pro duct", public')
    assert resolve(connection, ["chats"])["chats"].schema == "Pro duct"


def test_on_a_path_of_ours_the_callers_is_remembered(connection):
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        assert resolve(connection, ["chats"])["chats"].schema == "public"
    assert scalar(connection, "select current_setting('search_path')") != SAFE_PATH


def test_what_another_put_in_the_way_is_refused(administrator, connection):
    role = f"squatter_{os.getpid()}"
    administrator.execute(f"create role {role}")
    try:
        connection.execute(f"create schema first authorization {role}")
        connection.execute(
            f"create table first.chats (); alter table first.chats owner to {role}"
        )
        connection.execute("set search_path = first, public")
        with pytest.raises(Refused, match="stands in the way"):
            resolve(connection, ["chats"])
        assert resolve(connection, ["public.chats"])["public.chats"].schema == "public"
    finally:
        connection.execute(f"reset search_path; drop owned by {role} cascade")
        administrator.execute(f"drop role {role}")


def test_a_query_reaches_its_tables_on_any_path(connection):
    connection.execute('create table "o""dd" (a int); insert into "o""dd" values (7)')
    found = resolve(connection, ['o"dd'])
    sql = expose('select a from "o""dd"', found)
    with connection.transaction(), settings(connection, {"search_path": SAFE_PATH}):
        assert rows(connection, sql) == [{"a": 7}]
        sql = expose('select a from "o""dd"', {'o"dd': "select 8 as a"})
        assert rows(connection, sql) == [{"a": 8}]
    assert expose("select 1", {}) == "select 1"


def test_names_in_catalog_queries_become_oids(connection):
    found = resolve(connection, ["chats"])
    sql = bind(
        "select to_regclass('chats')::oid as there, to_regclass('no') as absent", found
    )
    assert rows(connection, sql) == [{"there": found["chats"].oid, "absent": None}]


def test_columns_have_the_names_of_their_numbers_in_order(connection):
    named = column_names("'chat_providers'::regclass", "array[3, 0, 1]::int2[]")
    assert scalar(connection, f"select {named}") == ["display_name", None, "id"]


@pytest.mark.parametrize("text", ["plain", "it's", "back\\slash's", '"', "é\n"])
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_literals_and_identifiers_say_what_they_hold(connection, text, conforming):
    connection.execute(f"set standard_conforming_strings = {conforming}")
    connection.execute("set escape_string_warning = off")
    assert scalar(connection, f"select {literal(text)}") == text
    assert list(rows(connection, f"select 1 as {quoted(text)}")[0]) == [text]
