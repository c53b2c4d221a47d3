"""The operations in a team's own environment, on its own tables."""

import sexton.alembic
from sexton.online.indexes import unique_of
from sexton.online.operations import (
    CreateForeignKeyOnline,
    CreateIndexOnline,
    CreateUniqueOnline,
)
from sexton.online.tables import Table
from tests.support.environments import alembic
from tests.support.online import state

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
    op.create_unique_online("one name", "Customers", ["lower(name)"], **SHOP,
        among="not deleted")
    op.create_unique_online("notes", "order lines", ["note", "customer"], **SHOP)


def downgrade():
    op.drop_soft_delete("Customers", **SHOP)
    op.drop_constraint_online("notes", "order lines", **SHOP)
    op.drop_index_online("one name", "Customers", **SHOP, if_exists=True)
    op.drop_not_null_online("Customers", "name", **SHOP)
    op.drop_column_online("order lines", "paid", **SHOP)
    op.drop_constraint_online("fk: lines", "order lines", **SHOP)
    op.drop_index_online("by customer", "order lines", **SHOP)
'''


def test_up_down_and_up_again_and_a_second_time(team, shop):
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


def test_what_is_printed_makes_the_same(team, shop, database):
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


def test_each_knows_its_reverse():
    key = CreateForeignKeyOnline("k", "a", "b", ["x"], ["y"], ondelete="set null")
    index = CreateIndexOnline("i", "a", ["x"])
    unique = CreateUniqueOnline("u", "a", ['"x y"', "z"])
    among = unique_of("u", Table("a"), ["lower(z)"], "z <> '%'")
    for there in (key, index, unique, CreateIndexOnline(**among.given)):
        again = there.reverse().reverse()
        assert [s.title for s in again.build(None)] == [s.title for s in there.build(None)]
    assert sexton.alembic.include_name("sexton_guard", "index", {}) is False
    assert sexton.alembic.include_name("by_name", "index", {}) is True
