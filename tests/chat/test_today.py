"""The product since v2.34: what it leaves behind is found and repaired."""

import contextlib
import re
import threading
import uuid

import psycopg
import pytest

from sexton.database import connect, rows, scalar
from sexton.project import built_in, load
from tests.support.guards import wait_for
from tests.support.later import ORGANIZATION, Later
from tests.support.tools import Cli

OTHER = uuid.UUID(int=0xB)
ABSENT = {
    *("provider_key_policy", "provider_name_unknown", "provider_stub", "schema_drift"),
    "tombstone_adopted",
}


@pytest.fixture
def make(database, tmp_path, capfd):
    """Make a database of a release, and its commands with the project file."""
    file = tmp_path / "sexton.toml"
    file.write_text('project = "chat-v2.34"\n')
    with contextlib.ExitStack() as stack:

        def made(release):
            url = database("empty")
            connection = stack.enter_context(contextlib.closing(connect(url, name="tests")))
            cli = Cli(url, capfd)

            def run(*words):
                return cli(*words, "--config", str(file))

            return Later(connection, release), run, cli

        yield made


@pytest.fixture(params=["v236", "main"])
def today(make, request):
    """The same of each release."""
    later, run, _ = make(request.param)
    return later, run


def audit(run, *words):
    """The counts of findings by check, without the checks that found none."""
    result = run("audit", "--confirm-after", "0", "--format", "json", *words)
    assert result.code in (0, 1), result.stderr + result.stdout
    return {c["check"]: c["count"] for c in result.json["checks"] if c["count"]}


def repair(run, *words):
    result = run("repair", *words, "--apply", "--max-fraction", "1")
    assert result.code in (0, 1), result.stderr + result.stdout
    return result


def test_what_the_products_deletion_leaves_is_found_and_repaired(today):
    later, run = today
    gone, stays = later.provider("openai"), later.provider("anthropic", "anthropic")
    orphan = later.model(gone, "gpt", is_default=True)
    later.model(stays, "claude")
    assert audit(run) == {}
    later.execute("update ai_providers set deleted = true")
    later.execute("update ai_providers set deleted = false where id = %s", stays)
    found = audit(run)
    assert found == {"model_without_provider": 1, "orphaned_default": 1}
    repair(run)
    [after] = rows(
        later.connection,
        "select deleted, is_default, deleted_at = updated_at as together "
        "from chat_model_configs where id = %s",
        orphan,
    )
    # As the product deletes: the flag stays on the tombstone.
    assert after == {"deleted": True, "is_default": True, "together": True}
    assert later.default() == "claude"
    assert audit(run, "--fail-on", "info").keys() == {
        *("tombstone_still_default", "tombstone_unreferenced", "promotion_silent"),
    }
    assert run("audit").code == 0


def test_election_prefers_usable_models_in_upstreams_order(today):
    later, run = today
    openai = later.provider("a-openai", "openai")
    off = later.provider("b-off", "anthropic", enabled=False)
    anthropic = later.provider("z-anthropic", "anthropic")
    gone = later.provider("gone", "anthropic")
    later.model(gone, "aaa", is_default=True)
    later.model(openai, "aaa-disabled", enabled=False)
    later.model(off, "aab-under-disabled")
    later.model(openai, "bbb")
    later.model(anthropic, "zzz", display_name="older", updated_at="2026-02-01")
    newer = later.model(anthropic, "zzz", updated_at="2026-02-02")
    later.execute("update ai_providers set deleted = true where id = %s", gone)
    repair(run)
    chosen = "select id from chat_model_configs where is_default and not deleted"
    assert scalar(later.connection, chosen) == newer
    assert audit(run, "default_*", "orphaned_default") == {}


def test_without_a_usable_model_the_first_is_elected_and_the_audit_says_so(today):
    later, run = today
    off = later.provider("off", "openai", enabled=False)
    on = later.provider("on", "anthropic")
    later.model(on, "disabled", enabled=False)
    later.model(off, "a")
    assert audit(run, "default_*") == {"default_missing": 1}
    repair(run, "default_missing")
    assert later.default() == "disabled"  # anthropic comes before openai
    assert audit(run, "default_*") == {"default_disabled": 1}


def test_each_organization_has_its_own_default(make):
    later, run, _ = make("main")
    later.organization(OTHER)
    provider = later.provider("openai")
    later.model(provider, "a", is_default=True)
    later.model(provider, "b", is_default=True, organization_id=OTHER)
    later.model(provider, "a", organization_id=OTHER)  # no duplicate: another one's
    assert audit(run) == {}
    assert "nothing to repair" in run("repair").stdout
    later.execute(
        "update chat_model_configs set is_default = false where organization_id = %s",
        OTHER,
    )
    found = run("audit", "--confirm-after", "0", "--format", "json", "default_missing")
    [finding] = found.json["checks"][0]["findings"]
    assert str(OTHER) in finding["message"]
    repair(run)
    assert later.default(ORGANIZATION) == "a"
    assert later.default(OTHER) == "a"


def test_of_two_defaults_the_usable_one_updated_last_keeps_the_flag(today):
    later, run = today
    later.execute("drop index idx_chat_model_configs_single_default")
    provider = later.provider("openai")
    later.model(provider, "a", is_default=True)
    later.model(provider, "b", is_default=True, updated_at="2026-03-01")
    later.model(provider, "c", is_default=True, updated_at="2026-04-01", enabled=False)
    assert audit(run)["default_ambiguous"] == 3
    repair(run, "default_ambiguous")
    assert later.default() == "b"


def planted(later):
    """One or more bad rows for each check: how many there are."""
    live, dead = later.provider("live"), later.provider("dead")
    off = later.provider("off", "google", enabled=False)
    good = later.model(live, "good")
    orphan = later.model(dead, "orphan", is_default=True)
    later.model(live, "twice")
    later.model(live, "twice")
    disabled = later.model(live, "disabled", enabled=False)
    under = later.model(off, "under")
    tomb = later.model(live, "tomb", deleted=True, is_default=True)
    later.model(live, "before", deleted=True, deleted_at="2026-01-01")
    later.model(live, "half", deleted_at="2026-02-01")
    later.execute("update chat_model_configs set deleted = true where model = %s", "none")
    for key, model in (("explore", orphan), ("general", tomb), ("compaction", under)):
        later.site(f"agents_chat_{key}_model_override", model)
    later.site("agents_chat_title_generation_model_override", f"{disabled}:high")
    later.site("agents_advisor_config", f'{{"model_config_id": "{uuid.uuid4()}"}}')
    later.site("agents_computer_use_provider", "google")
    later.personal("chat_personal_model_override:root", f"model:{tomb}")
    later.personal("chat_personal_model_override:explore", f"model:{good}")
    later.personal(f"chat_compaction_threshold_pct:{uuid.uuid4()}", 50)
    key = {"user_id": later.user, "api_key": "sk-secret"}
    later.insert("user_ai_provider_keys", ai_provider_id=dead, **key)
    later.insert("user_ai_provider_keys", ai_provider_id=live, **key)
    later.insert("ai_provider_keys", provider_id=dead, api_key="sk-secret")
    later.insert("ai_provider_keys", provider_id=live, api_key="sk-secret")
    chat = later.chat(tomb)
    message = {"chat_id": chat, "content_version": 1, "role": "user", "revision": 1}
    later.insert("chat_messages", model_config_id=tomb, **message)
    later.insert("chat_messages", total_cost_micros=5, **message)
    queued = {"chat_id": chat, "content": "{}", "created_by": later.user}
    later.insert("chat_queued_messages", model_config_id=tomb, **queued)
    later.execute("alter table chat_queued_messages disable trigger all")
    later.insert("chat_queued_messages", model_config_id=uuid.uuid4(), **queued)
    later.execute("update ai_providers set deleted = true where id = %s", dead)
    expected = {
        **{"model_without_provider": 1, "orphaned_default": 1, "model_duplicated": 2},
        **{"override_dangling": 3, "title_override_dangling": 1, "advisor_dangling": 1},
        **{"computer_use_provider_missing": 1, "personal_override_dangling": 1},
        **{"threshold_dangling": 1, "user_key_unusable": 1, "provider_key_unusable": 1},
        **{"tombstone_still_default": 1, "tombstone_time_implausible": 1},
        **{"tombstone_half_set": 1, "queued_message_on_tombstone": 1},
        **{"queued_message_without_model": 1, "chat_on_tombstone": 1},
        **{"message_after_deletion": 1, "priced_message_without_model": 1},
        **{"tombstone_unreferenced": 1},
    }
    if later.main:
        of = {"organization_id": ORGANIZATION, "context": "explore"}
        add = later.insert
        add("chat_organization_model_overrides", **of, model_config_id=tomb)
        title = of | {"context": "title_generation"}
        add("chat_organization_model_overrides", **title, model_config_id=disabled)
        fine = of | {"context": "general"}
        add("chat_organization_model_overrides", **fine, model_config_id=good)
        mine = {**of, "user_id": later.user, "mode": "model"}
        add("chat_user_model_overrides", **mine, model_config_id=orphan)
        unset = mine | {"mode": "chat_default", "context": "root"}
        add("chat_user_model_overrides", **unset)
        expected |= {
            **{"organization_override_dangling": 1, "user_override_dangling": 1},
            "organization_title_override_dangling": 1,
        }
    return expected


def test_what_is_planted_is_found_and_nothing_else(today):
    later, run = today
    expected = planted(later)
    assert audit(run) == expected
    said = run("audit", "--confirm-after", "0", "--values", "-v").stdout
    assert "sk-secret" not in said


def test_what_can_be_repaired_is_repaired_and_undone(today):
    later, run = today
    planted(later)
    before = audit(run)
    losing = ("threshold_dangling", "user_key_unusable", "provider_key_unusable")
    made = repair(run, *(word for name in losing for word in ("--unsafe", name)))
    assert "sk-secret" not in made.stdout
    left = audit(run)
    for check in (
        *("model_without_provider", "orphaned_default", "advisor_dangling"),
        *("threshold_dangling", "user_key_unusable", "provider_key_unusable"),
        *("organization_override_dangling", "user_override_dangling"),
        *("queued_message_without_model", "personal_override_dangling"),
    ):
        assert check not in left, check
    # A disabled model may be enabled again: a person decides.
    assert left["title_override_dangling"] == 1
    assert before["override_dangling"] > left["override_dangling"]


def test_checks_of_other_releases_are_skipped_with_the_reason(today):
    later, run = today
    del later
    document = run("audit", "--confirm-after", "0", "--format", "json").json
    skipped = {c["check"]: c["reason"] for c in document["checks"] if c["reason"]}
    assert skipped.keys() >= ABSENT
    assert all("v2.34" in skipped[name] for name in ABSENT)
    assert built_in("chat").checks.keys() <= {c["check"] for c in document["checks"]}


def test_the_list_of_checks_gives_the_reason(make, tmp_path):
    _, _, cli = make("v236")
    file = str(tmp_path / "sexton.toml")
    listed = cli("checks", "--config", file, "--format", "json", database=False).json
    assert {c["check"] for c in listed["checks"] if c["skipped"]} == ABSENT
    text = cli("checks", "--config", file, database=False).stdout
    assert "skipped: since v2.34 model configs have no provider name" in text
    one = cli("explain", "provider_stub", "--config", file, database=False).stdout
    assert "It is skipped: since v2.34" in one


def test_no_check_advises_a_command_that_does_not_know_these_tables():
    for check in built_in("chat-v2.34").checks.values():
        if not check.absent:
            said = f"{check.explanation} {check.manual_action}"
            assert not re.search(r"sexton (model|provider|chat)\b", said), check.name


def test_status_counts_and_names_the_default(today):
    later, run = today
    planted(later)
    document = run("status", "--format", "json").json
    assert document["providers"] == 2
    assert document["orphans"] == 1
    assert document["chats_on_tombstones"] == 1
    assert document["default"]["model"] == "orphan"
    assert not document["default"]["usable"]
    [default] = document["defaults"]
    assert default["organization"] == (str(ORGANIZATION) if later.main else None)
    text = run("status").stdout
    assert "NOT USABLE" in text
    assert "orphans     1 live model" in text
    assert "revision" not in text


def test_the_guard_refuses_to_mark_a_provider_of_live_models(today):
    later, run = today
    provider = later.provider("openai")
    later.model(provider, "a", is_default=True)
    added = run("guard", "add")
    assert added.code == 0, added.stderr
    mark = "update ai_providers set deleted = true"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        later.execute(mark)
    later.execute("update chat_model_configs set deleted = true, deleted_at = now()")
    later.execute(mark)


def test_an_auditor_needs_the_organization_to_tell_defaults_apart(make):
    later, run, _ = make("main")
    later.organization(OTHER)
    provider = later.provider("openai")
    later.model(provider, "a", is_default=True)
    later.model(provider, "b", is_default=True, organization_id=OTHER)
    role = f"auditor_{uuid.uuid4().hex}"
    columns = "id, ai_provider_id, model, enabled, is_default, deleted, updated_at"
    later.execute(
        f"create role {role}; grant select on all tables in schema public to {role};"
        f"revoke select on chat_model_configs from {role};"
        f"grant select ({columns}) on chat_model_configs to {role}"
    )
    later.execute(f"alter database {later.connection.info.dbname} set role {role}")
    try:
        refused = run("audit", "default_ambiguous")
        assert refused.code == 4
        assert "may not read chat_model_configs.organization_id" in refused.stderr
        assert f'to "{role}"' in refused.stderr
        later.execute(f"grant select (organization_id) on chat_model_configs to {role}")
        assert run("audit", "default_ambiguous").code == 0
    finally:
        later.execute(f"drop owned by {role}; drop role {role}")


def test_another_sessions_lock_does_not_keep_the_tables_from_being_recognised(
    make, tmp_path
):
    later, _, cli = make("main")
    project = load(tmp_path / "sexton.toml")
    with contextlib.closing(connect(cli.url, name="tests")) as other:
        other.execute("begin; lock table chat_model_configs in access exclusive mode")
        later.execute("set lock_timeout = '100ms'")
        project.require(later.connection)
        assert project.unfit(later.connection) is None


def test_a_project_of_ones_own_can_extend_it(make, tmp_path):
    _, _, cli = make("main")
    file = tmp_path / "own" / "sexton.toml"
    file.parent.mkdir()
    file.write_text(
        'project = "mine"\nextends = "chat-v2.34"\n'
        '[[reference]]\nchild = "chats.owner_id"\nparent = "users.id"\n'
    )
    result = cli("audit", "--config", str(file), "--format", "json")
    assert result.code == 0, result.stderr
    assert "chats_owner_id_dangling" in {c["check"] for c in result.json["checks"]}
    file.write_text('project = "mine"\nextends = "chat"\n')
    said = cli("audit", "--config", str(file))
    assert said.code == 4
    assert 'write extends = "chat-v2.34"' in said.stderr


WRONG = (
    *(("status",), ("audit",), ("repair",), ("guard", "status"), ("adopt",)),
    *(("upgrade",), ("upgrade", "--plan"), ("downgrade", "base"), ("model", "list")),
    *(("provider", "list"), ("provider", "delete", "openai")),
)


@pytest.mark.parametrize("release", ["v236", "main"])
@pytest.mark.parametrize("command", WRONG, ids=" ".join)
def test_without_the_declaration_every_command_says_the_same(make, release, command):
    _, _, cli = make(release)
    said = cli(*command)
    assert said.code == 4
    assert "v2.3" in said.stderr
    assert 'write project = "chat-v2.34" into sexton.toml' in said.stderr


@pytest.mark.parametrize("command", [*WRONG[4:]], ids=" ".join)
def test_what_the_product_does_itself_is_said_in_one_way(today, command):
    _, run = today
    said = run(*command)
    assert said.code == 4
    assert "changed in the product itself" in said.stderr
    assert "audit, repair" in said.stderr


NEWER = {
    "another group of defaults": """
        alter table chat_model_configs add column workspace_id uuid;
        drop index idx_chat_model_configs_single_default;
        create unique index idx_chat_model_configs_single_default
            on chat_model_configs (organization_id, workspace_id)
            where is_default = true and deleted = false
    """,
    "a column of providers is gone": "alter table ai_providers drop column deleted cascade",
    "models refer to something else": """
        alter table chat_model_configs rename column ai_provider_id to route_id
    """,
}


@pytest.mark.parametrize("change", NEWER)
@pytest.mark.parametrize("declared", [True, False])
def test_a_release_newer_than_declared_is_refused(make, change, declared):
    later, run, cli = make("main")
    later.execute(NEWER[change])
    for command in ("audit", "repair", "status", "upgrade"):
        said = (run if declared else cli)(command)
        assert said.code == 4, (command, said.stdout)
        assert "this Sexton does not know" in said.stderr
        assert "write project" not in said.stderr


def test_the_declaration_is_refused_on_tables_of_earlier_releases(
    database, capfd, tmp_path
):
    file = tmp_path / "sexton.toml"
    file.write_text('project = "chat-v2.34"\n')
    cli = Cli(database("head"), capfd)
    for command in (("audit",), ("status",), ("guard", "status"), ("upgrade",)):
        said = cli(*command, "--config", str(file))
        assert said.code == 4
        assert 'write project = "chat"' in said.stderr


def test_the_products_own_promotion_is_waited_for(make):
    later, run, cli = make("v236")
    provider = later.provider("openai")
    later.model(provider, "a")
    later.model(provider, "b")
    with contextlib.closing(connect(cli.url, name="tests")) as product:
        product.execute(
            "begin; update chat_model_configs set is_default = true where model = 'b'"
        )

        def commit():
            wait_for(
                later.connection, "select exists (select from pg_locks where not granted)"
            )
            product.execute("commit")

        committing = threading.Thread(target=commit)
        committing.start()
        result = run("repair", "default_missing", "--apply")
        committing.join()
    assert result.code in (0, 5, 6), result.stderr
    assert "duplicate key" not in result.stderr
    assert later.default() == "b"
