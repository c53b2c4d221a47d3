"""Notices: on change only, bounded, tried again, and never fatal."""

import contextlib
import http.server
import json
import threading

import pytest

from sexton import notify
from sexton.errors import UsageError
from sexton.notify import encode, notice, require_endpoint, send


@contextlib.contextmanager
def endpoint(*codes):
    """A server that answers with these codes, the last one for good; what it was told."""
    told = []
    answers = list(codes)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            told.append((self.path, self.rfile.read(length)))
            code = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_PUT = do_POST

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audited(status="clean", *failed):
    return {
        "run": {"id": "1", "database": "chat"},
        "summary": {"status": status},
        "checks": [
            {
                "check": check,
                "severity": "error",
                "status": "fail",
                "reason": None,
                "count": len(rows),
                "findings": [
                    {"table": "t", "key": {"id": r}, "fingerprint": r, "message": "secret"}
                    for r in rows
                ],
            }
            for check, rows in failed
        ],
    }


def test_it_is_told_once_and_believed():
    with endpoint(200) as (url, told):
        assert send(url, b"{}") is None
    assert told == [("/hook", b"{}")]


def test_what_time_can_cure_is_tried_again():
    pauses = []
    with endpoint(503, 429, 204) as (url, told):
        assert send(url, b"{}", sleep=pauses.append) is None
    assert (len(told), pauses) == (3, [1.0, 2.0])


def test_a_refusal_is_not_tried_again_and_a_redirect_not_followed():
    with endpoint(404) as (url, told):
        assert send(url, b"{}") == "127.0.0.1 was not told: it answered 404"
    assert len(told) == 1
    with endpoint(302) as (url, told):
        assert "answered 302" in send(url, b"{}")
    assert [path for path, _ in told] == ["/hook"]


def test_a_dead_endpoint_ends_after_a_few_tries_and_shows_no_credentials():
    pauses = []
    said = send("http://u:pa55@127.0.0.1:9/x?token=pa55", b"{}", sleep=pauses.append)
    assert len(pauses) == notify.ATTEMPTS - 1
    assert said.startswith("127.0.0.1 was not told: ")
    assert "pa55" not in said


@pytest.mark.parametrize("url", ["ftp://h/x", "hooks.example/x", "http://", "file:///etc"])
def test_an_endpoint_is_an_absolute_http_url(url):
    with pytest.raises(UsageError, match="absolute http or https URL"):
        require_endpoint(url)


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
    body = encode(notice(large, None))
    assert len(body) <= 64 * 1024
    assert json.loads(body)["checks"][0]["count"] == 50
    small = encode(notice(audited("findings", ("c", "a")), None))
    assert b"secret" not in small
    assert json.loads(small)["checks"][0]["findings"][0]["key"] == {"id": "a"}
