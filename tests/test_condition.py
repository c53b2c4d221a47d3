"""A condition is one, closed in itself, and keeps to its row."""

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sexton.condition import beyond, closed, tokens
from sexton.database import scalar

CALM = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize(
    "text",
    [
        *("not deleted", '"Paid"', "a = ')'", "a = $x$ ; $x$ -- (", "a = 'u&\"x'"),
        *(r"a = E'\'); drop'", "a = U&'\\0041'", "a /* /* ) */ ' */ = 1", "a = $1 $ $$)$$"),
        *("a = E'b' -- it's\n '\\')'", 'menu&"x" = 1', "a = 'C:\\dir'", "a = $é€$)$é€$"),
    ],
)
def test_one_condition_closed_in_itself_is_taken(text):
    closed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a) or (b", "a; drop table t", "a = 'b", "/* a", "-- a", "/* /* */ a", "a\0"),
        *("a = $x$ b", "a = E'b\\'", 'a = "b', "a" * 10_001, "(" * 101 + "a" + ")" * 101),
        # What the server reads otherwise than it seems, or in two ways.
        *("a$b$ or exists (select from t) or a$b$)", r'U&"pg_sl\0065ep"(9) is null'),
        *(r"a = 'b\' or c) or (c = '", r"a = '\\\''"),
    ],
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="is no SQL condition"):
        closed(text)


PARTS = st.sampled_from(
    [
        *("'", "''", "E'", "e'", "U&'", '"', '""', "$$", "$a$", "$é$", "$1", "$"),
        *("--", "/*", "*/", "/", "*", "-", "\n", "\r", " ", "\t", "\xa0", "é", "x", "1"),
        *("(", ")", " = ", " or ", "a", "b", "E", "true", "\\", "\\\\", "||"),
        "), 2 as pwned, (",
    ]
)


def read(connection, text):
    """The columns that the server makes of a text in brackets; None where it does not."""
    try:
        with connection.transaction(force_rollback=True):
            sql = f"select (\n{text}\n) as one, 1 as last"
            return [c.name for c in connection.execute(sql, binary=True).description]
    except psycopg.Error:
        return None


@CALM
@given(st.lists(PARTS, max_size=14).map("".join))
@example("'a'''), 2 as pwned, ('")
@example("E'a'\n'\\'), 2 as pwned, ('")
@example("1 /* /* */), 2 as pwned, (1 */")
@example("1 $x), 2 as pwned, ($x$")
@example("1 -- a\r), 2 as pwned, (1")
def test_what_is_taken_never_leaves_its_brackets(connection, text):
    try:
        closed(text)
    except ValueError:
        return
    assert read(connection, text) in (None, ["one", "last"])


@CALM
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.sampled_from(["quote_literal", "E", "$", "U&"]),
)
@example('u&"', "quote_literal")
@example("it's \\' $$ /* -- \n", "E")
def test_a_string_is_one_for_us_as_for_the_server(connection, value, kind):
    slashes = value.replace("\\", "\\\\")
    said = {
        "quote_literal": scalar(
            connection, "select quote_literal(%s::text)", value
        ).strip(),
        "E": "E'" + slashes.replace("'", "\\'") + "'",
        "$": f"$q_q${value}$q_q$",
        "U&": "U&'" + slashes.replace("'", "''") + "'",
    }[kind]
    sql = f"select ({said})::text as value"
    assert connection.execute(sql, binary=True).fetchone()["value"] == value
    [one] = tokens(said)
    assert one.kind == "string"


LONG = "l" * 70


@pytest.fixture
def strangers(connection):
    """Functions, an operator and a type of somebody's, which take and give anything."""
    connection.execute("create domain odd as int")
    for name in ("evil", "€vil", "Évil", "evil\xa0", LONG):
        connection.execute(
            f"""
            create function public."{name}"(int) returns boolean language sql
            as 'select true'
            """
        )
    connection.execute(
        """
        create function evil(int, int) returns boolean language sql as 'select true';
        create operator public.~~~ (leftarg = int, rightarg = int, function = evil)
        """
    )
    return connection


@pytest.mark.parametrize(
    "text",
    [
        *("exists (select from chats)", "true --\r or exists (select from chats)"),
        *("public.evil(1)", "public.evil/**/(1)", "public /* */ . -- x\n evil(1)"),
        *("PUBLIC.Evil\n(1)", '"public"."evil"(1)', 'public."€vil"(1)', "public.€vil(1)"),
        *("public.Évil(1)", "public.evil\xa0(1)", f"public.{LONG}(1)"),
        *("pg_sleep/**/(0) is null", "1 operator(public.~~~) 1"),
        *("1 operator /**/ (public /**/ . ~~~) 1", "1::public.odd = 1"),
        "cast(1 as public/**/.odd) = 1",
    ],
)
def test_what_goes_beyond_its_row_is_seen_however_it_is_written(strangers, text):
    strangers.execute(f"select where {text}")  # it is what the server takes
    closed(text)
    assert beyond(strangers, text)


def test_what_only_reads_its_row_does_not_go_beyond_it(connection):
    for text in (
        "not deleted and lower(state) <> 'paid'",
        "state = 'select' /* table */ or \"select\" is null -- values (1)",
        "1e5 < a and b between 0.5 and 1.",
        "a operator(pg_catalog.=) 'public.evil(1)'",
    ):
        assert beyond(connection, text) is None
