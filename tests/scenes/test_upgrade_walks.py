"""Any walk up and down, with life going on between, ends where it would have anyway."""

import contextlib
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sexton.chat import models
from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.database import Connection, connect, rows, transact
from sexton.errors import SextonError
from sexton.upgrade.drift import drift
from sexton.upgrade.run import Options, downgrade, upgrade
from tests.support.project import REVISIONS
from tests.support.tools import add_chat, add_model, add_provider

NAMES = ("anthropic", "azure", "google", "openai")
DISABLE = Options(choices=frozenset({"tombstones=disable"}))
_number = itertools.count()

operations = st.one_of(
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("promote"), st.integers(0, 7)),
    st.tuples(st.just("create"), st.sampled_from(NAMES)),
)


def seed(connection: Connection) -> None:
    for index, name in enumerate(NAMES):
        add_provider(connection, name)
        model = add_model(connection, name, f"m{index}", is_default=index == 3)
        add_chat(connection, model)
        add_model(connection, name, f"n{index}")


def operate(connection: Connection, operation: tuple[str, object]) -> None:
    kind, what = operation
    with contextlib.suppress(SextonError):
        if kind == "delete":
            run(connection, DeleteProvider(str(what)))
        elif kind == "promote":
            found = rows(
                connection, "select id from chat_model_configs order by provider, model"
            )
            id = found[int(str(what)) % len(found)]["id"]
            transact(connection, lambda: models.promote(connection, id))
        elif rows(connection, "select from chat_providers where provider = %s", what):
            add_model(connection, str(what), f"new {next(_number)}")


def state(connection: Connection) -> list[list[dict[str, object]]]:
    """All rows, but for ids and times, which differ from database to database."""
    return [
        rows(connection, "select provider, enabled from chat_providers order by provider"),
        rows(
            connection,
            """
            select provider, regexp_replace(model, '[0-9]+$', '') as model, enabled,
                   is_default, deleted, deleted_at is not null as dated, count(*) as n
            from chat_model_configs group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
            """,
        ),
        rows(
            connection,
            """
            select c.provider, c.model from chats h
            join chat_model_configs c on c.id = h.last_model_config_id order by 1, 2
            """,
        ),
    ]


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.lists(operations, max_size=3), st.sampled_from(REVISIONS[:-1])),
        min_size=1,
        max_size=3,
    )
)
def test_a_walk_ends_where_it_would_have_ended_without_the_detours(database, walk):
    walked, straight = database(), database()
    with (
        contextlib.closing(connect(walked, name="tests")) as there,
        contextlib.closing(connect(straight, name="tests")) as here,
    ):
        seed(there)
        seed(here)
        for life, down in walk:
            for operation in life:
                operate(there, operation)
                operate(here, operation)
            exact = rows(there, "select * from chat_model_configs order by id")
            downgrade(there, down, DISABLE)
            upgrade(there)
            assert rows(there, "select * from chat_model_configs order by id") == exact
            assert state(there) == state(here)
        assert drift(there) == []
