"""Every command of the command line, in an order in which each has something to do.

A scene is a database and commands on it, one after the other; `{dir}` is a directory of
the test's own. The rows have fixed ids, so that a scene can be played again.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sexton.cli import run
from sexton.database import REPAIR, UPGRADE, Connection
from tests.support import shop
from tests.support.worlds import SETTINGS

GPT, CLAUDE, OLD, ORPHAN, HALF = (
    f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 6)
)
CHAT, USER, NOBODY = (f"00000000-0000-4000-8000-0000000000{n}" for n in ("c1", "a1", "ff"))
KEY = "sk-never-shown"

UNSAFE = " ".join(
    f"{check} --unsafe {check}"
    for check in (
        *("threshold_dangling", "tombstone_unreferenced"),
        *("user_key_unusable", "provider_stub"),
    )
)

ROWS = f"""
    insert into chat_providers (id, provider, api_key, allow_user_api_key, base_url)
    values ('{GPT[:-2]}11', 'openai', '{KEY}', true, ''),
           ('{GPT[:-2]}12', 'anthropic', '{KEY}', true, ''),
           ('{GPT[:-2]}13', 'vercel', '{KEY}', false, 'https://gw.example/v1');
    insert into chat_model_configs
        (id, provider, model, is_default, context_limit, compression_threshold)
    values ('{GPT}', 'openai', 'gpt', true, 1000, 70),
           ('{CLAUDE}', 'anthropic', 'claude', false, 1000, 70),
           ('{OLD}', 'openai', 'old', false, 1000, 70);
    insert into chats (id, owner_id, last_model_config_id)
    values ('{CHAT}', '{USER}', '{GPT}');
    insert into chat_messages (chat_id, model_config_id, role, total_cost_micros)
    values ('{CHAT}', '{GPT}', 'user', 5), ('{CHAT}', '{OLD}', 'assistant', null);
    insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
    values ('{USER}', '{GPT[:-2]}11', '{KEY}');
"""
# What nobody but another tool could have written: keys and triggers are off.
DAMAGE = f"""
    set session_replication_role = replica;
    insert into users (id, username) values ('{USER}', 'ann');
    insert into chat_model_configs
        (id, provider, model, context_limit, compression_threshold, deleted, deleted_at)
    values ('{ORPHAN}', 'google', 'lost', 1000, 70, false, null),
           ('{HALF}', 'openai', 'half', 1000, 70, true, null),
           ('{HALF[:-2]}21', 'OpenAI', 'spelt', 1000, 70, false, null),
           ('{HALF[:-2]}22', 'openai', 'gone', 1000, 70, true, '2001-01-01'),
           ('{HALF[:-2]}23', 'openai', 'gpt', 1000, 70, false, null);
    update chat_model_configs set updated_at = '2020-01-01';
    insert into chats (owner_id, last_model_config_id, status)
    values ('{USER}', '{NOBODY}', 'waiting'), ('{USER}', '{HALF}', 'pending');
    insert into chat_messages (chat_id, model_config_id, role, total_cost_micros)
    values ('{CHAT}', '{NOBODY[:-2]}ee', 'user', 7), ('{CHAT}', null, 'assistant', 9),
           ('{CHAT}', '{HALF}', 'assistant', 9);
    insert into chat_queued_messages (chat_id, model_config_id)
    values ('{CHAT}', '{NOBODY}'), ('{CHAT}', '{HALF}');
    insert into site_configs values
        ('agents_chat_explore_model_override', '{NOBODY}:high'),
        ('agents_chat_general_model_override', '{HALF}'),
        ('agents_computer_use_provider', 'azure'),
        ('agents_advisor_config',
         '{{"model_config_id": "{NOBODY}", "max_uses": 3, "enabled": true}}');
    insert into user_configs values
        ('{USER}', 'chat_personal_model_override:root', 'model:{NOBODY}:low'),
        ('{USER}', 'chat_compaction_threshold_pct:{NOBODY}', '80'),
        ('{USER}', 'chat_compaction_threshold_pct:{GPT}', '80');
    insert into chat_providers (provider, enabled, display_name)
    values ('azure', false, 'azure');
    insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
    values ('{USER}', '{GPT[:-2]}12', '{KEY}'), ('{USER}', '{NOBODY}', '{KEY}');
    update chat_model_configs set is_default = false;
    set session_replication_role = origin;
"""


def fill(connection: Connection) -> None:
    """A database at head with the product's other tables, sound."""
    connection.execute(ROWS)
    connection.execute(SETTINGS)


def damage(connection: Connection) -> None:
    """The same with something for every check to find."""
    fill(connection)
    connection.execute(DAMAGE)


def rows_alone(connection: Connection) -> None:
    """A database of any revision with rows and nothing more."""
    connection.execute(ROWS)


ALLOW = "--allow-triggers --allow-cascades"
TRIGGERS = """
    create function public.quiet() returns trigger language plpgsql
        as 'begin return null; end';
    create trigger quiet after insert or delete on chat_providers
        for each statement execute function public.quiet();
    create constraint trigger quiet after insert or update or delete on chat_model_configs
        deferrable initially deferred for each row execute function public.quiet()
"""


def damage_and_triggers(connection: Connection) -> None:
    """The damage, on tables whose rows are looked at again after they were written."""
    damage(connection)
    connection.execute(TRIGGERS)


def rows_and_triggers(connection: Connection) -> None:
    """Rows and nothing more, on such tables."""
    rows_alone(connection)
    connection.execute(TRIGGERS)


def nothing(connection: Connection) -> None:
    """Leave it as it is."""


def team(connection: Connection) -> None:
    """A team's own tables, with something for every declared check to find."""
    connection.execute(shop.TABLES + shop.ROWS)


# What lies in a scene's directory: a team's project, its environment, and a fleet of one.
WHERE = "SEXTON_SCENE_URL"
GUARDED = shop.FILE.replace('live = "not paid"', 'live = "not paid"\nguard = true')
FILES = {
    "sexton.toml": 'alembic = "alembic.ini"\n' + GUARDED,
    "fleet.toml": f'[[target]]\nname = "one"\nurl_env = "{WHERE}"\n',
    "alembic.ini": "[alembic]\nscript_location = %(here)s/db\n",
    "db/env.py": "from alembic import context\n"
    "import sexton.alembic\n"
    "sexton.alembic.run_migrations(context)\n",
    "db/script.py.mako": '''"""${message}."""

import sexton
import sqlalchemy as sa
from alembic import op
${imports or ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades or "pass"}


def downgrade():
    ${downgrades or "pass"}
''',
    "db/versions/0001_all.py": '''"""Everything at once."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
STAFF = ("staff_boss", "staff", "staff", ["boss_id"], ["id"])


def upgrade():
    op.create_index_online("by_boss", "staff", ["boss_id"])
    op.create_foreign_key_online(*STAFF, orphans="null")
    op.add_column_online("addresses", sa.Column("note", sa.Text, server_default=""))
    op.run_steps([{
        "title": "say something", "lock": "row exclusive", "tables": ["addresses"],
        "sql": [{"update": "addresses", "set": {"note": "'x'"}, "where": "true"}],
    }])
    op.set_not_null_online("addresses", "note")
    op.add_soft_delete("invoices")
    op.add_guard("addresses.customer_id", "customers.id", live="not deleted")


def downgrade():
    op.drop_guard("addresses.customer_id", "customers.id", live="not deleted")
    op.drop_soft_delete("invoices")
    op.drop_not_null_online("addresses", "note")
    op.drop_column_online("addresses", "note")
    op.drop_constraint_online("staff_boss", "staff")
    op.drop_index_online("by_boss", "staff")
''',
}
NO_URL = ("fleet", "report", "show", "alembic")


def play(command: list[str], url: str) -> int:
    """Type one line of a scene: a command of ours, or Alembic's; return the exit code."""
    if command[0] != "alembic":
        return run([*command, *([] if command[0] in NO_URL else ["--url", url])])
    from alembic.config import CommandLine
    from alembic.util import CommandError

    try:
        CommandLine("alembic").main(command[1:])
    except (SystemExit, CommandError):
        return 1
    return 0


@dataclass(frozen=True)
class Scene:
    """Commands on one database that starts at `revision` and is prepared.

    Beside them another session is in a transaction that has done `beside`.
    """

    name: str
    revision: str
    prepare: Callable[[Connection], None]
    lines: str = field(repr=False)
    beside: str = ""

    def commands(self, directory: Path) -> list[list[str]]:
        """The commands as arguments; the files that they name are written."""
        for name, text in FILES.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        lines = [line.strip() for line in self.lines.strip().splitlines()]
        return [
            shlex.split(line.format(**globals(), dir=directory)) for line in lines if line
        ]


SCENES = [
    Scene("the journal", "head", fill, "history\nhistory --format json\nhistory 1"),
    Scene(
        "looking",
        "head",
        damage,
        """
        status
        status --format json
        audit --confirm-after 10ms
        audit --format json --values --confirm-after 10ms -j 2 --recheck
        audit -o {dir}/a.json -o {dir}/a.xml -o {dir}/a.sarif --confirm-after 0
        audit -o {dir}/a.prom --confirm-after 0 threshold_dangling
        audit --write-baseline {dir}/known.json --confirm-after 0 --reason x
        audit --baseline {dir}/known.json --confirm-after 0
        explain model_without_provider
        explain message_without_model
        explain threshold_dangling
        repair
        repair --format json
        provider list
        model list --all
        chat resolve {CHAT}
        provider delete openai --dry-run
        provider disable openai --dry-run
        model delete {GPT} --dry-run
        model reassign {GPT} --to {CLAUDE} --dry-run
        history
        guard status
        upgrade --plan
        upgrade --sql
        downgrade 0001 --plan
        downgrade 0001 --sql --tombstones disable
        adopt
        audit --format json -o {dir}/b.json --confirm-after 0
        report {dir}/out.html {dir}/a.json {dir}/b.json
        fleet audit --inventory {dir}/fleet.toml
        fleet status --inventory {dir}/fleet.toml --format json
        grants auditor --to x
        grants deployer --to x
        grants repairer --to x
        init --out -
        """,
    ),
    Scene(
        "repairing",
        "head",
        damage_and_triggers,
        """
        repair --out {dir}/plan.json --max-fraction 1 --allow-triggers
        show {dir}/plan.json
        apply {dir}/plan.json
        apply {dir}/plan.json
        history
        history 1
        undo 1 --allow-triggers
        history --format json
        undo 2 --allow-triggers
        repair --apply --max-fraction 1 {ALLOW} provider_name_unknown
        repair --apply --max-fraction 1 {ALLOW} {UNSAFE}
        undo 4 --allow-triggers
        undo 5 --allow-triggers
        repair --apply --max-fraction 1 --allow-triggers
        audit --confirm-after 0
        """,
    ),
    Scene(
        "life cycle",
        "head",
        fill,
        """
        provider add google --display-name Google --key-env SEXTON_TEST_KEY
        provider update google --base-url https://gw.example/v2 --user-keys
        provider user-key google {USER} --key-env SEXTON_TEST_KEY
        provider user-key google {USER} --remove
        model create google gemini --context-limit 5000
        model update {OLD} --display-name Old --disable
        model update {OLD} --enable --compression-threshold 50
        model promote {CLAUDE}
        model promote {GPT}
        model reassign {GPT} --to {CLAUDE}
        model delete {OLD}
        provider disable openai
        provider enable openai
        provider delete openai
        history
        undo 1
        provider add openai --key-env SEXTON_TEST_KEY
        provider restore openai
        provider delete google --heir {CLAUDE}
        provider delete anthropic --heir none --no-journal
        chat resolve {CHAT}
        audit --confirm-after 0
        status
        """,
    ),
    Scene(
        "change",
        "0001",
        rows_and_triggers,
        """
        status
        upgrade --plan
        upgrade --sql
        upgrade --guard
        guard status
        audit --confirm-after 0
        guard remove --plan
        guard remove
        guard add --plan
        guard add --sql
        guard add
        model delete {OLD}
        downgrade 0001
        downgrade 0001 --tombstones disable
        upgrade
        guard add
        guard remove
        downgrade base
        fleet upgrade --inventory {dir}/fleet.toml --executor threads
        """,
    ),
    Scene(
        "a team's own",
        "empty",
        team,
        """
        init --out -
        init --out {dir}/first.toml
        audit --config {dir}/first.toml --confirm-after 0
        audit --config {dir}/sexton.toml --confirm-after 0 --format json --values
        explain invoices_customer_id_dangling --config {dir}/sexton.toml
        guard status --config {dir}/sexton.toml
        repair --config {dir}/sexton.toml --out {dir}/plan.json --max-fraction 1
        show {dir}/plan.json
        apply {dir}/plan.json --config {dir}/sexton.toml
        undo 1 --config {dir}/sexton.toml
        repair --config {dir}/sexton.toml --apply --max-fraction 1
        history --config {dir}/sexton.toml
        history 1 --config {dir}/sexton.toml
        guard add --config {dir}/sexton.toml
        guard status --config {dir}/sexton.toml
        audit --config {dir}/sexton.toml --confirm-after 0
        guard remove --config {dir}/sexton.toml
        alembic -c {dir}/alembic.ini upgrade head --sql
        alembic -c {dir}/alembic.ini upgrade head
        alembic -c {dir}/alembic.ini current --verbose
        alembic -c {dir}/alembic.ini history --indicate-current
        alembic -c {dir}/alembic.ini downgrade base
        status --config {dir}/sexton.toml
        status --config {dir}/sexton.toml --format json
        upgrade --config {dir}/sexton.toml --plan
        upgrade --config {dir}/sexton.toml --sql
        upgrade --config {dir}/sexton.toml
        status --config {dir}/sexton.toml
        revision --config {dir}/sexton.toml --dry-run
        revision --config {dir}/sexton.toml -m guard
        upgrade --config {dir}/sexton.toml
        downgrade base --config {dir}/sexton.toml --plan
        downgrade base --config {dir}/sexton.toml --sql
        downgrade base --config {dir}/sexton.toml
        grants auditor --to x --config {dir}/sexton.toml
        grants deployer --to x --config {dir}/sexton.toml
        grants repairer --to x --config {dir}/sexton.toml
        """,
    ),
    Scene(
        "others in the way",
        "0003",
        damage,
        """
        upgrade --plan --max-stall 10ms
        upgrade --max-stall 10ms --deadline 100ms --terminate-idle-older-than 1h
        downgrade 0002 --deadline 300ms
        provider disable openai
        repair tombstone_half_set --apply
        """,
        "update chat_providers set enabled = enabled;"
        "update chat_model_configs set enabled = enabled",
    ),
    Scene(
        "others hold our locks",
        "0003",
        damage,
        "upgrade --deadline 100ms\nrepair --apply --max-fraction 1",
        f"select pg_catalog.pg_advisory_xact_lock({UPGRADE}), "
        f"pg_catalog.pg_advisory_xact_lock({REPAIR})",
    ),
    Scene("from nothing", "empty", nothing, "upgrade\ndowngrade base\nupgrade 0002"),
    Scene(
        "adopted",
        "upstream",
        nothing,
        """
        adopt
        status
        adopt --apply
        status
        audit --confirm-after 0
        upgrade
        guard add
        provider add google --key-env SEXTON_TEST_KEY
        provider delete google
        """,
    ),
]
