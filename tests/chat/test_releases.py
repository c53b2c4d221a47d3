"""Later releases of the product are known by what they brought."""

import contextlib

from sexton.chat.releases import newer
from sexton.database import connect
from tests.support.tools import Cli


def test_a_later_product_is_recognised_by_name_and_release(database, capfd):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(
            "create table ai_providers (id uuid);"
            "create table chat_model_configs (id uuid, ai_provider_id uuid)"
        )
        assert "v2.34 or later" in str(newer(connection))
        for command in ("status", "upgrade", "adopt"):
            result = Cli(url, capfd)(command)
            assert result.code == 4, command
            assert "v2.34 or later" in result.stdout + result.stderr
        assert Cli(url, capfd)("upgrade", "--plan").code == 4
