"""Plans and their making, and what they are about."""

import pytest

from sexton import journal
from sexton.database import snapshot
from sexton.errors import Refused
from sexton.project import all_checks
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from sexton.repair.planfile import write_plan
from sexton.repair.planner import plan_repair
from tests.support.tools import add_model, add_provider, table

ALLOW = Options(max_rows=10_000, max_fraction=1.0, allow=("empty-parent",))


def planned(connection, *names, options=None, **given):
    chosen = [all_checks()[name] for name in names or all_checks()]
    if options is None:
        options = Options(named=names, **given)
    with snapshot(connection):
        return plan_repair(connection, chosen, options)


def repaired(connection, *names, **given):
    """Make the plan, and prove that another one has nothing left to do."""
    plan = planned(connection, *names, **given)
    made = apply_plan(connection, plan)
    assert made.rows == len(plan.actions) > 0
    assert not planned(connection, *names, **given).actions
    return plan


def whole(connection):
    """Every row of the product's tables."""
    names = ("chat_model_configs", "chat_providers", "chats", "chat_messages")
    return {name: table(connection, name) for name in names}


def incident(connection):
    """An orphan that is the default, a usable heir, a half-set tombstone."""
    add_provider(connection, "anthropic", api_key="sk-made-up")
    heir = add_model(connection, "anthropic", "claude")
    orphan = add_model(connection, "openai", "gpt", is_default=True)
    half = add_model(connection, "anthropic", "old", deleted=True)
    return heir, orphan, half


def drop_keys(connection):
    connection.execute(
        """
        alter table chats drop constraint chats_last_model_config_id_fkey;
        alter table chat_messages drop constraint chat_messages_model_config_id_fkey;
        """
    )


def saved(connection, path, *names, **given):
    plan = planned(connection, *names, **given)
    write_plan(plan, path)
    return plan


def orphans(connection, count):
    """A usable model, and orphans of which one is the default."""
    add_provider(connection, "anthropic", api_key="sk-made-up")
    heir = add_model(connection, "anthropic")
    connection.execute(
        """
        insert into chat_model_configs
            (provider, model, is_default, context_limit, compression_threshold)
        select 'openai', 'model ' || n, n = 1, 1, 1 from generate_series(1, %s) as n
        """,
        (count,),
    )
    return heir


def changed(connection, run):
    return journal.get_run(connection, run)["rows"]


def refusal(connection, plan):
    before = whole(connection)
    with pytest.raises(Refused) as caught:
        apply_plan(connection, plan)
    assert whole(connection) == before
    return caught.value
