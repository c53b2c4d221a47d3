"""What is asked before a step is asked by who may do it."""

import psycopg
import pytest

from sexton.errors import WrongServer
from tests.support.tools import login
from tests.support.waiting import Working


def test_a_role_that_does_not_own_the_tables_is_told(keyed, application):
    application.execute(f"create role no_owner {login(application)}")
    application.execute("grant usage on schema sexton to no_owner")
    application.execute("grant select, update on sexton.alembic_version to no_owner")
    try:
        theirs = psycopg.conninfo.make_conninfo(keyed, user="no_owner")
        with pytest.raises(WrongServer, match="no_owner does not own chat_") as raised:
            Working(theirs).result()
        assert raised.value.code == 4
        # A superuser owns them: nobody is to be made one for that.
        assert raised.value.hint == f"connect as {application.info.user}"
    finally:
        application.execute("drop owned by no_owner; drop role no_owner")
