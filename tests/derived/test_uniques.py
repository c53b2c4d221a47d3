"""No two live rows have the same values, and the repair keeps one of them."""

import json

import pytest

from sexton.database import connect, rows

TABLE = """
    create table users (
        id int primary key, tenant_id int, email text, created_at timestamptz,
        deleted_at timestamptz
    );
    insert into users values
        (1, 1, 'Ada@x', '2026-02-01'), (2, 1, 'ada@x', '2026-01-01'),
        (3, 1, 'ADA@x', '2026-03-01'), (4, 2, 'ada@x', '2026-01-01'),
        (5, 1, null, '2026-01-01'), (6, 1, null, '2026-01-01'),
        (7, null, 'ada@x', '2026-01-01'), (8, null, 'ada@x', '2026-01-01');
    insert into users values (9, 2, 'ada@x', '2026-01-01', now());
"""
FILE = """
project = "shop"

[[soft_delete]]
table = "users"
deleted_at = "deleted_at"

[[unique]]
table = "users"
columns = ["tenant_id", "lower(email)"]
keep = ["created_at", "id"]
"""
NAME = "users_tenant_id_email_duplicated"


@pytest.fixture
def users(shop_url, run, file):
    file.write_text(FILE)
    with connect(shop_url, name="tests") as connection:
        connection.execute(TABLE)
    return run


def live(url):
    with connect(url, name="tests") as connection:
        found = rows(connection, "select id from users where deleted_at is null order by 1")
    return [row["id"] for row in found]


def found(result):
    [check] = json.loads(result.stdout)["checks"]
    return [finding["message"] for finding in check["findings"]]


def test_all_but_the_one_to_keep_are_found_and_soft_deleted(users, shop_url):
    audited = users("audit", NAME, "--confirm-after", "0", "--format", "json")
    same = (
        "is one of 3 live rows with the same tenant_id, lower(email): 2 is the one to keep"
    )
    assert audited.code == 1
    assert found(audited) == [f"users 1 {same}", f"users 3 {same}"]
    repaired = users("repair", NAME, "--apply", "--max-fraction", "1")
    assert repaired.code == 0, repaired.stderr
    assert live(shop_url) == [2, 4, 5, 6, 7, 8]
    assert users("audit", NAME, "--confirm-after", "0").code == 0
    run = repaired.stdout.split("run ")[1].split()[0].rstrip(":,.;")
    assert users("undo", run, "--yes").code == 0
    assert live(shop_url) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_plan_keeps_a_row_when_the_kept_one_is_gone(users, shop_url, tmp_path):
    plan = str(tmp_path / "plan.json")
    assert users("repair", NAME, "--max-fraction", "1", "--out", plan).code == 1
    with connect(shop_url, name="tests") as connection:
        connection.execute("update users set deleted_at = now() where id in (1, 2)")
    users("apply", plan, "--yes")
    assert 3 in live(shop_url)


def test_without_marks_a_person_decides(users, file):
    file.write_text(
        FILE.replace('deleted_at = "deleted_at"', 'live = "deleted_at is null"')
    )
    assert users("audit", NAME, "--confirm-after", "0").code == 1
    assert "soft-delete all but one of the rows" in users("repair", NAME).stdout


def test_a_composite_id_with_odd_names(users, shop_url, file):
    with connect(shop_url, name="tests") as connection:
        connection.execute(
            """
            create table "Odd Ones" (
                "a b" int, kept_0 int, "No" text, gone bool not null default false,
                primary key ("a b", kept_0)
            );
            insert into "Odd Ones" values (1, 1, 'x'), (1, 2, 'x'), (2, 1, 'y')
            """
        )
    file.write_text(
        """
        project = "shop"
        [[soft_delete]]
        table = "Odd Ones"
        deleted = "gone"
        [[unique]]
        table = "Odd Ones"
        columns = ["No"]
        keep = ["a b", "kept_0 desc"]
        id = ["a b", "kept_0"]
        name = "odd"
        """
    )
    audited = users("audit", "odd", "--confirm-after", "0", "--format", "json")
    assert audited.code == 1, audited.stdout + audited.stderr
    assert found(audited) == [
        "Odd Ones (1, 1) is one of 2 live rows with the same No: (1, 2) is the one to keep"
    ]
    assert users("repair", "odd", "--apply", "--max-fraction", "1").code == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lower(email)"', '"lower(emial)"', "toml:10: unique[0].columns: "),
        ('"lower(email)"', '"emial"', "users has no column emial; did you mean email?"),
        ('"lower(email)"', '"lower(email"', "is no SQL condition, closed in itself"),
        ('"lower(email)"', '"random()::text"', "pg_catalog.random(), which is volatile"),
        ('"lower(email)"', '"(select 1)"', "a sub-select"),
        ('["tenant_id", "lower(email)"]', "[]", "`columns` is empty"),
        ('"created_at", ', '"create_at", ', "toml:11: unique[0].keep: users has no column"),
        ('"created_at", ', '"lower(x)", ', "is no order"),
        ("keep =", "kept =", "toml:11: unique[0].kept is not known; did you mean keep?"),
        (
            '[[soft_delete]]\ntable = "users"\ndeleted_at = "deleted_at"\n',
            "",
            "toml:6: unique[0].table: users has no [[soft_delete]]",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_line(users, file, old, new, message):
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    result = users("audit")
    assert result.code == 2, result.stdout + result.stderr
    assert message in result.stderr


COUNTED = """
    create table accounts (
        id int primary key, slug text unique, email text, no int, kind text,
        deleted boolean not null default false, deleted_at timestamptz
    );
    create table logins (id int primary key, slug text references accounts (slug));
    create unique index accounts_email on accounts (lower(email), no);
    create unique index accounts_kind on accounts (kind) where kind <> 'x';
    create unique index accounts_or on accounts (kind) where not deleted or no > 1;
    create unique index accounts_flag on accounts (kind, deleted);
    create unique index accounts_no on accounts (no);
    create index accounts_plain on accounts (kind);
    create unique index live_1 on accounts (no) where deleted = false;
    create unique index live_2 on accounts (no) where kind = 'x' and deleted is not true;
    create unique index live_3 on accounts (no) where deleted_at is null;
    create unique index live_4 on accounts (no, deleted_at);
    create unique index live_5 on accounts (no) where (not deleted) and (no = 1 or no = 2);
"""
DECLARED = """
project = "shop"
[[soft_delete]]
table = "accounts"
deleted = "deleted"
deleted_at = "deleted_at"
"""


def counted(run, table="accounts"):
    asked = ("audit", f"{table}_key_counts_deleted", "--confirm-after", "0")
    result = run(*asked, "--format", "json")
    [check] = result.json["checks"]
    assert check["status"] in ("pass", "fail"), check["reason"]
    assert check["severity"] == "warning"
    return {f["key"]["index"]: f["message"] for f in check["findings"]}


def test_unique_indexes_that_count_deleted_rows(shop_url, run, file):
    file.write_text(DECLARED)
    with connect(shop_url, name="tests") as connection:
        connection.execute(COUNTED)
    found = counted(run)
    assert sorted(found) == [
        f"accounts_{name}" for name in ("email", "flag", "kind", "no", "or")
    ]
    assert found["accounts_email"] == (
        "accounts_email, unique over (lower(email), no), counts soft-deleted rows of "
        "accounts: no row can take the values of a deleted one"
    )
    # A key by which other rows refer to these, foreign or not, is theirs as well.
    file.write_text(
        DECLARED + '[[reference]]\nchild = "logins.id"\nparent = "accounts.no"\n'
    )
    assert "accounts_no" not in counted(run)


@pytest.mark.parametrize(
    ("live", "predicate", "counts"),
    [
        ("deleteat = 0", "deleteat = 0", False),
        ("deleteat = 0", "deleteat = 1", True),
        ("deleteat = 0", "deleteat = 0 or no = 1", True),
        ("state <> 'gone'", "state != 'gone' and no > 0", False),
        ("state <> 'gone' and no > 0", "state <> 'gone'", True),
        ("state = 'a' or no = 1", "state = 'a' or no = 1", True),  # it cannot tell
    ],
)
def test_predicates_of_any_convention(shop_url, run, file, live, predicate, counts):
    file.write_text(f'project = "shop"\n[[soft_delete]]\ntable = "t"\nlive = "{live}"\n')
    with connect(shop_url, name="tests") as connection:
        connection.execute(
            f"""
            create table t (
                id int primary key, no int, state varchar(9), deleteat bigint default 0
            );
            create unique index i on t (no) where {predicate}
            """
        )
    assert bool(counted(run, "t")) is counts
