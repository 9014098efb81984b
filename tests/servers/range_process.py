"""The process behind a range server or a canary: is told in a line of JSON what to be, then answers line by line until told to stop."""

import hashlib
import json
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.answers import Answer, file_answer, plain_answer, token_answer
from tests.servers.faults import Faults, Request, Strikes

LOOPBACK = ("127.0.0.1", 0)
POLL_S = 0.05
RESET = struct.pack("ii", 1, 0)  # linger for 0 s: a close is a reset


class RangeServer(ThreadingHTTPServer):
    """Serves a folder and remembers what was asked of it."""

    daemon_threads = False  # only then are they joined
    request_queue_size = 128

    def __init__(self, folder: Path, faults: Faults) -> None:
        super().__init__(LOOPBACK, _Handler)
        self.errors = 0
        self.folder, self.faults = folder.resolve(), faults
        self.log: list[Request] = []
        self.connections = self.most_at_once = 0
        self.strikes = Strikes(faults)
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self._in_flight: set[object] = set()
        self._tokens: dict[str, tuple[int | None, float | None]] = {}

    def token(self) -> str:
        with self._lock:
            value = hashlib.sha256(f"{self.faults.seed} token {len(self._tokens)}".encode()).hexdigest()[:32]
            until = None if self.faults.token_s is None else time.monotonic() + self.faults.token_s
            self._tokens[value] = (self.faults.token_requests, until)
        return value

    def admits(self, query: str, authorization: str) -> bool:
        """Whether a token is given where one is needed; it is then used once."""
        if not self.faults.needs_token:
            return True
        with self._lock:
            for given in (query, *parse_qs(query).get("sig", []), authorization.removeprefix("Bearer ")):
                left, until = self._tokens.get(given, (0, None))
                if left != 0 and (until is None or time.monotonic() < until):
                    self._tokens[given] = (None if left is None else left - 1, until)
                    return True
        return False

    def state(self) -> dict[str, Any]:
        return {"log": list(self.log), "most_at_once": self.most_at_once, "connections": self.connections}

    def enter(self, request: object) -> None:
        with self._lock:
            self._in_flight.add(request)
            self.most_at_once = max(self.most_at_once, len(self._in_flight))

    def leave(self, request: object) -> None:
        with self._lock:
            self._in_flight.discard(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
            self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes at once: the usual farewell first would turn a reset into an orderly end."""
        with self._lock:
            self._open.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up when it has enough; anything else is an error of this server, printed and counted."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.errors += 1
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Ends waits and idle connections, then joins their threads."""
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the other end was faster
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RangeServer

    def do_GET(self) -> None:
        self.server.enter(self)
        try:
            self._answer()
        finally:
            self.server.leave(self)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """The log is `RangeServer.log`."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        fault, delay_s = self.server.strikes.of_next(path)
        self.server.stopping.wait(delay_s)
        answer = self._sound(path, url.query, fault)
        body = answer.body if self.command == "GET" else b""
        if fault in ("broken", "half") and not body:
            fault = "dropped"
        status = 0 if fault == "dropped" else answer.status
        self.server.log.append(Request(self.command, path, self.headers.get("Range", ""), status, fault))
        self._send(answer, body, fault)

    def _sound(self, path: str, query: str, fault: str) -> Answer:
        faults = self.server.faults
        status = faults.status_of(path, fault)
        if status is not None:
            return plain_answer(status, {"Retry-After": f"{faults.retry_after:g}"} if status == 429 else {})
        if path == "/token" or path.startswith("/token/"):  # with account and container, as the Planetary Computer asks
            return token_answer(self.server.token(), faults.token_s)
        if path == "/redirect":
            return plain_answer(302, {"Location": parse_qs(query)["to"][0]})
        if not self.server.admits(query, self.headers.get("Authorization", "")):
            return plain_answer(403)
        return file_answer(self.server.folder, path, self.headers, self.command == "GET")

    def _send(self, answer: Answer, body: bytes, fault: str) -> None:
        if fault in ("dropped", "broken", "half"):
            self.close_connection = True
        if fault == "broken":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if fault == "dropped":
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not body:
            self.server.leave(self)
        self.end_headers()
        if fault in ("broken", "half"):
            self.wfile.write(body[: len(body) // 2])
        elif body:
            self.wfile.write(body[:-1])
            # Who has the last byte may ask again at once: by then this request no longer counts.
            self.server.leave(self)
            self.wfile.write(body[-1:])


class Listener(TCPServer):
    """Counts whoever connects, and hangs up."""

    errors = 0

    def __init__(self) -> None:
        super().__init__(LOOPBACK, BaseRequestHandler)
        self._accepted = self._own = 0

    def state(self) -> dict[str, Any]:
        """It knocks itself: once that is answered, whoever came before is counted too."""
        self._own += 1
        with socket.create_connection(("127.0.0.1", self.server_address[1])) as knock:
            knock.recv(1)
        return {"connects": self._accepted - self._own}

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._accepted += 1

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


def main() -> int:
    wanted = json.loads(sys.stdin.readline())
    return run(RangeServer(Path(wanted["folder"]), Faults(**wanted["faults"])) if wanted else Listener())


def run(server: Any) -> int:
    """Exit code 1 after errors of the server itself. A parent that dies closes the pipe, which ends it as well."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
    thread.start()
    _say(server.server_address[1])
    for line in sys.stdin:
        if line == "stop\n":
            break
        _say(server.token() if line == "token\n" else server.state())
    last = server.state()
    server.stop()
    thread.join()
    _say(last)
    return min(server.errors, 1)


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
