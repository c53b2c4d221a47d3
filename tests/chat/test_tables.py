"""The library in a SQLAlchemy session's transaction, and the tables it declares."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import preview, run
from sexton.chat.tables import chat_model_configs, metadata
from sexton.ddl.engine import engine
from tests.support.tools import add_chat, add_model, add_provider


@pytest.fixture
def session(url):
    with Session(engine(url, "tests")) as opened:
        yield opened


def test_a_deletion_runs_in_the_sessions_transaction(session, connection):
    add_provider(connection, "openai")
    add_chat(connection, add_model(connection, "openai", is_default=True))
    driver = session.connection().connection.driver_connection
    operation = DeleteProvider("openai")
    seen = preview(driver, operation)
    assert run(driver, operation).document() == seen.document()
    deleted = select(chat_model_configs.c.deleted)
    assert session.scalars(deleted).all() == [True]
    session.rollback()
    assert session.scalars(deleted).all() == [False]


def test_the_tables_are_what_the_revisions_make(session):
    context = MigrationContext.configure(
        session.connection(), opts={"compare_type": True, "compare_server_default": True}
    )
    differences = compare_metadata(context, metadata)
    assert not differences, (
        "toolkit/sexton/chat/tables.py and the revisions differ: correct one of them"
    )
