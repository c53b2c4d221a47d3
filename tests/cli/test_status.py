"""`sexton status` and `adopt` of a project that has no revisions."""

from tests.support.schemas import conforms


def test_a_project_without_revisions_has_a_status_and_nothing_to_adopt(
    sexton, tmp_path, monkeypatch
):
    (tmp_path / "sexton.toml").write_text('project = "shop"\n')
    monkeypatch.chdir(tmp_path)
    status = conforms(sexton("status", "--format", "json").json, "status")
    assert (status["head"], status["drift"]) == (None, [])
    refused = sexton("adopt")
    assert refused.code == 2
    assert "there is nothing to adopt" in refused.stderr
