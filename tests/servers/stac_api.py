"""A STAC API on loopback over items in memory, paged, that can fail on purpose; and static catalogs as its items."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attr
import pystac
import shapely
import uvicorn
from fastapi import Request as Asked
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import ItemCollectionUri, create_get_request_model, create_post_request_model, create_request_model
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import AsyncBaseCoreClient
from stac_fastapi.types.errors import NotFoundError
from stac_fastapi.types.links import CollectionLinks, ItemLinks
from stac_fastapi.types.rfc3339 import rfc3339_str_to_datetime, str_to_interval
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.servers.faults import Faults, Request, Strikes

Item = dict[str, Any]


@contextmanager
def stac_api(items: Sequence[Item], page: int = 10, faults: Faults | None = None, log: list[Request] | None = None) -> Iterator[str]:
    """The root URL of an API over `items` (GeoJSON, EPSG:4326, each with its `collection`), until the block ends.

    An answer holds at most `page` items, 10 where no limit is asked for. Of the faults it knows 429, 503 and `half` (`broken` is the
    same here); requests go to `log` in the order of their arrival.
    """
    faults = faults or Faults()
    if faults.dropped or faults.needs_token:
        raise ValueError("the STAC API neither drops connections before any byte nor asks for tokens; use `half`")
    listener = socket.create_server(("127.0.0.1", 0))
    app = _Failing(_application(items, page), faults, [] if log is None else log)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", loop="asyncio", http="h11"))
    thread = threading.Thread(target=server.run, args=([listener],), name="stac-api")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        _join_workers()


def _join_workers() -> None:
    """FastAPI's worker threads end with their event loop, but a little later."""
    for thread in threading.enumerate():
        loop = getattr(thread, "loop", None)
        if loop is not None and loop.is_closed():
            thread.join()


def items_of_catalog(catalog_json_path: Path, url_of: Callable[[str], str]) -> list[Item]:
    """The items of a static catalog, in collection `simulated`; `url_of` maps an asset's path, relative to the catalog's folder."""
    folder = catalog_json_path.parent.resolve()
    items = list(pystac.Catalog.from_file(str(folder / catalog_json_path.name)).get_items(recursive=True))
    for item in items:
        item.collection_id = "simulated"
        for asset in item.assets.values():
            asset.href = url_of(Path(str(asset.get_absolute_href())).resolve().relative_to(folder).as_posix())
    return [{**item.to_dict(include_self_link=False, transform_hrefs=False), "links": []} for item in items]


def _application(items: Sequence[Item], page: int) -> ASGIApp:
    paging = [TokenPaginationExtension()]
    names = dict.fromkeys(("stac_fastapi_title", "stac_fastapi_description", "stac_fastapi_landing_id", "stac_fastapi_version"), "test")
    return StacApi(
        settings=ApiSettings(**names),
        client=_Items(items=items, page=page),
        extensions=paging,
        search_get_request_model=create_get_request_model(paging),
        search_post_request_model=create_post_request_model(paging),
        items_get_request_model=create_request_model("Items", ItemCollectionUri, paging),
        middlewares=[],
    ).app


@attr.s(kw_only=True)
class _Items(AsyncBaseCoreClient):
    """What the API does: everything in memory, in the order given; a token is the number of items before the page."""

    items: Sequence[Item] = attr.ib()
    page: int = attr.ib()

    async def get_search(self, request: Asked, **asked: Any) -> Item:
        if asked.get("intersects"):
            asked["intersects"] = json.loads(asked["intersects"])
        return self._page(request, asked)

    async def post_search(self, search_request: Any, request: Asked, **_: Any) -> Item:
        return self._page(request, search_request.model_dump(mode="json", exclude_none=True))

    async def item_collection(self, collection_id: str, request: Asked, **asked: Any) -> Item:
        await self.get_collection(collection_id, request)
        return self._page(request, {**asked, "collections": [collection_id]})

    async def get_item(self, item_id: str, collection_id: str, request: Asked, **_: Any) -> Item:
        for item in self.items:
            if (item["id"], item["collection"]) == (item_id, collection_id):
                return _linked(item, str(request.base_url))
        raise NotFoundError(f"no item {item_id} in {collection_id}")

    async def all_collections(self, request: Asked, **_: Any) -> Item:
        names = sorted({item["collection"] for item in self.items})
        return {"collections": [await self.get_collection(name, request) for name in names], "links": []}

    async def get_collection(self, collection_id: str, request: Asked, **_: Any) -> Item:
        members = [pystac.Item.from_dict(item) for item in self.items if item["collection"] == collection_id]
        if not members:
            raise NotFoundError(f"no collection {collection_id}")
        collection = pystac.Collection(collection_id, f"{len(members)} items", pystac.Extent.from_items(members))
        links = CollectionLinks(collection_id=collection_id, base_url=str(request.base_url)).create_links()
        return {**collection.to_dict(include_self_link=False), "links": links}

    def _page(self, request: Asked, asked: Item) -> Item:
        found = [item for item in self.items if _matches(item, asked)]
        start = int(asked.get("token") or 0)
        stop = start + min(asked.get("limit") or self.page, self.page)
        page = [_linked(item, str(request.base_url)) for item in found[start:stop]]
        links = [_next(request, asked, str(stop))] if stop < len(found) else []
        return {"type": "FeatureCollection", "features": page, "links": links, "numberMatched": len(found), "numberReturned": len(page)}


def _next(request: Asked, asked: Item, token: str) -> Item:
    link = {"rel": "next", "type": "application/geo+json", "method": request.method}
    if request.method == "POST":
        return {**link, "href": str(request.url), "body": {**asked, "token": token}}
    return {**link, "href": str(request.url.include_query_params(token=token))}


def _linked(item: Item, base_url: str) -> Item:
    return {**item, "links": ItemLinks(collection_id=item["collection"], base_url=base_url, item_id=item["id"]).create_links()}


def _matches(item: Item, asked: Item) -> bool:
    """Whether an item passes all filters of a search (STAC API 1.0, item search)."""
    outline = shapely.geometry.shape(item["geometry"])
    return (
        item["collection"] in (asked.get("collections") or [item["collection"]])
        and item["id"] in (asked.get("ids") or [item["id"]])
        and (not asked.get("bbox") or outline.intersects(_box(asked["bbox"])))
        and (not asked.get("intersects") or outline.intersects(shapely.geometry.shape(asked["intersects"])))
        and (not asked.get("datetime") or _meets(item["properties"], asked["datetime"]))
    )


def _box(bbox: Sequence[float]) -> Any:
    """Two boxes where it crosses 180 degrees; heights are left out."""
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.MultiPolygon([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _meets(properties: Item, asked: str) -> bool:
    """Whether the item's instant or span meets the one asked for, ends included."""
    span: Any = str_to_interval(asked)
    start, end = span if isinstance(span, tuple) else (span, span)
    first, last = (rfc3339_str_to_datetime(properties.get(name) or properties["datetime"]) for name in ("start_datetime", "end_datetime"))
    return (start is None or last >= start) and (end is None or first <= end)


class _Failing:
    """Passes requests on; the answer to some is a fault."""

    def __init__(self, app: ASGIApp, faults: Faults, log: list[Request]) -> None:
        self.app, self.faults, self.strikes, self.log = app, faults, Strikes(faults), log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault, delay_s = self.strikes.of_next(scope["path"])
        await asyncio.sleep(delay_s)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.log.append(Request(scope["method"], scope["path"], "", message["status"], fault))
            elif fault in ("broken", "half"):
                # More is promised and never comes: uvicorn then closes the connection.
                message = {**message, "body": message["body"][: len(message["body"]) // 2], "more_body": True}
            await send(message)

        status = self.faults.status_of(scope["path"], fault)
        headers = {"Retry-After": f"{self.faults.retry_after:g}"} if status == 429 else None
        app = self.app if status is None else PlainTextResponse(f"{status}\n", status, headers)
        await app(scope, receive, sent)
