"""Databases in which references can dangle, and a role that may only read them."""

import contextlib
import uuid

import pytest
from psycopg import conninfo

from sexton.chat.sample import populate
from sexton.database import connect
from tests.support import giants
from tests.support.audits import FREE
from tests.support.tools import add_model, add_provider


@pytest.fixture
def free(connection):
    """A database without the key from chats to models, with one model in it."""
    connection.execute(FREE)
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    return connection


@pytest.fixture
def reader(url, free):
    """A role with SELECT on our tables and nothing else."""
    role = f"reader_{uuid.uuid4().hex[:8]}"
    free.execute(f"create role {role} login password 'made-up'")
    free.execute(f"grant usage on schema sexton to {role}")
    free.execute(f"grant select on all tables in schema public, sexton to {role}")
    address = conninfo.make_conninfo(url, user=role, password="made-up")
    with contextlib.closing(connect(address, name="tests")) as opened:
        yield opened, role
    free.execute(f"drop owned by {role}")
    free.execute(f"drop role {role}")


@pytest.fixture
def broken(free):
    """Sample data with a violation of most kinds in it."""
    free.execute("delete from chat_model_configs")
    free.execute("delete from chat_providers")
    free.execute(
        "alter table chat_messages drop constraint chat_messages_model_config_id_fkey"
    )
    populate(free, chats=300, messages=2)
    free.execute("update chat_model_configs set deleted = true where provider = 'azure'")
    free.execute("update chat_model_configs set deleted_at = '2020-01-01' where deleted")
    free.execute("update chat_model_configs set provider = 'OpenAI' where model = 'o3'")
    free.execute(
        "update chats set last_model_config_id = gen_random_uuid() where title like '%7'"
    )
    free.execute(
        "update chat_messages set model_config_id = gen_random_uuid() where id % 9 = 0"
    )
    free.execute(
        "update chat_messages set model_config_id = null where id % 7 = 0 and id % 9 > 0"
    )
    free.execute("analyze")
    return free


@pytest.fixture
def giant(database):
    url = database("empty")
    with connect(url, name="tests") as connection:
        giants.make(connection)
        yield connection, url


@pytest.fixture
def pair(connection):
    connection.execute("create table parent (key uuid primary key, live boolean)")
    connection.execute("create table child (id int primary key, ref uuid, live boolean)")
    return connection
