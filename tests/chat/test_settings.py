"""Settings that name a model."""

import uuid

from sexton.database import scalar
from sexton.repair.undo import undo_run
from tests.support import product
from tests.support.repairs import repaired
from tests.support.tools import add_model, add_provider


def test_settings_of_models_that_are_gone_are_cleared(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    disabled = add_model(connection, "anthropic", "off", enabled=False)
    gone = uuid.uuid4()
    explore = "agents_chat_explore_model_override"
    general = "agents_chat_general_model_override"
    advisor = f'{{"max": 1.50, "model_config_id" : "{gone}", "über": [1]}}'
    product.set_site(connection, explore, f"{gone}:high")
    product.set_site(connection, general, str(disabled))
    product.set_site(connection, "agents_advisor_config", advisor)
    product.set_site(connection, "agents_computer_use_provider", "openai")
    personal = "chat_personal_model_override:root"
    product.set_user(connection, personal, f"model:{gone}")
    plan = repaired(connection)
    assert product.get_site(connection, explore) == ""
    assert product.get_site(connection, general) == str(disabled)
    assert product.get_site(connection, "agents_computer_use_provider") == ""
    assert product.get_site(connection, "agents_advisor_config") == advisor.replace(
        f'"{gone}"', "null"
    )
    assert scalar(connection, "select value from user_configs") == "chat_default"
    assert [(s.check, s.key) for s in plan.skipped] == [
        ("override_dangling", {"key": general})
    ]
    undo_run(connection, 1)
    assert product.get_site(connection, "agents_advisor_config") == advisor
    assert product.get_site(connection, explore) == f"{gone}:high"
