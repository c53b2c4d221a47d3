"""What else names a model or a provider is counted."""

from tests.support.tools import add_model, add_provider, plan
from tests.support.worlds import SETTINGS, add_override


def test_settings_that_name_what_goes_are_counted(connection):
    connection.execute(SETTINGS)
    add_provider(connection, "openai")
    gone = add_model(connection, "openai")
    for index, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, index, gone)
    connection.execute(
        "insert into site_configs values ('agents_computer_use_provider', 'openai')"
    )
    connection.execute(
        "insert into site_configs values ('deployment_id', %s)", (str(gone),)
    )
    deletion = plan(connection, "openai")
    assert deletion.references.overrides == 5
