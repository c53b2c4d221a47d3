"""An HTTP endpoint on this machine that notes what it received."""

import contextlib
import http.server
import socket
import threading
from typing import Any


class Received(list[tuple[str, bytes]]):
    """The paths and bodies, in order, and the last headers."""

    headers: Any = None


@contextlib.contextmanager
def raw_endpoint(*parts, endless=False):
    """A server that answers each connection with these bytes, or drips them for ever."""
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for part in parts:
                connection.sendall(part)
            while endless and not ended.wait(0.1):
                connection.sendall(b"x")

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


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
