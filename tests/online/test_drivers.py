"""The env.py that a team has, on the driver that it has."""

import pytest

from sexton.database import rows, scalar
from tests.support.environments import alembic
from tests.upgrade.conftest import shop

__all__ = ["shop"]

SYNC = """
import logging.config
import os

from alembic import context
from sqlalchemy import MetaData, engine_from_config, pool
{line}
config = context.config
if config.config_file_name is not None:
    logging.config.fileConfig(config.config_file_name)
target_metadata = MetaData(naming_convention={{"ix": "ix_%(column_0_label)s"}})


def include_object(object, name, type_, reflected, compare_to):
    return name != "somebody_elses"


def run_migrations_offline():
    context.configure(
        url=config.get_main_option("sqlalchemy.url"), target_metadata=target_metadata,
        literal_binds=True, dialect_opts={{"paramstyle": "named"}},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online():
    connectable = engine_from_config(
        config.get_section(config.config_ini_section, {{}}), prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    with connectable.connect() as connection:
        context.configure(
            connection=connection, target_metadata=target_metadata, compare_type=True,
            include_object=include_object, render_as_batch=True, include_schemas=True,
            on_version_apply=lambda **_: print("applied"),
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""
ASYNC = """
import asyncio

from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config
{line}
config = context.config


def do_run_migrations(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    connectable = async_engine_from_config(
        config.get_section(config.config_ini_section, {{}}), prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()


asyncio.run(run_async_migrations())
"""
INI = """
[alembic]
script_location = %(here)s/db
sqlalchemy.url = {url}

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = WARNING
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic

[formatter_generic]
format = %(levelname)s %(message)s
"""
DRIVERS = {
    "psycopg": SYNC,
    "psycopg2": SYNC,
    "asyncpg": ASYNC,
    "psycopg_async": ASYNC,
}
UP = """
op.execute("insert into customers values (9, 'Cy')")
op.create_index_online("by_customer", "invoices", ["customer_id"])
op.execute("insert into customers values (10, 'Di')")
op.set_not_null_online("customers", "name")
"""
DOWN = """
op.drop_index_online("by_customer", "invoices")
op.drop_not_null_online("customers", "name")
op.execute("delete from customers where id > 8")
"""
DRIVER = "op.execute(sa.text('select 1'))\nprint('on', op.get_bind().dialect.driver)"


def fit(team, url, driver, line=""):
    parts = dict(part.split("=", 1) for part in url.split())
    where = f"host={parts['host']}" + (f"&port={parts['port']}" if "port" in parts else "")
    text = f"postgresql+{driver}://{parts['user']}@/{parts['dbname']}?{where}"
    (team.folder / "alembic.ini").write_text(INI.format(url=text))
    team.env.write_text(DRIVERS[driver].format(line=line))
    return text


def state(connection):
    found = rows(
        connection,
        "select pg_get_indexdef(indexrelid) || indisvalid as part from pg_index "
        "where indrelid = 'invoices'::regclass union all "
        "select 'name' || attnotnull from pg_attribute "
        "where attrelid = 'customers'::regclass and attname = 'name' "
        "union all select name from customers "
        "union all select conname from pg_constraint "
        "where conrelid = 'customers'::regclass and contype = 'c' order by 1",
    )
    return [row["part"] for row in found]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("way", ["upgrade", "attached", "plain"])
def test_up_and_down_on_each_driver(shop, driver, way):
    team, sexton, connection = shop
    line = {
        "upgrade": "",
        "attached": "import sexton.alembic; sexton.alembic.attach(context)",
        "plain": "import sexton.alembic",
    }[way]
    fit(team, sexton.url, driver, line)
    team.add("0001", None, f"{UP}\n{DRIVER}", DOWN)
    team.add("0002", "0001", "pass", "pass")
    before = state(connection)

    def run(*words):
        if way == "upgrade":
            result = sexton(*words)
            return result.code, result.stderr
        done = alembic(sexton.url, *words, cwd=team.folder)
        return done.returncode, done.stdout + done.stderr

    for _ in range(2):
        code, said = run("upgrade", "head")
        assert code == 0, said
        assert f"on {driver.removesuffix('_async')}\n" in said
        assert "CREATE INDEX by_customer ON public.invoices" in str(state(connection))
        assert "nametrue" in state(connection)
        assert scalar(connection, "select version_num from alembic_version") == "0002"
        code, said = run("downgrade", "base")
        assert code == 0, said
        assert state(connection) == before


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_a_plan_a_failure_and_a_lock_on_another_driver(shop, driver):
    team, sexton, connection = shop
    fit(team, sexton.url, driver)
    team.add("0001", None, UP, DOWN)
    assert "build the index by_customer" in sexton("upgrade", "--plan").stdout
    assert "by_customer" not in str(state(connection))
    team.add("0002", "0001", "op.execute(\"select 'secret'::int\")")
    failed = sexton("upgrade")
    assert failed.code == 3, failed
    assert f"revision 0002: {team.versions / '0002.py'}, line 11: " in failed.stderr
    assert "statement: select '…'::int\n" in failed.stderr
    team.add("0002", "0001", "op.add_column('customers', sa.Column('more', sa.Text))")
    connection.execute("begin; select from customers")
    busy = sexton("upgrade", "--max-stall", "200ms")
    connection.execute("rollback")
    assert busy.code == 6, busy
    assert "table: public.customers\n  blocked by pid" in busy.stderr
    assert sexton("upgrade").code == 0
    script = sexton("downgrade", "base", "--sql").stdout.lower()
    assert "drop index concurrently" in script


def test_the_documented_env_keeps_the_driver_that_the_url_names(shop):
    team, sexton, connection = shop
    text = team.env.read_text()
    fit(team, sexton.url, "psycopg2")
    team.env.write_text(text)
    # A text for an integer column: psycopg2 sends a literal, psycopg (3) a typed value.
    team.add(
        "0001",
        None,
        f"{DRIVER}\nt = sa.table('invoices', sa.column('customer_id', sa.String()))\n"
        "op.execute(t.update().values(customer_id='1'))",
    )
    done = sexton("upgrade")
    assert done.code == 0, done
    assert "on psycopg2\n" in done.stderr
    assert scalar(connection, "select count(*) from invoices where customer_id = 1") == 3


def test_an_env_that_connects_elsewhere_is_refused(shop, database):
    team, sexton, connection = shop
    url = fit(team, database("empty"), "psycopg")
    team.env.write_text(
        team.env.read_text().replace(
            "config = context.config\n",
            f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {url!r})\n",
        )
    )
    team.add("0001", None, "op.create_table('made', sa.Column('id', sa.Integer))")
    for command in ("upgrade", "upgrade --plan", "status"):
        refused = sexton(*command.split())
        assert refused.code == 2
        assert "connects to the database" in refused.stderr
    assert not scalar(connection, "select to_regclass('alembic_version') is not null")


def test_a_transaction_around_the_migrations_is_refused_in_a_sentence(shop):
    team, sexton, connection = shop
    fit(team, sexton.url, "psycopg")
    text = team.env.read_text()
    team.add("0001", None, UP, DOWN)
    for line in (
        "",
        "import sexton.alembic",
        "import sexton.alembic; sexton.alembic.attach(context)",
    ):
        team.env.write_text(
            text.replace("connectable.connect()", "connectable.begin()").replace(
                "config = context.config\n", f"{line}\nconfig = context.config\n"
            )
        )
        if not line:
            refused = sexton("upgrade")
            said, code = refused.stderr, refused.code
            assert code == 5
        else:
            plain = alembic(sexton.url, "upgrade", "head", cwd=team.folder)
            said = plain.stdout
            assert "Traceback" not in plain.stderr, plain.stderr
        assert "env.py begins a transaction around the migrations" in said
    assert "by_customer" not in str(state(connection))


def test_a_search_path_that_env_sets_is_kept(shop):
    team, sexton, connection = shop
    connection.execute("create schema one; create table one.customers (id int, name text)")
    fit(team, sexton.url, "psycopg2")
    team.env.write_text(
        team.env.read_text().replace(
            "        context.configure(\n            connection",
            "        connection.exec_driver_sql('set search_path = one')\n"
            "        connection.commit()\n"
            "        context.configure(\n            connection",
        )
    )
    team.add("0001", None, "op.create_index_online('i', 'customers', ['id'])")
    assert sexton("upgrade").code == 0
    assert scalar(connection, "select to_regclass('one.i') is not null")
    assert scalar(connection, "select version_num from one.alembic_version") == "0001"
    assert sexton("upgrade").stdout == "at 0001 already: nothing to do\n"


def test_revisions_that_take_the_name_of_a_database(shop):
    team, sexton, connection = shop
    fit(team, sexton.url, "psycopg")
    team.env.write_text(
        team.env.read_text().replace(
            "            context.run_migrations()\n\n\nif",
            "            context.run_migrations(engine_name='one')\n\n\nif",
        )
    )
    (team.versions / "0001.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade(engine_name):\n"
        "    op.create_index_online('by_' + engine_name, 'invoices', ['id'])\n"
    )
    planned = sexton("upgrade", "--plan")
    assert "build the index by_one" in planned.stdout
    assert sexton("upgrade").code == 0
    assert "by_one" in str(state(connection))


def test_what_alembic_alone_does_is_as_it_was(shop):
    team, sexton, connection = shop
    fit(
        team,
        sexton.url,
        "psycopg2",
        "import sexton.alembic; sexton.alembic.attach(context)",
    )
    connection.execute("create table somebody_elses (id int); create schema sexton")
    team.add("0001", None, "pass")
    for words in (("upgrade", "head"), ("current",), ("check",), ("stamp", "0001")):
        done = alembic(sexton.url, *words, cwd=team.folder)
        assert "somebody_elses" not in done.stdout
        assert "Traceback" not in done.stderr, done
    printed = alembic(sexton.url, "upgrade", "base:head", "--sql", cwd=team.folder)
    assert "INSERT INTO alembic_version" in printed.stdout, printed
