"""Every document that a command prints is what its JSON schema in the package says."""

import click
import jsonschema
import pytest

from sexton.cli import sexton as group
from tests.support.schemas import FILES, SCHEMAS, conforms
from tests.support.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    second_connection,
)

NOBODY = "00000000-0000-0000-0000-000000000000"
USER = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

# What is typed, with {names} of the scene, its exit code, and the document's schema; in
# this order, on one database.
STORY = [
    ("status", 0, "status"),
    ("checks", 0, "checks"),
    ("explain default_missing", 0, "explain"),
    ("explain orphaned_default", 0, "explain"),
    ("explain chat_without_model --url {url}", 0, "explain"),
    ("explain schema_drift --url {url}", 0, "explain"),
    ("audit", 1, "audit"),
    ("revision --dry-run", 2, "error"),
    ("rehearse 0002", 0, "rehearsal"),
    ("grants auditor --to nobody", 0, "grants"),
    ("adopt", 0, "adopt"),
    ("provider list", 0, "provider"),
    ("provider add azure --base-url https://ai.example --key-env A_KEY", 0, "provider"),
    ("provider update azure --user-keys", 0, "provider"),
    ("provider user-key azure {user} --key-env A_KEY", 0, "user-key"),
    ("provider user-key azure {user} --remove", 0, "user-key"),
    ("provider disable azure --dry-run", 0, "life-cycle"),
    ("provider disable azure", 0, "life-cycle"),
    ("provider enable azure", 0, "life-cycle"),
    ("model create azure one --context-limit 1000 --default", 0, "model"),
    ("model list", 0, "model"),
    ("model list --all", 0, "model"),
    ("model update {live} --compression-threshold 80", 0, "model"),
    ("model promote {live}", 0, "model"),
    ("model reassign {other} --to {live} --dry-run", 0, "reassignment"),
    ("model reassign {other} --to {live}", 0, "reassignment"),
    ("model delete {other} --dry-run", 0, "life-cycle"),
    ("model delete {other}", 0, "life-cycle"),
    ("chat resolve {chat}", 0, "resolve"),
    ("provider delete openai --dry-run", 0, "life-cycle"),
    ("provider delete openai", 0, "life-cycle"),
    ("chat resolve {chat}", 0, "resolve"),
    ("provider add openai --key-env A_KEY", 0, "provider"),
    ("provider restore openai --dry-run", 0, "life-cycle"),
    ("provider restore openai", 0, "life-cycle"),
    ("repair", 1, "repair-plan"),
    ("repair model_without_provider --out {plan}", 1, "repair-plan"),
    ("show {plan}", 0, "repair-plan"),
    ("apply {plan}", 0, "applied"),
    ("apply {plan}", 0, "applied"),
    ("history", 0, "history"),
    ("history {run}", 0, "history"),
    ("undo {run}", 0, "undone"),
    ("repair model_without_provider --apply", 0, "repair-plan"),
    ("guard status", 0, "guard"),
    ("guard add --plan", 1, "upgrade-plan"),
    ("guard add --sql", 0, "script"),
    ("guard add", 0, "guard"),
    ("guard status", 0, "guard"),
    ("guard remove", 0, "guard"),
    ("upgrade", 0, "upgrade"),
    ("upgrade --plan", 0, "upgrade-plan"),
    ("downgrade 0002 --plan", 1, "upgrade-plan"),
    ("downgrade 0002 --sql", 0, "script"),
    ("downgrade 0002", 0, "upgrade"),
    ("status", 0, "status"),
    ("upgrade --plan", 1, "upgrade-plan"),
    ("upgrade --sql", 0, "script"),
    ("upgrade", 0, "upgrade"),
    ("fleet status --inventory {fleet}", 0, "fleet"),
    ("fleet audit --inventory {fleet} --fail-on never", 0, "fleet"),
    ("fleet upgrade --inventory {fleet} --executor threads", 0, "fleet"),
    ("fleet merge {report}", 0, "fleet"),
    ("delete nothing 1", 2, "error"),
    ("restore nothing 1", 2, "error"),
    ("provider delete nobody", 2, "error"),
    ("model promote {nobody}", 2, "error"),
    ("upgrade 0099", 2, "error"),
    ("audit frob", 2, "error"),
    ("apply /nowhere/plan.json", 2, "error"),
]
PLACELESS = (
    "checks",
    "explain",
    "show",
    "fleet",
    "rehearse",
)  # take no --url, or have it above


def parts(schema):
    yield schema
    for inner in schema.values():
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from parts(one)


def test_the_schemas_are_schemas():
    for name, schema in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert name == "project" or "--format json" in schema["title"], (
            f"let the title in {FILES[name]} say which command prints it: … --format json"
        )
        for part in parts(schema):
            # A target's record in a fleet has what its kind of work has to say.
            fixed = part.get("type") == "object" and "properties" in part
            if fixed and name != "fleet":
                assert "additionalProperties" in part, (
                    f'say "additionalProperties" in {FILES[name]}: {part}'
                )


def leaves(command, path=()):
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from leaves(command.get_command(context, name), (*path, name))


def test_the_story_has_every_command_that_prints_a_document():
    for path, command in leaves(group):
        styles = [p.type for p in command.params if p.name == "style"]
        if styles:
            assert any(f"{line} ".startswith(f"{path} ") for line, _, _ in STORY), (
                f"{path} prints a document: add it to STORY in {__file__}, with its schema"
            )


@pytest.fixture
def scene(connection, url, tmp_path, monkeypatch):
    """A database with something to find, and the names of what the story is about."""
    monkeypatch.setenv("A_KEY", "sk-test")
    add_provider(connection, "openai")
    live = add_model(connection, "openai", "live", is_default=True)
    other = add_model(connection, "openai", "other")
    add_model(connection, "openai", "gone", deleted=True, deleted_at="now")
    for number in range(3):
        add_model(connection, "openai", f"spare {number}", enabled=False)
    add_model(connection, "bedrock", "orphan")
    chat = add_chat(connection, live)
    add_chat(connection, other)
    add_message(connection, chat, live)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(f'[[target]]\nname = "one"\nurl = "{url}"\n')
    return {
        **{"url": url, "user": USER, "nobody": NOBODY, "live": live, "other": other},
        **{"chat": chat, "plan": tmp_path / "plan.json", "fleet": fleet},
        "report": tmp_path / "report.json",
    }


def test_every_document_is_as_its_schema_says(sexton, scene):
    for line, code, name in STORY:
        arguments = [part.format_map(scene) for part in line.split()]
        placed = arguments[0] not in PLACELESS
        result = sexton(*arguments, "--format", "json", database=placed)
        assert result.code == code, (
            f"sexton {line} ended with {result.code}: correct the command, or STORY in "
            f"{__file__}\n{result}"
        )
        conforms(result.json, name, f"sexton {line}")
        if line.startswith("fleet audit"):
            scene["report"].write_text(result.stdout)
        if name == "applied":
            scene["run"] = result.json["run"]


def test_who_is_in_the_way_stands_in_the_plan(sexton, connection, url):
    with second_connection(url) as other, other.transaction():
        other.execute("lock table chat_model_configs in share mode")
        line = "downgrade 0002 --plan --show-queries --max-stall 1ms --format json"
        plan = conforms(sexton(*line.split()).json, "upgrade-plan")
    assert any(step["blockers"] for step in plan["steps"])


def test_what_an_undo_leaves_alone_is_listed(sexton, connection):
    add_provider(connection, "openai")
    for name in ("one", "two"):
        add_model(connection, "openai", name)
    assert sexton("provider", "delete", "openai").code == 0
    connection.execute("update chat_model_configs set enabled = false where model = 'one'")
    run = str(sexton("history", "--format", "json").json["runs"][0]["run"])
    undone = conforms(sexton("undo", run, "--format", "json").json, "undone")
    assert undone["left"]


def test_what_goes_with_a_provider_is_counted(sexton, connection):
    id = add_provider(connection, "openai")
    connection.execute(
        "create table notes (id int primary key, provider uuid "
        "references chat_providers on delete cascade)"
    )
    connection.execute("insert into notes values (1, %s)", (id,))
    line = "provider delete openai --allow-cascades --dry-run --format json"
    assert conforms(sexton(*line.split()).json, "life-cycle")["cascades"]


def test_a_document_of_another_shape_is_refused():
    for name in SCHEMAS:
        with pytest.raises(AssertionError, match="strange"):
            conforms({"strange": 1}, name)
