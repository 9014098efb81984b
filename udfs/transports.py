"""Fetching byte ranges: from web servers and from object stores. One request each; who calls decides about another try."""

import re
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import obstore
import urllib3
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from conf.access import Access
from conf.errors import ReadError
from udfs.addresses import WEB, Address, Allowed, address_of, matches
from udfs.signing import Plain, Signed, Signer, signers

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
REFUSED = frozenset({401, 403})
MOST_TOKEN_BYTES = 2**16
LONGEST_WAIT_SECONDS = 60.0
"""That a host may ask for between two tries."""


class Answer(NamedTuple):
    """`data` from the asked start on; `size` of the whole file, bytes; `version` tells one state of the file from another."""

    data: bytes
    size: int
    version: str


class RefusedError(ReadError):
    """The host wants another signature than `signed`."""

    signed: Signed | None = None


class ThrottledError(ReadError):
    """`wait`: seconds that the host asks for."""

    wait: float = 0.0


class Transports:
    """Requests of one process to the hosts of a place. Safe to use from several threads."""

    def __init__(self, allowed: Allowed, access: Access) -> None:
        self._allowed, self._access = allowed, access
        self._web = urllib3.PoolManager(num_pools=16, maxsize=16, retries=False, timeout=access.timeout_seconds)
        self._signers = signers(access.signing, access.token_url, self._ask)
        self._stores: dict[str, Any] = {}
        self._lock = threading.Lock()

    def fetch(self, address: Address, start: int, stop: int) -> Answer:
        """Bytes [start, stop), fewer at the file's end. Raises ReadError, its kind by what the host answered."""
        if address.scheme in WEB:
            return self._from_web(address, start, stop)
        return self._from_store(address, start, stop)

    def renew(self, address: Address, refused: Signed | None) -> bool:
        """After RefusedError: whether another signature may be had than the one that was refused."""
        return refused is not None and self._signer(address).renew(address, refused)

    def close(self) -> None:
        self._web.clear()

    def _signer(self, address: Address) -> Signer:
        """None but over a line that nobody reads along: https, or within this machine."""
        safe = address.scheme == "https" or address.host.startswith(("127.", "localhost", "[::1]"))
        return next((signer for host, signer in self._signers.items() if safe and matches(address, host)), Plain())

    def _from_web(self, address: Address, start: int, stop: int) -> Answer:
        wanted = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        response, signed = self._requested(address, wanted)
        try:
            return _answer(response, address, start, stop)
        except RefusedError as error:
            error.signed = signed
            raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ReadError("network", f"{address.name}: {address.host} broke off ({type(error).__name__})") from None
        except ValueError:
            raise ReadError("server", f"{address.name}: {address.host} gives an answer that is no HTTP; try another host") from None
        finally:
            response.close() if response.length_remaining else response.release_conn()

    def _requested(self, address: Address, wanted: Mapping[str, str]) -> tuple[Any, Signed]:
        """The answer of whom redirects lead to; every one of them must be allowed, and gets only its own signature."""
        here = address
        for _ in range(MOST_REDIRECTS):
            self._allowed.check_host(here)
            signed = self._signer(here).signed(here)
            try:
                headers = {**wanted, **signed.headers}
                response = self._web.request("GET", signed.url, headers=headers, preload_content=False, redirect=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise ReadError("network", f"{address.name}: {here.host} gives no answer ({type(error).__name__})") from None
            if response.status not in REDIRECTS:
                return response, signed
            response.drain_conn()
            response.release_conn()
            here = _redirected(signed.url, response.headers.get("Location", ""), address)
        raise ReadError("server", f"{address.name}: {address.host} redirects without end")

    def _ask(self, url: str) -> bytes:
        """A short text, for signers; its host is the operator's own choice."""
        try:
            response = self._web.request("GET", url, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ReadError("network", f"no token: {urllib3.util.parse_url(url).host} gives no answer ({type(error).__name__})") from None
        if response.status >= 400:
            raise _refusal(response.status, f"no token from {urllib3.util.parse_url(url).host}", {})
        return bytes(response.data[:MOST_TOKEN_BYTES])

    def _from_store(self, address: Address, start: int, stop: int) -> Answer:
        self._allowed.check_host(address)
        try:
            found = obstore.get(self._store(address), address.path.lstrip("/"), options={"range": (start, stop)})
            return Answer(bytes(found.bytes()), int(found.meta["size"]), str(found.meta["e_tag"] or found.meta["last_modified"]))
        except NotFoundError:
            raise ReadError("not_found", f"{address.name}: not in {address.scheme}://{address.host}; check the place's sources") from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise ReadError(
                "forbidden", f"{address.name}: {address.scheme}://{address.host} refuses; check the keys of the workers"
            ) from None
        except (BaseError, OSError) as error:
            raise _store_fault(address, str(error)) from None

    def _store(self, address: Address) -> Any:
        place = f"{address.scheme}://{address.host}"
        with self._lock:
            if place not in self._stores:
                self._stores[place] = _opened_store(address, place, self._access)
        return self._stores[place]


def _redirected(url: str, location: str, address: Address) -> Address:
    try:
        found = address_of(urljoin(url, location))
    except ValueError:
        raise ReadError("server", f"{address.name}: {address.host} leads to no address; check the place's sources") from None
    if found.scheme not in WEB:
        raise ReadError("path_not_allowed", f"{address.name}: {address.host} leads to a {found.scheme} address")
    return found


def _answer(response: Any, address: Address, start: int, stop: int) -> Answer:
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    if response.status == 206:
        first, size = _content_range(response.headers.get("Content-Range", ""))
        if first != start:
            raise ReadError("server", f"{address.name}: {address.host} gives bytes from {first}, asked from {start}; use another host")
        return Answer(response.read(), size, version or f"{size} bytes")
    if response.status == 416:  # nothing from `start` on: an empty file, or one that became shorter
        return Answer(b"", int(response.headers.get("Content-Range", "/0").rpartition("/")[2] or 0), version)
    if response.status == 200:
        if start > 0:
            raise ReadError("server", f"{address.name}: {address.host} serves no parts of files; copy the image to a folder or a bucket")
        data = response.read(stop)
        size = int(response.headers.get("Content-Length") or len(data))
        return Answer(data, size, version or f"{size} bytes")
    raise _refusal(response.status, address.name, response.headers)


def _content_range(text: str) -> tuple[int, int]:
    """First byte and size of the whole; raises ValueError."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[1]), int(found[2])


def _refusal(status: int, name: str, headers: Mapping[str, str]) -> ReadError:
    text = f"{name}: the host answers {status}"
    if status in REFUSED:
        return RefusedError("forbidden", f"{text}; check access.signing and the keys of the workers")
    if status in (404, 410):
        return ReadError("not_found", f"{text}; check the place's sources")
    if status in (429, 503):
        error = ThrottledError("throttled" if status == 429 else "server", f"{text}; lower access.requests_per_host")
        error.wait = _seconds(headers.get("Retry-After", ""))
        return error
    if status >= 500 or status in (408, 425):
        return ReadError("server", f"{text}; try again later")
    return ReadError("forbidden", f"{text}; check access.signing and the address")


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_WAIT_SECONDS) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0


def _store_fault(address: Address, text: str) -> ReadError:
    status = re.search(r"status(?: code)?:? (4\d\d|5\d\d)\b", text)
    if status:
        return _refusal(int(status[1]), address.name, {})
    return ReadError("network", f"{address.name}: {address.scheme}://{address.host} gives no answer")


def _opened_store(address: Address, place: str, access: Access) -> Any:
    """The store of a bucket, with the worker's own keys (environment, instance role) unless it is anonymous."""
    strategy = next((name for host, name in access.signing.items() if matches(address, host)), "")
    options: dict[str, Any] = {"client_options": {"timeout": f"{access.timeout_seconds:g}s"}, "retry_config": {"max_retries": 0}}
    if strategy == "anonymous":
        options["skip_signature"] = True
    if strategy == "requester_pays":
        options["request_payer"] = True
    endpoint = next((url for bucket, url in access.endpoints.items() if matches(address, bucket)), None)
    if endpoint:
        options["endpoint"] = endpoint
        options["client_options"]["allow_http"] = endpoint.startswith("http://")
    container, at, account = address.host.partition("@")
    if at:
        options["account_name"] = account
        place = f"az://{container}"
    return from_url(place, **options)
