"""Options that many commands take."""

from tests.support.tools import add_model, add_provider


def test_who_does_it_may_stand_in_the_environment(connection, sexton, monkeypatch):
    monkeypatch.setenv("SEXTON_ACTOR", "night shift")
    add_provider(connection, "openai")
    assert sexton("provider", "disable", "openai").code == 0
    add_model(connection, "azure")
    sexton("repair", "model_without_provider", "--apply")
    runs = sexton("history", "--format", "json").json["runs"]
    assert {run["actor"] for run in runs} == {"night shift"}
