"""The operations in a team's own environment, on its own tables."""

import contextlib
import io

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import sexton.alembic
from sexton.database import connect, rows, scalar
from sexton.ddl.engine import engine
from sexton.errors import Refused, UsageError, WrongSchema
from sexton.online.indexes import Index
from sexton.online.keys import key_of
from sexton.online.operations import CreateForeignKeyOnline, CreateIndexOnline
from sexton.online.tables import Table
from tests.test_alembic import alembic, team  # noqa: F401 - a fixture

TABLES = """
    create schema shop;
    create table shop."Customers" (id bigint primary key, name text);
    create table shop."order lines" (
        id bigint primary key, customer integer, note varchar(20)
    );
    insert into shop."Customers" values (1, 'Ada'), (2, 'Bob');
    insert into shop."order lines" values (1, 1, 'x'), (2, 2, null), (3, null, 'y');
"""
ORPHAN = """insert into shop."order lines" values (4, 9, 'z')"""
KEY = ("fk: lines", "order lines", "Customers", ["customer"], ["id"])
SCHEMAS = {"source_schema": "shop", "referent_schema": "shop"}
REVISION = '''"""Everything at once."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
SHOP = {"schema": "shop"}
KEY = ("fk: lines", "order lines", "Customers", ["customer"], ["id"])


def upgrade():
    op.create_index_online("by customer", "order lines", ["customer"], **SHOP,
        postgresql_where=sa.text("customer > 0"))
    op.create_foreign_key_online(*KEY, source_schema="shop", referent_schema="shop",
        ondelete="SET NULL")
    op.add_column_online("order lines", sa.Column("paid", sa.Boolean, nullable=False,
        server_default=sa.text("false")), **SHOP)
    op.set_not_null_online("Customers", "name", **SHOP)
    op.add_soft_delete("Customers", **SHOP)


def downgrade():
    op.drop_soft_delete("Customers", **SHOP)
    op.drop_not_null_online("Customers", "name", **SHOP)
    op.drop_column_online("order lines", "paid", **SHOP)
    op.drop_constraint_online("fk: lines", "order lines", **SHOP)
    op.drop_index_online("by customer", "order lines", **SHOP)
'''
STATE = """
    select c.relname || '.' || a.attname || ' ' || a.atttypid::regtype
           || a.attnotnull as part
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'shop'::regnamespace and a.attnum > 0 and not a.attisdropped
      and c.relkind in ('r', 'i')
    union all
    select pg_get_constraintdef(oid) || convalidated from pg_constraint
    where connamespace = 'shop'::regnamespace and contype in ('f', 'c')
    union all
    select pg_get_indexdef(indexrelid) || indisvalid
    from pg_index join pg_class on oid = indexrelid
    where relnamespace = 'shop'::regnamespace
    order by 1
"""


@contextlib.contextmanager
def operations(url):
    with engine(url, "tests").connect() as connection:
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context) as op:
            yield op


@pytest.fixture
def shop(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        yield url, connection


def state(connection):
    return [row["part"] for row in rows(connection, STATE)]


def test_up_down_and_up_again_and_a_second_time(team, shop):  # noqa: F811
    url, connection = shop
    (team / "db" / "versions" / "0001_all.py").write_text(REVISION)
    before = state(connection)

    def run(*arguments):
        done = alembic(url, *arguments, cwd=team)
        assert done.returncode == 0, done.stdout + done.stderr
        return state(connection)

    up = run("upgrade", "head")
    assert 'FOREIGN KEY (customer) REFERENCES shop."Customers"(id)' in "\n".join(up)
    assert not any("sexton" in part for part in up)
    connection.execute("update alembic_version set version_num = '0000'")
    connection.execute("delete from alembic_version")
    assert run("upgrade", "head") == up
    assert run("downgrade", "base") == before
    assert run("upgrade", "head") == up
    connection.execute("""update shop."Customers" set deleted = true where id = 1""")
    refused = alembic(url, "downgrade", "base", cwd=team)
    assert refused.returncode != 0
    assert "rows of Customers are soft-deleted" in refused.stdout
    assert state(connection) == up
    connection.execute("""update shop."Customers" set deleted = false""")
    printed = alembic(url, "upgrade", "head", "--sql", cwd=team)
    assert printed.returncode == 0, printed.stderr


def test_what_is_printed_makes_the_same(team, shop, database):  # noqa: F811
    url, connection = shop
    (team / "db" / "versions" / "0001_all.py").write_text(REVISION)
    printed = alembic(url, "upgrade", "head", "--sql", cwd=team)
    assert printed.returncode == 0, printed.stderr
    lines = [line for line in printed.stdout.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(statement)
    there = state(connection)
    connection.execute("delete from alembic_version")
    done = alembic(url, "upgrade", "head", cwd=team)
    assert done.returncode == 0, done.stderr
    assert state(connection) == there


@pytest.mark.parametrize(("orphans", "left"), [("null", 4), ("delete", 3)])
def test_orphans_are_seen_to(shop, orphans, left):
    url, connection = shop
    connection.execute(ORPHAN)
    with (
        pytest.raises(Refused, match="refer to no row"),
        operations(url) as op,
    ):
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert not any("FOREIGN KEY" in part for part in state(connection))
    for _ in range(2):
        with operations(url) as op:
            op.create_foreign_key_online(*KEY, **SCHEMAS, orphans=orphans)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))
    count = """select count(*) from shop."order lines" """
    assert scalar(connection, count) == left
    [change] = rows(connection, "select key, before, after from sexton.changes")
    assert change["key"] == {"id": 4}
    assert change["before"]["customer"] == 9
    assert (change["after"] is None) == (orphans == "delete")
    assert scalar(connection, count + "where customer is not null") == 2


def test_a_key_that_was_left_not_valid_is_validated(shop):
    url, connection = shop
    connection.execute("""
        alter table shop."order lines" add constraint "fk: lines"
        foreign key (customer) references shop."Customers" not valid
    """)
    with pytest.raises(Refused, match="another constraint"), operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS, ondelete="cascade")
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))


def test_orphans_of_types_that_compare_differently_are_left_alone(shop):
    url, connection = shop
    connection.execute("""
        create table shop.codes (code char(3) primary key);
        create table shop.uses (code text);
        insert into shop.codes values ('a');
        insert into shop.uses values ('a  ')
    """)
    with pytest.raises(Refused, match="differ in type"), operations(url) as op:
        op.create_foreign_key_online(
            "fk", "uses", "codes", ["code"], ["code"], orphans="delete", **SCHEMAS
        )
    assert scalar(connection, "select count(*) from shop.uses") == 1


def test_half_an_index_is_dropped_and_another_is_not(shop):
    url, connection = shop
    connection.execute("""insert into shop."order lines" values (5, 1, 'x')""")
    with contextlib.suppress(Exception):
        connection.execute(
            'create unique index concurrently "by {c}" on shop."order lines" (customer)'
        )
    assert any("by {c}" in part and part.endswith("false") for part in state(connection))
    with pytest.raises(Refused, match=r"another index by \{c\}"), operations(url) as op:
        op.create_index_online("by {c}", "order lines", ["note"], schema="shop")
    connection.execute("""delete from shop."order lines" where id = 5""")
    for _ in range(2):
        with operations(url) as op:
            op.create_index_online(
                "by {c}", "order lines", ["customer"], unique=True, schema="shop"
            )
    assert any("by {c}" in part and part.endswith("true") for part in state(connection))
    with pytest.raises(Refused, match="belongs to a constraint"), operations(url) as op:
        op.drop_index_online("Customers_pkey", "Customers", schema="shop")


def test_nulls_and_rewrites_are_refused(shop):
    url, connection = shop
    before = state(connection)
    with pytest.raises(Refused, match="have no customer"), operations(url) as op:
        op.set_not_null_online("order lines", "customer", schema="shop")
    for default in ("gen_random_uuid()", "pg_catalog.clock_timestamp ( )::text"):
        column = sa.Column("token", sa.Text, server_default=sa.text(default))
        with pytest.raises(Refused, match="would rewrite the table"), operations(url) as op:
            op.add_column_online("Customers", column, schema="shop")
    with pytest.raises(Refused, match="another column name"), operations(url) as op:
        op.add_column_online("Customers", sa.Column("name", sa.Integer), schema="shop")
    with pytest.raises(WrongSchema, match="no table nowhere"), operations(url) as op:
        op.add_soft_delete("nowhere")
    with pytest.raises(UsageError, match="cannot be 'keep'"), operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans="keep")
    with pytest.raises(UsageError, match="is no name"), operations(url) as op:
        op.add_soft_delete("shop.customers")
    assert state(connection) == before


def test_not_null_resumes_wherever_it_was_left(shop):
    url, connection = shop
    with operations(url) as op:
        op.set_not_null_online("Customers", "name", schema="shop")
    done = state(connection)
    connection.execute('alter table shop."Customers" alter column name drop not null')
    said = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said}
    )
    with context.begin_transaction(), Operations.context(context) as op:
        op.set_not_null_online("Customers", "name", schema="shop")
    alter = [line.rstrip(";") for line in said.getvalue().splitlines() if "alter" in line]
    assert len(alter) == 4
    for statement in alter[:3]:
        connection.execute(statement)
        with operations(url) as op:
            op.set_not_null_online("Customers", "name", schema="shop")
        assert state(connection) == done
        if statement is not alter[2]:
            connection.execute(
                'alter table shop."Customers" alter column name drop not null'
            )
            connection.execute(alter[0])


def test_each_knows_its_reverse():
    key = key_of("k", (Table("a"), Table("b")), (["x"], ["y"]), ondelete="set null")
    index = CreateIndexOnline(Index("i", Table("a"), ("x",)))
    for there in (CreateForeignKeyOnline(key), index):
        again = there.reverse().reverse()
        assert [s.title for s in again.build(None)] == [s.title for s in there.build(None)]
    assert sexton.alembic.include_name("sexton_guard", "index", {}) is False
    assert sexton.alembic.include_name("by_name", "index", {}) is True
