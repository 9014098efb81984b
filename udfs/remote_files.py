"""Remote images as files: ranges fetched with retries, kept in small pages, fetched ahead by block. GDAL itself never sees a network."""

import hashlib
import io
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from conf.access import Access
from conf.errors import TRANSIENT, ReadError
from udfs.addresses import Address, Allowed
from udfs.answers import Answer, RefusedError, ThrottledError
from udfs.transports import Transports

PAGE_BYTES = 2**16
MOST_PAGES = 24
"""Of one file: headers and lists of blocks."""
GAP_BYTES = 2**16
"""Ranges that lie nearer are fetched as one: a request costs more than so many bytes."""
MOST_RANGE_BYTES = 8 * 2**20
FIRST_RETRIES = 64.0
"""Retries that a host may cost before it has answered; each answer earns EARNED more. Then faults end at the first try."""
EARNED = 0.2


class Range(NamedTuple):
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


class _Host:
    """Requests at once, and retries left, of one host in one process."""

    def __init__(self, at_once: int) -> None:
        self.slots = threading.BoundedSemaphore(at_once)
        self._left, self._lock = FIRST_RETRIES, threading.Lock()

    def earn(self) -> None:
        with self._lock:
            self._left = min(FIRST_RETRIES, self._left + EARNED)

    def spend(self) -> bool:
        with self._lock:
            self._left -= 1 if self._left >= 1 else 0
            return self._left >= 1


class Fetcher:
    """Fetches with retries, at most `at_once` requests to a host at a time. Safe to use from several threads."""

    def __init__(self, allowed: Allowed, access: Access, at_once: int) -> None:
        self._transports, self._access, self._at_once = Transports(allowed, access), access, at_once
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="ranges")

    def fetch(self, address: Address, part: Range) -> tuple[Answer, int]:
        """The answer, and the tries it took; raises ReadError with its tries."""
        host = self._host(address)
        attempt = 1
        while True:
            try:
                with host.slots:
                    answer = self._transports.fetch(address, part.start, part.stop)
                host.earn()
                return answer, attempt
            except ReadError as error:
                error.tries = attempt
                if not self._again(error, address, host, attempt):
                    raise
                attempt += 1

    def _again(self, error: ReadError, address: Address, host: _Host, attempt: int) -> bool:
        """Whether to try again, after a wait."""
        if attempt >= self._access.tries:
            return False
        if isinstance(error, RefusedError):
            return self._transports.renew(address, error.signed)
        if error.kind not in TRANSIENT or not host.spend():
            return False
        asked = error.wait if isinstance(error, ThrottledError) else 0.0
        time.sleep(max(asked, self._access.wait_seconds * 2 ** (attempt - 1) * _jitter(address, attempt)))
        return True

    def fetch_all(self, address: Address, parts: Iterable[Range]) -> list[tuple[Range, Answer | ReadError, int]]:
        """Several ranges at once, in their order."""
        return list(self._threads.map(lambda part: self._outcome(address, part), parts))

    def _outcome(self, address: Address, part: Range) -> tuple[Range, Answer | ReadError, int]:
        try:
            return part, *self.fetch(address, part)
        except ReadError as error:
            return part, error, error.tries

    def _host(self, address: Address) -> _Host:
        with self._lock:
            return self._hosts.setdefault(address.host, _Host(self._at_once))

    def close(self) -> None:
        self._threads.shutdown()
        self._transports.close()


def _jitter(address: Address, attempt: int) -> float:
    """0.5 to 1.5, so that workers which failed together do not come back together."""
    key = f"{address.path}:{attempt}:{os.getpid()}:{threading.get_ident()}"
    return 0.5 + hashlib.sha256(key.encode()).digest()[0] / 255


class RemoteFile(io.RawIOBase):
    """A remote file as GDAL reads it. It never raises into GDAL, which could not bear it: `fault` holds what went wrong."""

    def __init__(self, fetcher: Fetcher, address: Address, version: str | None = None) -> None:
        """`version`: what it must be, of the first answer if None. Raises ReadError when it cannot be had."""
        super().__init__()
        self._fetcher, self._address = fetcher, address
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._ahead: list[tuple[Range, bytes]] = []
        self._at = 0
        self.version, self.size, self.tries = version, 0, 1
        self.fault: ReadError | None = None
        self._pages[0] = self._fetched(Range(0, PAGE_BYTES))

    def start(self, count: int) -> bytes:
        """The file's first bytes."""
        return self._page(0)[:count]

    def fetch_ahead(self, parts: Iterable[Range]) -> None:
        """Fetch what will be read next, at once; what was fetched ahead before is dropped. Faults show when it is read."""
        wanted = joined(part for part in parts if part.stop - part.start > 0)
        self._ahead = []
        for part, found, tries in self._fetcher.fetch_all(self._address, wanted):
            self.tries = max(self.tries, tries)
            if isinstance(found, Answer):
                try:
                    self._ahead.append((part, self._checked(found, part)))
                except ReadError as error:
                    self.fault = error
            else:
                self.fault = found

    def read(self, count: int = -1) -> bytes:
        """What GDAL asks for; short at the end, and after a fault."""
        stop = self.size if count < 0 else min(self._at + count, self.size)
        try:
            data = self._bytes(Range(self._at, stop)) if stop > self._at else b""
        except ReadError as error:
            self.fault, self.tries = error, max(self.tries, error.tries)
            return b""
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _bytes(self, part: Range) -> bytes:
        for held, data in self._ahead:
            if held.start <= part.start and part.stop <= held.start + len(data):
                return data[part.start - held.start : part.stop - held.start]
        if part.stop - part.start > PAGE_BYTES:
            return self._fetched(part)
        first, last = part.start // PAGE_BYTES, (part.stop - 1) // PAGE_BYTES
        data = b"".join(self._page(number) for number in range(first, last + 1))
        return data[part.start - first * PAGE_BYTES : part.stop - first * PAGE_BYTES]

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            self._pages[number] = self._fetched(Range(number * PAGE_BYTES, min((number + 1) * PAGE_BYTES, self.size)))
            if len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        return self._pages[number]

    def _fetched(self, part: Range) -> bytes:
        answer, tries = self._fetcher.fetch(self._address, part)
        self.tries = max(self.tries, tries)
        return self._checked(answer, part)

    def _checked(self, answer: Answer, part: Range) -> bytes:
        """Raises ReadError when the file is another than before, or gives less than it says it holds."""
        if self.version and answer.version != self.version:
            raise ReadError(
                "changed_source", f"{self._address.name}: planned with {self.version}, now {answer.version or 'unknown'}; run scenes again"
            )
        self.version, self.size = self.version or answer.version, answer.size
        if len(answer.data) < min(part.stop, answer.size) - part.start:
            raise ReadError("network", f"{self._address.name}: {self._address.host} gives less than it was asked for")
        return answer.data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def joined(parts: Iterable[Range]) -> list[Range]:
    """Ranges in order, near ones as one, none longer than MOST_RANGE_BYTES unless a single one is."""
    result: list[Range] = []
    for part in sorted(set(parts)):
        if result and part.start - result[-1].stop <= GAP_BYTES and part.stop - result[-1].start <= MOST_RANGE_BYTES:
            result[-1] = Range(result[-1].start, max(result[-1].stop, part.stop))
        else:
            result.append(part)
    return result
