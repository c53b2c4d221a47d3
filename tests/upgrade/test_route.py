"""A walk that was interrupted one way is finished, or reversed, the other way."""

import contextlib
import threading

import pytest

from sexton.catalog import schema
from sexton.database import connect, rows, scalar
from sexton.ddl.options import Options
from sexton.errors import Busy, Refused
from sexton.upgrade.drift import drift
from sexton.upgrade.route import find_route
from sexton.upgrade.run import downgrade, upgrade
from tests.support.project import HEAD, above, down_to
from tests.support.tools import Cli, add_model, add_provider, table

NAME = "idx_chat_model_configs_single_default"
INVALID = f"update pg_index set indisvalid = false where indexrelid = '{NAME}'::regclass"
KEY = """
    alter table chat_model_configs add constraint chat_model_configs_provider_fkey
    foreign key (provider) references chat_providers (provider) on delete cascade not valid
"""


def interrupted(connection, url, target):
    """A way down that ends at its deadline, because somebody sits in a transaction."""
    with (
        contextlib.closing(connect(url, name="idle")) as idle,
        idle.transaction(),
    ):
        idle.execute("update chat_model_configs set enabled = enabled")
        with pytest.raises(Busy):
            downgrade(connection, target, Options(deadline=1.5))


def test_an_upgrade_heals_what_an_interrupted_downgrade_left(populated, url, capfd):
    before = table(populated, "chat_model_configs")
    assert downgrade(populated, "0003") == down_to("0003")
    interrupted(populated, url, "0002")
    # As at the end of such a build: the new index stands, the old one is half dropped.
    populated.execute(
        "update chat_model_configs set is_default = false where deleted;"
        "create table if not exists sexton.former_defaults (id uuid primary key);"
        "insert into sexton.former_defaults select id from chat_model_configs "
        "where deleted on conflict do nothing;"
        f"drop index if exists {NAME}_new;"
        f"create unique index {NAME}_new on chat_model_configs ((1)) "
        "where is_default = true"
    )
    populated.execute(INVALID)
    planned = Cli(url, capfd)("upgrade", "--plan", "--format", "json")
    assert "0003 again" in [step["revision"] for step in planned.json["steps"]]
    assert upgrade(populated) == ["0003 again", *above("0003")]
    assert drift(populated) == []
    assert table(populated, "chat_model_configs") == before


def test_an_index_that_is_gone_or_invalid_is_built_again_at_head(populated, url):
    for damage in (INVALID, f"drop index {NAME}"):
        populated.execute(damage)
        assert upgrade(populated) == ["0003 again"]
        assert drift(populated) == []
        assert upgrade(populated) == []


def test_a_key_that_an_interrupted_downgrade_restored_goes_again(populated, url):
    populated.execute(KEY)
    assert upgrade(populated) == ["0004 again"]
    assert drift(populated) == []


@pytest.mark.parametrize(
    ("go", "target", "made"),
    [
        (downgrade, "0001", ["half of 0003", "0002"]),
        (downgrade, "0002", ["half of 0003"]),
        (upgrade, "0002", ["half of 0003"]),  # a deploy that stays where the database is
    ],
)
def test_half_of_an_upgrade_is_reversed_unless_it_goes_on(database, go, target, made):
    url = database("0002")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai", is_default=True)
        connection.execute(
            f"create unique index {NAME}_new on chat_model_configs ((1)) "
            "where is_default = true and deleted = false"
        )
        connection.execute(f"drop index {NAME}")
        assert go(connection, target) == made
        assert drift(connection) == []
        [index] = rows(
            connection,
            "select indexdef from pg_indexes where indexname like %s",
            f"{NAME}%",
        )
        assert index["indexdef"].endswith("WHERE (is_default = true)")


def test_an_older_target_is_no_invitation_to_downgrade(sexton):
    result = sexton("upgrade", "0002")
    assert result.code == 2
    assert "next: sexton downgrade 0002" not in result.stderr
    assert "newer than 0002" in result.stderr


def test_one_route_serves_both_directions(connection):
    route = find_route(connection, "down", "0002")
    assert (route.start, route.goal, route.revisions) == (HEAD, "0002", down_to("0002"))
    ends = [(move.start, move.end) for move in route.moves]
    assert ends == list(zip(down_to("0002"), down_to("0001")[1:], strict=True))


def test_a_writer_that_commits_while_a_downgrade_waits_is_seen(database, administrator):
    """Also where the role's default is REPEATABLE READ: a snapshot older than the lock."""
    url = database("0002")
    with (
        contextlib.closing(connect(url, name="tests")) as connection,
        contextlib.closing(connect(url, name="writer")) as writer,
    ):
        name = connection.info.dbname
        administrator.execute(
            f"alter database {name} set default_transaction_isolation = 'repeatable read'"
        )
        add_provider(connection, "openai")
        model = add_model(connection, "openai")
        raised: list[BaseException] = []
        waiting = threading.Event()

        def go():
            with contextlib.closing(connect(url, name="tests")) as own:
                try:
                    options = Options(max_stall=0.1, say=lambda _: waiting.set())
                    downgrade(own, "0001", options)
                except Refused as error:
                    raised.append(error)

        with writer.transaction():
            writer.execute(
                "update chat_model_configs set deleted = true, deleted_at = now() "
                "where id = %s",
                (model,),
            )
            going = threading.Thread(target=go)
            going.start()
            assert waiting.wait(60)
        going.join(60)
        assert "come back to life" in str(raised[0])
        assert scalar(connection, "select deleted from chat_model_configs") is True


def test_a_table_that_bears_the_index_name_is_refused_with_a_sentence(database):
    url = database("0002")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(f"create table {NAME}_new ()")
        with pytest.raises(Refused, match="something else in the schema public is called"):
            upgrade(connection)
        assert schema.revision(connection) == "0002"
