"""Signing requests just before they are made. A signature never leaves this module's callers: not to tables, messages or logs."""

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from conf.errors import ReadError
from udfs.addresses import Address

RENEW_BEFORE_SECONDS = 60.0
"""A token that runs out sooner is renewed first."""
EARTHDATA_TOKEN = "EARTHDATA_TOKEN"  # noqa: S105 - the variable's name
AZURE_BLOBS = ".blob.core.windows.net"


class Signed(NamedTuple):
    """An address to ask for, and headers for its own host alone."""

    url: str
    headers: dict[str, str]


class Signer(Protocol):
    """A strategy of conf/access.py."""

    def signed(self, address: Address) -> Signed:
        """With a signature that holds now; raises ReadError where none is to be had."""
        ...

    def renew(self, address: Address, refused: Signed) -> bool:
        """Forget the signature that the host refused; False: there is no other."""
        ...


class Plain:
    """No signature."""

    def signed(self, address: Address) -> Signed:
        return Signed(address.url, {})

    def renew(self, address: Address, refused: Signed) -> bool:
        return False


class Earthdata:
    """The bearer token of NASA's Earthdata, from environment variable EARTHDATA_TOKEN, which is read again when it is refused."""

    def signed(self, address: Address) -> Signed:
        token = os.environ.get(EARTHDATA_TOKEN)
        if not token:
            raise ReadError("forbidden", f"{address.name}: {address.host} needs a token; export {EARTHDATA_TOKEN}=… on every worker")
        return Signed(address.url, {"Authorization": f"Bearer {token}"})

    def renew(self, address: Address, refused: Signed) -> bool:
        return self.signed(address).headers != refused.headers


class _Token(NamedTuple):
    text: str
    until: float


class PlanetaryComputer:
    """Shared access tokens by account and container, asked for at `token_url`/ACCOUNT/CONTAINER, kept until they run out."""

    def __init__(self, token_url: str, ask: Callable[[str], bytes]) -> None:
        self._token_url, self._ask = token_url.rstrip("/"), ask
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def signed(self, address: Address) -> Signed:
        place = _container(address)
        with self._lock:
            token = self._tokens.get(place)
            if token is None or token.until - time.time() < RENEW_BEFORE_SECONDS:
                token = self._tokens[place] = _token(self._ask(f"{self._token_url}/{place}"), place)
        joint = "&" if address.query else "?"
        return Signed(f"{address.url}{joint}{token.text}", {})

    def renew(self, address: Address, refused: Signed) -> bool:
        """Another thread may have renewed it meanwhile: only the refused one is forgotten."""
        place = _container(address)
        with self._lock:
            token = self._tokens.get(place)
            if token is not None and refused.url.endswith(token.text):
                del self._tokens[place]
        return True


def _container(address: Address) -> str:
    account = address.host.removesuffix(AZURE_BLOBS)
    return f"{account}/{address.path.lstrip('/').split('/', 1)[0]}"


def _token(answer: bytes, place: str) -> _Token:
    try:
        found = json.loads(answer)
        until = dt.datetime.fromisoformat(found["msft:expiry"].replace("Z", "+00:00"))
        return _Token(str(found["token"]), until.timestamp())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReadError("forbidden", f"no token for {place}; check access.token_url") from None


def signers(signing: Mapping[str, str], token_url: str, ask: Callable[[str], bytes]) -> dict[str, Signer]:
    """Host pattern to its strategy; `ask` fetches a text from an address. Buckets' strategies are their store's own."""
    made: dict[str, Callable[[], Signer]] = {
        "planetary_computer": lambda: PlanetaryComputer(token_url, ask),
        "earthdata": Earthdata,
        "anonymous": Plain,
        "requester_pays": Plain,
    }
    return {host: made[name]() for host, name in signing.items()}
