"""No command waits without end for a table that somebody has locked."""

import contextlib
import subprocess
import sys

import pytest

from tests.support.tools import add_model, add_provider, second_connection

COMMANDS = (
    "status",
    "audit",
    "repair --out plan.json",
    "history",
    "guard status",
    "upgrade --plan",
    "explain model_without_provider",
    "provider list",
    "model list",
    "provider delete openai --dry-run",
    "adopt",
)
TABLES = ("chat_providers", "chat_model_configs", "chats", "sexton.alembic_version")


@pytest.mark.parametrize("table", TABLES)
def test_every_command_ends_beside_a_locked_table(url, connection, tmp_path, table):
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    waited, odd = [], []
    with contextlib.closing(second_connection(url)) as other, other.transaction():
        other.execute(f"lock table {table} in access exclusive mode")
        running = {
            command: subprocess.Popen(
                [sys.executable, "-m", "sexton", *command.split(), "--url", url],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in COMMANDS
        }
        for command, process in running.items():
            try:
                _, said = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                waited.append(command)
            else:
                if process.returncode == 70 or "Traceback" in said:
                    odd.append((command, said))
    assert (waited, odd) == ([], [])
