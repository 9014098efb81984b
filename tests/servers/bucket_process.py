"""The process behind an S3 service: moto's own application, with what it leaves out: who pays, other regions, slow lines, and a log."""

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any

from moto import settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from tests.servers.range_process import run

PARTS = 4


class BucketServer:
    """Keys are checked where something is read with them; without them, what is public can be read. Writing is free to all."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._payers, self._slow, self._instead = wanted["payers"], wanted["slow"], wanted["instead"]
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self._lock = threading.Lock()
        self._log: list[Any] = []
        self.server_address = self._server.server_address
        self.serve_forever = self._server.serve_forever
        self.errors = 0

    def state(self) -> dict[str, Any]:
        return {"log": list(self._log)}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asked: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        bucket = asked["PATH_INFO"].split("/")[1]
        payer = asked.get("HTTP_X_AMZ_REQUEST_PAYER", "")
        with self._lock:
            body, status, headers = self._sound(asked, bucket, payer)
            self._log.append(
                [
                    asked["REQUEST_METHOD"],
                    asked["PATH_INFO"],
                    asked.get("HTTP_RANGE", ""),
                    int(status[:3]),
                    "HTTP_AUTHORIZATION" in asked,
                    payer,
                ]
            )
            self.errors += status.startswith("500")
        start(status, list(headers))
        return _trickled(body, self._slow.get(bucket, 0.0))

    def _sound(self, asked: dict[str, Any], bucket: str, payer: str) -> tuple[bytes, str, Any]:
        if asked["PATH_INFO"] in self._instead:
            status, text = self._instead[asked["PATH_INFO"]]
            return (
                text.encode(),
                f"{status} as wanted",
                {"Content-Length": str(len(text)), "Last-Modified": formatdate(0, usegmt=True)}.items(),
            )
        reads = asked["REQUEST_METHOD"] == "GET"
        if reads and bucket in self._payers and payer != "requester":
            return b"<Error><Code>AccessDenied</Code></Error>", "403 Forbidden", ()
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if reads and "HTTP_AUTHORIZATION" in asked else math.inf
        parts, status, headers = run_wsgi_app(self._moto, asked, buffered=True)
        return b"".join(parts), status, headers


def _trickled(body: bytes, wait_s: float) -> Iterator[bytes]:
    """In parts, with waits between them."""
    step = max(1, -(-len(body) // PARTS)) if wait_s else len(body) or 1
    for start in range(0, len(body), step):
        time.sleep(wait_s if start else 0.0)
        yield body[start : start + step]


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    sys.exit(run(BucketServer(json.loads(sys.stdin.readline()))))
