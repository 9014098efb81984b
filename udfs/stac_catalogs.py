"""Items of STAC: a static catalog on disk or on the web, or a search at an API with paging and retries."""

import datetime as dt
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pystac
from pystac.stac_io import DefaultStacIO
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3 import Retry

from conf.access import Access
from conf.errors import InputError, ReadError
from conf.place import Source
from udfs.addresses import Allowed, address_of
from udfs.answers import LONGEST_WAIT_SECONDS
from udfs.images import Opener

MOST_JSON_BYTES = 64 * 2**20
PAGE_ITEMS = 250
AGAIN = (408, 425, 429, 500, 502, 503, 504)


class SearchBounds(NamedTuple):
    """What a catalog is asked for: west, south, east, north in degrees (west > east over the antimeridian), and spans of days."""

    bbox: tuple[float, float, float, float] | None = None
    spans: tuple[tuple[dt.date, dt.date], ...] = ()


class _AllowedIO(DefaultStacIO):
    """Reads what the place may open, whatever the catalog links to."""

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self._opener = opener

    def read_text_from_href(self, href: str) -> str:
        try:
            return self._opener.text(href, MOST_JSON_BYTES)
        except ReadError as error:
            raise InputError(f"the catalog links to {error}") from None


def catalog_items(path: str, opener: Opener) -> list[dict[str, Any]]:
    """Items of a static catalog, hrefs absolute. Raises InputError."""
    try:
        catalog = pystac.Catalog.from_file(path, stac_io=_AllowedIO(opener))
        return [_plain(item) for item in catalog.get_items(recursive=True)]
    except (pystac.STACError, OSError, ValueError, KeyError, RecursionError) as error:
        refused = error if isinstance(error, InputError) else error.__cause__
        if isinstance(refused, InputError):
            raise refused from None
        raise InputError(f"{address_of(path).name} is no sound STAC catalog: {str(error).splitlines()[0]}") from None


def _plain(item: pystac.Item) -> dict[str, Any]:
    found = item.to_dict(include_self_link=False, transform_hrefs=False)
    for key, asset in item.assets.items():
        found["assets"][key]["href"] = asset.get_absolute_href() or asset.href
    return found


class _JudgedAdapter(HTTPAdapter):
    """Sends no request, and follows no redirect, to a host that is not allowed."""

    def __init__(self, allowed: Allowed, **more: Any) -> None:
        self._allowed = allowed
        super().__init__(**more)

    def send(self, request: Any, *more: Any, **named: Any) -> Any:
        try:
            self._allowed.check_host(address_of(str(request.url)))
        except ReadError as error:
            raise InputError(str(error)) from None
        return super().send(request, *more, **named)


class _PatientIO(StacApiIO):
    """Asks again, too, where an answer breaks off in its middle, which the client's own retries do not cover."""

    def __init__(self, access: Access, hosts: tuple[str, ...]) -> None:
        """`hosts`: the API's own; pages and redirects may lead to others only if `access` names them."""
        super().__init__(max_retries=_retries(access), timeout=access.timeout_seconds)
        self._access = access
        judged = _JudgedAdapter(Allowed((), (*access.hosts, *hosts)), max_retries=_retries(access))
        self.session.mount("http://", judged)
        self.session.mount("https://", judged)

    def request(self, *asked: Any, **more: Any) -> str:
        for attempt in range(1, self._access.tries):
            try:
                return str(super().request(*asked, **more))
            except APIError as error:
                if "IncompleteRead" not in str(error):
                    raise
            time.sleep(self._access.wait_seconds * 2 ** (attempt - 1))
        return str(super().request(*asked, **more))


def searched_items(source: Source, bounds: SearchBounds, access: Access) -> Iterator[dict[str, Any]]:
    """Items of an API within the bounds, each once, page by page. Raises InputError when the API refuses or stays silent."""
    seen: set[str] = set()
    try:
        client = Client.open(str(source.api), stac_io=_PatientIO(access, (urlsplit(str(source.api)).netloc,)))
        for span in bounds.spans or (None,):
            for item in _fresh_items(client, source, bounds, span):
                if item["id"] not in seen:
                    seen.add(item["id"])
                    yield _absolute(item)
    except InputError:
        raise
    except (APIError, RequestException, pystac.STACError, KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        place = urlsplit(str(source.api)).netloc.rpartition("@")[2]
        reason = without_queries(str(error).splitlines()[0][:200]) if str(error) else type(error).__name__
        raise InputError(f"{place}: the API fails: {reason}; check `api` and the network") from None


def _fresh_items(client: Client, source: Source, bounds: SearchBounds, span: tuple[dt.date, dt.date] | None) -> Iterator[dict[str, Any]]:
    """Items page by page, until one brings nothing new: an API whose last page links to itself has no end."""
    seen: set[str] = set()
    for page in _search(client, source, bounds, span).pages_as_dicts():
        fresh = [item for item in page.get("features", []) if str(item["id"]) not in seen]
        if not fresh:
            return
        seen.update(str(item["id"]) for item in fresh)
        yield from fresh


def without_queries(text: str) -> str:
    """A message without what stands behind a question mark in its addresses: keys may."""
    return re.sub(r"\?[^\s'\")]*", "", text)


def _search(client: Client, source: Source, bounds: SearchBounds, span: tuple[dt.date, dt.date] | None) -> Any:
    return client.search(
        collections=list(source.collections) or None,
        bbox=list(source.bbox or bounds.bbox or ()) or None,
        datetime=None if span is None else f"{span[0].isoformat()}T00:00:00Z/{span[1].isoformat()}T23:59:59Z",
        query=source.query or None,
        limit=PAGE_ITEMS,
        max_items=None,
    )


def _retries(access: Access) -> Retry:
    """Also of POST, which only asks here."""
    return Retry(
        total=access.tries,
        status_forcelist=AGAIN,
        allowed_methods=None,
        backoff_factor=access.wait_seconds,
        respect_retry_after_header=True,
        retry_after_max=int(LONGEST_WAIT_SECONDS),
    )


def _absolute(item: dict[str, Any]) -> dict[str, Any]:
    """Relative hrefs of an API's item are meant from its own address."""
    own = next((link["href"] for link in item.get("links", []) if link.get("rel") == "self"), "")
    for asset in item["assets"].values():
        asset["href"] = urljoin(own, asset["href"]) if "://" not in asset["href"] else asset["href"]
    return item
