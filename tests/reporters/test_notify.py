"""Notices: on change only, bounded, tried again, and never fatal."""

import json

import pytest

from sexton.errors import UsageError
from sexton.reporters import notify
from sexton.reporters.notify import as_json, as_slack, notice, require_endpoint, send
from tests.support.endpoints import endpoint, raw_endpoint
from tests.support.tools import add_model, add_provider


def audited(status="clean", *failed):
    return {
        "run": {"id": "1", "database": "chat"},
        "summary": {"status": status},
        "checks": [
            {"check": "fine", "status": "pass", "count": 0, "findings": []},
            *(
                {
                    "check": check,
                    "severity": "error",
                    "status": "fail",
                    "reason": None,
                    "count": len(rows),
                    "findings": [
                        {
                            "table": "t",
                            "key": {"id": r},
                            "fingerprint": r,
                            "message": "secret",
                        }
                        for r in rows
                    ],
                }
                for check, rows in failed
            ),
        ],
    }


def test_it_is_told_once_and_believed():
    with endpoint(200) as (url, received):
        assert send(url, b"{}") is None
    assert received == [("/hook", b"{}")]


def test_what_time_can_cure_is_tried_again():
    pauses = []
    with endpoint(503, 429, 204) as (url, received):
        assert send(url, b"{}", sleep=pauses.append) is None
    assert (len(received), pauses) == (3, [1.0, 2.0])


def test_a_refusal_is_not_tried_again_and_a_redirect_not_followed():
    with endpoint(404) as (url, received):
        assert send(url, b"{}") == "127.0.0.1 was not notified: it answered 404"
    assert len(received) == 1
    with endpoint(302) as (url, received):
        assert "answered 302" in send(url, b"{}")
    assert [path for path, _ in received] == ["/hook"]


def test_a_dead_endpoint_ends_after_a_few_tries_and_shows_no_credentials():
    pauses = []
    said = send("http://u:pa55@127.0.0.1:9/x?token=pa55", b"{}", sleep=pauses.append)
    assert len(pauses) == notify.ATTEMPTS - 1
    assert said.startswith("127.0.0.1 was not notified: ")
    assert "pa55" not in said


BAD = (
    *("ftp://h/x", "hooks.example/x", "http://", "file:///etc", "http:///x", "http://:80/"),
    *("http://h:abc/", "http://h:99999/", "http://h:0/", "http://[::1/", "http://ho st/"),
    *("http://h/a b?token=SECRET", "http://h/\u00e9?SECRET", "http://u:SECRET@h:x/"),
    *(
        "http://h/x\r\nHost: SECRET",
        "http://h/\x00SECRET",
        "http://[SECRET]/",
        "http://-h/",
    ),
    *("http://u:SECRET@/", "http://h\\SECRET/", "http://h..x,SECRET/", ""),
)


@pytest.mark.parametrize("url", BAD)
def test_an_endpoint_is_an_absolute_http_url(url):
    with pytest.raises(UsageError, match="absolute http or https URL") as raised:
        require_endpoint(url)
    assert "SECRET" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("option", ["--notify", "-o"])
def test_no_audit_begins_with_an_endpoint_that_is_none(sexton, option):
    for url in BAD:
        if "\0" in url or (not url and option == "--notify"):
            continue  # no argument has the one, and the other is none
        where = f"pushgateway:{url}" if option == "-o" else url
        result = sexton("audit", option, where)
        assert (result.code, result.stdout) == (2, "")
        assert "SECRET" not in result.stderr


ANSWERS = {
    "garbage": (b"garbage\r\n\r\n",),
    "nothing": (),
    "a long line": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100_000, b"\r\n\r\n"),
    "500 headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500, b"\r\n"),
    "a status that is none": (b"HTTP/1.1 abc OK\r\n\r\n",),
    "no ASCII": (b"HTTP/1.1 200 \xff\xfe\r\n\xff: \x00\r\n\r\n",),
    "a redirect to nowhere": (b"HTTP/1.1 302 F\r\nLocation: http://[/SECRET\r\n\r\n",),
    "a challenge": (b"HTTP/1.1 401 No\r\nWWW-Authenticate: \x00\r\n\r\n",),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("option", ["--notify", "-o"])
def test_whatever_an_endpoint_answers_the_exit_code_stands(
    sexton, connection, monkeypatch, answer, option
):
    monkeypatch.setattr(notify, "PAUSE", 0.01)
    add_provider(connection, "azure")
    add_model(connection, "nobody", is_default=True)
    with raw_endpoint(*ANSWERS[answer]) as url:
        where = url.replace("//", "//u:SECRET@") + "/a?token=SECRET"
        where = f"pushgateway:{where}" if option == "-o" else where
        result = sexton("audit", "--confirm-after", "0", option, where)
    assert result.code == 1
    assert "SECRET" not in result.stdout + result.stderr
    if answer != "no ASCII":  # a strange answer that is yet a success
        assert "127.0.0.1 was not notified: " in result.stderr


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_endpoint_that_drips_is_left_at_the_deadline(monkeypatch, start):
    monkeypatch.setattr(notify, "DEADLINE", 1.0)
    with raw_endpoint(start, endless=True) as url:
        assert send(url, b"{}") == "127.0.0.1 was not notified: no answer within 1 s"


def test_only_a_change_is_news():
    clean, one, two = (
        audited(),
        audited("findings", ("c", "a")),
        audited("findings", ("c", "ab")),
    )
    assert notice(clean, None) is None
    assert notice(clean, clean) is None
    assert notice(one, one) is None
    assert notice(one, None)["status"] == "findings"
    assert notice(two, one)["checks"][0]["count"] == 2
    better = notice(clean, one)
    assert (better["status"], better["before"], better["checks"]) == (
        "clean",
        "findings",
        [],
    )


def test_a_notice_has_keys_and_no_values_and_is_never_large():
    large = audited("findings", *((f"check_{n}", "x" * 50) for n in range(300)))
    body = as_json(notice(large, None))
    assert len(body) <= 64 * 1024
    assert json.loads(body)["checks"][0]["count"] == 50
    small = as_json(notice(audited("findings", ("c", "a")), None))
    assert b"secret" not in small
    assert json.loads(small)["checks"][0]["findings"][0]["key"] == {"id": "a"}


def test_an_audit_tells_an_endpoint_of_what_changed_and_of_nothing_else(
    sexton, connection, tmp_path
):
    run = tmp_path / "run.json"
    with endpoint(200) as (url, received):
        audit = ("audit", "--confirm-after", "0")
        assert sexton(*audit, "--notify", url, "-o", f"json:{run}").code == 0
        assert received == []
        add_provider(connection, "azure")
        add_model(connection, "nobody", is_default=True)
        since = ("--since", str(run), "--notify", url)
        assert sexton(*audit, *since).code == 1
        assert len(received) == 1
        assert json.loads(received[0][1])["before"] == "clean"
        assert sexton(*audit, "-o", f"json:{run}").code == 1
        assert sexton(*audit, *since).code == 1
    assert len(received) == 1, "nothing changed since"


def test_a_dead_endpoint_changes_no_exit_code_and_is_told_about(
    sexton, connection, monkeypatch
):
    monkeypatch.setattr(notify, "PAUSE", 0.01)
    assert sexton("audit", "--notify", "http://127.0.0.1:9/").code == 0
    add_provider(connection, "azure")
    add_model(connection, "nobody", is_default=True)
    audit = ("audit", "--confirm-after", "0")
    result = sexton(*audit, "--notify", "http://127.0.0.1:9/?token=pa55")
    assert result.code == 1
    assert "127.0.0.1 was not notified" in result.stderr
    assert "pa55" not in result.stderr


def test_credentials_of_a_url_go_into_a_header_and_nowhere_else():
    with endpoint(200) as (url, received):
        where = url.replace("http://", "http://user:p%40ss@")
        assert send(where, b"{}") is None
        assert received.headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert received == [("/hook", b"{}")]


def test_a_channel_gets_a_message_in_which_names_are_no_markup(sexton, connection):
    add_provider(connection, "azure")
    add_model(connection, "nobody", is_default=True)
    with endpoint(200) as (url, received):
        options = ("--notify", url, "--notify-format", "slack", "--label", "`<!here>` @all")
        assert sexton("audit", "--confirm-after", "0", *options).code == 1
    [(_, body)] = received
    document = json.loads(body)
    assert set(document) == {"text"}
    first, *rest = document["text"].splitlines()
    assert first == "sexton audit of `'&lt;!here&gt;' @all`: *findings*"
    assert "• FAIL `orphaned_default`: 1 finding" in rest


def test_a_message_for_a_channel_is_short():
    many = audited("findings", *((f"check_{n}", "x") for n in range(100)))
    text = json.loads(as_slack(notice(many, audited())))["text"]
    assert text.splitlines()[0].endswith("*findings* (before: clean)")
    assert text.endswith("… and 70 more checks")
