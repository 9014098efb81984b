"""Fetching byte ranges: from web servers and from object stores. One request each; who calls decides about another try."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import urllib3

from conf.access import Access
from conf.errors import ReadError
from udfs.addresses import WEB, Address, Allowed, address_of, matches
from udfs.answers import Answer, RefusedError, refusal_of
from udfs.buckets import Buckets
from udfs.signing import Plain, Signed, Signer, signers

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
MOST_TOKEN_BYTES = 2**16


class Transports:
    """Requests of one process to the hosts of a place. Safe to use from several threads."""

    def __init__(self, allowed: Allowed, access: Access) -> None:
        self._allowed, self._access = allowed, access
        self._web = urllib3.PoolManager(num_pools=16, maxsize=16, retries=False, timeout=access.timeout_seconds)
        self._signers = signers(access.signing, access.token_url, self._ask)
        self._buckets = Buckets(access)

    def fetch(self, address: Address, start: int, stop: int) -> Answer:
        """Bytes [start, stop), fewer at the file's end. Raises ReadError, its kind by what the host answered."""
        if address.scheme in WEB:
            return self._from_web(address, start, stop)
        self._allowed.check_host(address)
        return self._buckets.fetch(address, start, stop)

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
            raise refusal_of(response.status, f"no token from {urllib3.util.parse_url(url).host}", {})
        return bytes(response.data[:MOST_TOKEN_BYTES])


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
    raise refusal_of(response.status, address.name, response.headers)


def _content_range(text: str) -> tuple[int, int]:
    """First byte and size of the whole; raises ValueError."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[1]), int(found[2])
