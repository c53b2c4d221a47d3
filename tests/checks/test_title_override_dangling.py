import uuid

import pytest

from sexton.project import built_in
from sexton.repair.planner import plan_repair
from tests.support.tools import (
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    configure,
)

NAME = "title_override_dangling"
TITLE = "agents_chat_title_generation_model_override"


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


def test_it_weighs_more_than_the_overrides_that_have_a_fallback():
    checks = built_in("chat").checks
    assert checks[NAME].severity.rank > checks["override_dangling"].severity.rank
    assert "coderd/x/chatd/title_override.go" in checks[NAME].explanation


def test_a_model_that_cannot_be_used_is_found_here_alone(upstream, model):
    configure(upstream, TITLE, str(model))
    upstream.execute("update chat_model_configs set deleted = true, deleted_at = now()")
    assert_finds(upstream, NAME, {"key": TITLE}, says="a tombstone")
    assert_clean(upstream, "override_dangling")
    configure(upstream, TITLE, str(uuid.uuid4()))
    assert_finds(upstream, NAME, {"key": TITLE}, says="which does not exist")
    assert_clean(upstream, "override_dangling")


def test_of_a_disabled_model_a_person_decides(upstream, model):
    configure(upstream, TITLE, f"{model}:high")
    upstream.execute("update chat_providers set enabled = false")
    assert_finds(upstream, NAME, {"key": TITLE}, says="whose provider is disabled")
    assert_clean(upstream, "override_dangling")
    plan = plan_repair(upstream, [built_in("chat").checks[NAME]])
    assert not plan.actions


@pytest.mark.parametrize("value", ["junk", str(uuid.UUID(int=0)), ""])
def test_what_counts_as_unset_is_not_found_here(upstream, value):
    configure(upstream, TITLE, value)
    assert_clean(upstream, NAME)


def test_another_override_of_a_model_that_is_gone_is_a_warning(upstream, model):
    key = "agents_chat_explore_model_override"
    configure(upstream, key, str(uuid.uuid4()))
    assert_clean(upstream, NAME)
    assert_finds(upstream, "override_dangling", {"key": key})
