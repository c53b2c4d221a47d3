"""Sessions: nothing that a role or a database sets changes what is read, or runs."""

import contextlib
import os

import psycopg
import pytest
from psycopg import conninfo

from sexton.catalog.relations import resolve
from sexton.database import connect, scalar
from tests.support.tools import add_model, add_provider

STYLES = {
    "DateStyle": ["German", "SQL, DMY", "Postgres"],
    "IntervalStyle": ["sql_standard", "iso_8601"],
    "extra_float_digits": ["0", "-15"],
    "bytea_output": ["escape"],
    "array_nulls": ["off"],
    "transform_null_equals": ["on"],
    "standard_conforming_strings": ["off"],
    "quote_all_identifiers": ["on"],
    "TimeZone": ["Asia/Kathmandu"],
}
SETTINGS = [(name, value) for name, values in STYLES.items() for value in values]


@pytest.fixture
def styled(administrator, url):
    """Set a parameter for the whole database."""
    name = conninfo.conninfo_to_dict(url)["dbname"]

    def set_it(parameter, value):
        quoted = value if parameter == "search_path" else f"'{value}'"
        administrator.execute(f"alter database {name} set {parameter} = {quoted}")

    return set_it


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_no_style_of_a_database_changes_what_is_read(
    sexton, connection, styled, name, value
):
    add_provider(connection, "openai")
    add_provider(connection, "azure")
    add_model(connection, "openai", is_default=True)
    styled(name, value)
    for command in ("provider delete azure", "history", "history 1", "status", "undo 1"):
        done = sexton(*command.split())
        assert done.code in (0, 5), (command, done)
    with contextlib.closing(connect(sexton.url, name="tests")) as own:
        found = own.execute(
            "select '2026-02-01'::date as d, interval '1 day 02:03' as i,"
            " 0.1::float8 + 0.2::float8 as f, '\\x00ff'::bytea as b"
        ).fetchone()
    assert str(found["d"]) == "2026-02-01"
    assert found["i"].total_seconds() == 93780
    assert found["f"] == 0.1 + 0.2
    assert found["b"] == b"\x00\xff"


# Whoever may create objects in public, on a path that puts pg_catalog last.
TRAPS = """
    create function public.trap(a anyelement, b anyelement) returns boolean
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.trap(a text, b text) returns boolean
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.trap(a name, b name) returns boolean
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.trap(a int, b int) returns boolean
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.trap(a oid, b oid) returns boolean
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.to_regclass(a text) returns regclass
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.current_setting(a text) returns text
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.set_config(a text, b text, c boolean) returns text
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.current_schema() returns name
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
    create function public.count(a int) returns bigint
    language plpgsql as $$ begin raise exception 'a trap has run'; end $$;
"""
OPERATORS = "".join(
    f"create operator public.{sign} "
    f"(leftarg = {kind}, rightarg = {kind}, function = public.trap);"
    for sign in ("=", "<>", "<", ">", "~")
    for kind in ("text", "name", "int", "oid")
)


@pytest.mark.parametrize(
    "command",
    [
        *("status", "audit --confirm-after 0", "history", "provider list", "guard status"),
        *("provider delete azure", "repair", "upgrade", "upgrade --plan", "adopt"),
        *("grants auditor --to postgres", "downgrade 0003", "model list"),
    ],
)
def test_a_path_with_pg_catalog_last_runs_nobodys_code(sexton, connection, styled, command):
    add_provider(connection, "openai")
    add_provider(connection, "azure")
    add_model(connection, "openai", is_default=True)
    connection.execute(TRAPS)
    connection.execute(OPERATORS)
    styled("search_path", "public, pg_catalog")
    done = sexton(*command.split())
    assert done.code in (0, 1), done
    assert "a trap has run" not in done.stdout + done.stderr


def test_the_users_path_still_says_which_tables_are_meant(url, connection, styled):
    connection.execute("create schema app; create table app.chats (id int)")
    for path in ("app, public", "app, public, pg_catalog", '"$user", app, public'):
        styled("search_path", path)
        with contextlib.closing(connect(url, name="tests")) as own:
            assert resolve(own, ["chats"])["chats"].schema == "app"
            assert scalar(own, "select current_schema()::text") == "app"


def test_a_connection_of_the_callers_stays_as_it_came(url):
    from sexton.postgres.connect import another

    with psycopg.connect(url, options="-c datestyle=German", autocommit=True) as theirs:
        another(theirs).close()
        assert theirs.execute("show datestyle").fetchone() == ("German, DMY",)
        assert os.environ.get("PGDATESTYLE") is None
