"""An HTTP endpoint on this machine that notes what it received."""

import contextlib
import http.server
import threading
from typing import Any


class Received(list[tuple[str, bytes]]):
    """The paths and bodies, in order, and the last headers."""

    headers: Any = None


@contextlib.contextmanager
def endpoint(*codes):
    """A server that answers with these codes, the last one for good; what it received."""
    received = Received()
    answers = list(codes)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            received.headers = self.headers
            received.append((self.path, self.rfile.read(length)))
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
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
