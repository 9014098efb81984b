"""Fetching byte ranges of objects in buckets: S3, Google's and Azure's, and services that speak as they do."""

import re
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from conf.access import Access
from conf.errors import ReadError
from udfs.addresses import Address, matches, pattern_of
from udfs.answers import Answer, refusal_of

LONGEST_ANSWER = "1h"
"""In all; `access.timeout_seconds` holds for each of its parts."""
STATUS = re.compile(r"status code: ([45]\d\d)\b")
URL = re.compile(r"performing [A-Z]+ (\S+) in ")
SAID = (
    (r"redirect without LOCATION|AuthorizationHeaderMalformed", "forbidden", "lies in another region; export AWS_REGION on every worker"),
    (r"non-partial response|Header missing", "server", "does not answer as object stores do; correct access.endpoints"),
    (r"status code: 40[13]\b", "forbidden", "refuses; check access.signing and the keys of the workers"),
    (r"status code: 404\b", "not_found", "has no such object; check the place's sources"),
)
"""In what obstore says or quotes, the error's class, and what it means."""


class Buckets:
    """Stores of one process, each opened once. Safe to use from several threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._stores: dict[str, Any] = {}
        self._lock = threading.Lock()

    def fetch(self, address: Address, start: int, stop: int) -> Answer:
        """Bytes [start, stop), fewer at the object's end. Raises ReadError, its kind by what the service answered."""
        store = self._store(address)
        try:
            found = obstore.get(store, address.path.removeprefix("/"), options={"range": (start, stop)})
            return Answer(bytes(found.bytes()), int(found.meta["size"]), str(found.meta["e_tag"] or found.meta["last_modified"]))
        except (BaseError, OSError) as error:
            said = str(error)
        return _empty_or_fault(address, said)

    def _store(self, address: Address) -> Any:
        with self._lock:
            if pattern_of(address) not in self._stores:
                self._stores[pattern_of(address)] = _opened(address, self._access)
        return self._stores[pattern_of(address)]


def _empty_or_fault(address: Address, said: str) -> Answer:
    """Nothing lies from the asked byte on: an empty object, or one that became shorter. Raises ReadError for all else."""
    found = STATUS.search(said)
    status = int(found[1]) if found else 0
    if _is_about_keys(address, said):
        raise _no_keys(address, status)
    for pattern, kind, meaning in SAID:
        if re.search(pattern, said):
            raise ReadError(kind, f"{address.name}: {pattern_of(address)} {meaning}")
    if status == 416:
        return Answer(b"", 0, "")
    if status:
        raise refusal_of(status, address.name, {})
    raise ReadError("network", f"{address.name}: {pattern_of(address)} gives no answer")


def _is_about_keys(address: Address, said: str) -> bool:
    """Whether the request that failed was not for the object but to the service that gives workers their keys."""
    asked = URL.search(said)
    return asked is not None and not unquote(urlsplit(asked[1]).path).endswith(address.path.rstrip("/"))


def _no_keys(address: Address, status: int) -> ReadError:
    """For good only where that service is there and has none."""
    kind = "forbidden" if 400 <= status < 500 and status != 429 else "network"
    place = pattern_of(address)
    return ReadError(kind, f"{address.name}: no keys for {place}; export them on every worker, or set its access.signing to anonymous")


def _opened(address: Address, access: Access) -> Any:
    container, at, account = address.host.partition("@")
    options = {**_signing(address, access), **_line(address, access), **({"account_name": account} if at else {})}
    try:
        return from_url(f"{address.scheme}://{container}", retry_config={"max_retries": 0}, **options)
    except (BaseError, ValueError) as error:
        raise ReadError("forbidden", f"{address.name}: {pattern_of(address)} {_unopened(address, str(error))}") from None


def _line(address: Address, access: Access) -> dict[str, Any]:
    """Options of a store: the address of its service, and how long it is waited for."""
    wait = f"{access.timeout_seconds:g}s"
    client = {"connect_timeout": wait, "read_timeout": wait, "timeout": LONGEST_ANSWER}
    endpoint = next((url for bucket, url in access.endpoints.items() if matches(address, bucket)), None)
    if endpoint is None:
        return {"client_options": client}
    plain = {"allow_http": endpoint.startswith("http://")}
    return {"base_url" if address.scheme == "gs" else "endpoint": endpoint, "client_options": {**client, **plain}}


def _signing(address: Address, access: Access) -> dict[str, bool]:
    """Options of a store, which has the worker's own keys (environment, instance role) unless it is anonymous.

    Raises ReadError for a strategy that its kind has not.
    """
    strategy = next((name for host, name in access.signing.items() if matches(address, host)), None)
    if strategy == "anonymous":
        return {"skip_signature": True}
    if strategy == "requester_pays" and address.scheme == "s3":
        return {"request_payer": True}
    if strategy is not None:
        raise ReadError("forbidden", f"{address.name}: {pattern_of(address)} cannot be signed as {strategy}; correct access.signing")
    return {}


def _unopened(address: Address, text: str) -> str:
    """Not in obstore's words: they may quote a key."""
    if "Account must be specified" in text:
        return f"names no account; write az://{address.host}@ACCOUNT, or export AZURE_STORAGE_ACCOUNT_NAME on every worker"
    return "cannot be opened with the workers' settings; correct the variables AWS_…, GOOGLE_… or AZURE_… there"
