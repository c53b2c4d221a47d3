"""Names as they stand in SQL are read back as the names they were."""

import pytest

from sexton.catalog.identifiers import _RESERVED, dotted, identifier
from sexton.database import rows, scalar


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("invoices", "invoices"),
        ("Invoices", '"Invoices"'),
        ("order", '"order"'),
        ("1st", '"1st"'),
        ('a"b', '"a""b"'),
        ("", '""'),
    ],
)
def test_a_name_is_quoted_where_it_must_be(name, written):
    assert identifier(name) == written


def test_each_part_of_a_tables_name_is_quoted_by_itself():
    assert dotted("Shop.order lines") == '"Shop"."order lines"'
    assert dotted("public.chats") == "public.chats"


def test_every_word_that_the_server_reserves_is_quoted(connection):
    reserved = "select word from pg_get_keywords() where catcode in ('R', 'T')"
    known = {row["word"] for row in rows(connection, reserved)}
    assert known - _RESERVED == set(), "add them to _RESERVED in catalog/identifiers.py"


@pytest.mark.parametrize("name", ["select", 'x"; drop table chats; --', "Ä b", "a.b"])
def test_the_server_reads_back_what_was_written(connection, name):
    query = (
        f"select json_object_keys(row_to_json(t)) from (select 1 as {identifier(name)}) t"
    )
    assert scalar(connection, query) == name
