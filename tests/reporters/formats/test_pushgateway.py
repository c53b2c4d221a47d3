"""Metrics go to a gateway, and one that is dead hides nothing."""

import pytest

from tests.support.endpoints import endpoint
from tests.support.tools import add_model, add_provider


def test_metrics_are_pushed_under_their_database(sexton):
    with endpoint(200) as (url, received):
        result = sexton("audit", "--label", "eu/1", "-o", f"pushgateway:{url}")
    assert result.code == 0
    [(path, body)] = received
    assert path == "/hook/metrics/job/sexton/database/eu%2F1"
    assert b"sexton_audit_findings{" in body


def test_a_dead_gateway_changes_neither_exit_code_nor_report(
    sexton, connection, monkeypatch
):
    monkeypatch.setattr("sexton.reporters.notify.PAUSE", 0.01)
    add_provider(connection, "azure")
    add_model(connection, "nobody", is_default=True)
    result = sexton(
        "audit", "--confirm-after", "0", "-o", "pushgateway:http://u:pa55@127.0.0.1:9/"
    )
    assert result.code == 1
    assert "orphaned_default" in result.stdout
    assert "127.0.0.1 was not notified" in result.stderr
    assert "pa55" not in result.stderr


def test_what_is_no_url_is_wrong_usage(sexton):
    result = sexton("audit", "-o", "pushgateway:gateway")
    assert result.code == 2
    assert "absolute http or https URL" in result.stderr


@pytest.mark.parametrize(
    ("label", "segment"),
    [
        ("..", "database@base64/Li4="),
        (".", "database@base64/Lg=="),
        ("../x", "database/..%2Fx"),
        ("a?b#c", "database/a%3Fb%23c"),
        ("\x1b", "database/%5Cx1b"),
    ],
)
def test_a_label_never_leaves_its_group(sexton, label, segment):
    with endpoint(200) as (url, received):
        sexton("audit", "--label", label, "-o", f"pushgateway:{url}?token=x")
    [(path, _)] = received
    assert path == f"/hook/metrics/job/sexton/{segment}?token=x"
