"""An HTTP/1.1 file server on loopback that keeps a log and fails on purpose, the same way each time; and a canary that counts connects."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tests.servers.faults import Faults, Request

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30


class ServerProcess:
    """A server in a process of its own: rasterio holds Python's lock in some calls that read, and a thread could not answer them."""

    def __init__(self, wanted: dict[str, Any], module: str = "tests.servers.range_process") -> None:
        command = [sys.executable, "-m", module]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._lock = threading.Lock()
        self._last: Any = None
        self.port: int = self._ask(json.dumps(wanted))

    def token(self) -> str:
        return str(self._ask("token"))

    def state(self) -> dict[str, Any]:
        """What was counted so far, or until the end."""
        return dict(self._last or self._ask("state"))

    def _ask(self, question: str) -> Any:
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        """Raises AssertionError where the server itself failed; what it printed says how."""
        said, _ = self._process.communicate("stop\n", timeout=PATIENCE_S)
        assert self._process.returncode == 0, "the test server failed; its traceback is on stderr"
        self._last = json.loads(said)


class Served:
    """A running server: its URLs and tokens, and what was asked of it so far."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self.port = process.port

    def url(self, path: str) -> str:
        """The address of a path relative to the folder."""
        return f"http://127.0.0.1:{self.port}/{quote(path.lstrip('/'))}"

    def token(self) -> str:
        """A new token, good for `token_requests` requests and `token_s` seconds, as `?sig=TOKEN`, `?TOKEN` or `Bearer TOKEN`."""
        return self._process.token()

    @property
    def log(self) -> list[Request]:
        """The requests so far, in the order of their answers."""
        return [Request(*entry) for entry in self._process.state()["log"]]

    @property
    def most_at_once(self) -> int:
        """The most requests in flight at one time."""
        return int(self._process.state()["most_at_once"])

    @property
    def connections(self) -> int:
        return int(self._process.state()["connections"])


@contextmanager
def serving(folder: Path, faults: Faults | None = None) -> Iterator[Served]:
    """Serves the files below `folder` at 127.0.0.1 until the block ends: GET and HEAD, single byte ranges, strong ETags.

    Beside the files: `/token` gives a token as JSON (field names of the Planetary Computer, and `expires`), `/redirect?to=URL` answers 302.
    """
    process = ServerProcess({"folder": str(folder.absolute()), "faults": asdict(faults or Faults())})
    try:
        yield Served(process)
    finally:
        process.stop()


class Canary:
    """A bare listener on loopback: whoever connects is counted and hung up on. What it stands for must not be touched."""

    def __enter__(self) -> Self:
        self._process = ServerProcess({})
        self.port = self._process.port
        self.url = f"http://127.0.0.1:{self.port}/"
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.stop()

    @property
    def connects(self) -> int:
        """Connects so far."""
        return int(self._process.state()["connects"])
