"""An interrupt that leaves the connection at work on a statement that nobody reads."""

import pytest
from psycopg import _cursor_base, generators

from tests.support.tools import add_model, add_provider

COMMANDS = {
    "status": ["status"],
    "audit": ["audit", "--confirm-after", "0"],
    "plan": ["downgrade", "0001", "--plan"],
    "downgrade": ["downgrade", "0001"],
    "repair": ["repair", "--apply", "--max-fraction", "1"],
    "delete": ["provider", "delete", "openai"],
    "guard": ["guard", "add"],
    "history": ["history"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_3_and_the_command_can_be_run_again(name, sexton, connection, monkeypatch):
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", "gpt", is_default=True)
    if name == "repair":
        add_model(connection, "anthropic", "claude")
    whole, count, at = _cursor_base.execute, 0, 1

    def interrupted(pgconn):
        nonlocal count
        count += 1
        if count == at:
            yield from generators.send(pgconn)
            raise KeyboardInterrupt
        return (yield from whole(pgconn))

    monkeypatch.setattr(_cursor_base, "execute", interrupted)
    met = 0
    while True:
        count = 0
        result = sexton(*COMMANDS[name])
        if count < at:
            break
        met += 1
        assert result.code == 3, f"statement {at}: {result.stdout}{result.stderr}"
        # An audit that has begun says it in its report.
        assert "interrupted" in (result.stderr or result.stdout), result
        assert "Traceback" not in result.stderr
        at += 1 if at < 3 else 7
    assert met > 1
    assert result.code in (0, 1), result.stderr
