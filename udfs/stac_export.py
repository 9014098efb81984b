"""The STAC documents of exported tiles: an item a tile, a catalog an epoch, a collection a layer, one catalog over all.

Plain JSON values with relative links: the folder can be moved. Nothing of now is in them, so the same tiles give the same bytes.
catalog.json, LAYER/collection.json, LAYER/EPOCH/catalog.json, LAYER/EPOCH/TILE_ID.json beside its files."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pystac
import shapely
from pystac.utils import datetime_to_str

from udfs.cogs import PROBABILITY, CogBand
from udfs.rasters import NO_DATA, ONE

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
SHA256 = "1220"
"""Multihash prefix: sha2-256, 32 bytes."""
CATALOG = "catalog.json"
COLLECTION = "collection.json"
PRODUCER = "UrbanTrace"

Document = dict[str, Any]


class Credit(NamedTuple):
    """Whose an image is."""

    licence: str | None
    attribution: str | None


class StoredFile(NamedTuple):
    """A file beside its item: `band` says what it holds."""

    key: str
    name: str
    band: CogBand
    size: int
    sha256: str


class LayerSummary(NamedTuple):
    """What a collection says of its items: `bbox` west, south, east, north in degrees; `first`, `last` UTC; values sorted."""

    layer: str
    epochs: tuple[str, ...]
    bbox: tuple[float, float, float, float]
    first: dt.datetime
    last: dt.datetime
    models: tuple[str, ...]
    credits: tuple[Credit, ...]


def item(row: Any, place: str, credits: dict[str, Credit], files: Sequence[StoredFile]) -> Document:
    """The item of a done row of `built_up`; `credits` by scene id."""
    properties = {
        "start_datetime": _utc(row.first_date), "end_datetime": _utc(row.last_date), **_projected(row.crs, row.tile_px, row.transform),
        "urbantrace:place": place, "urbantrace:layer": row.layer, "urbantrace:epoch": row.epoch, "urbantrace:tile_id": row.tile_id,
        "urbantrace:model_name": row.model_name, "urbantrace:model_version": row.model_version,
        "urbantrace:model_sha256": row.model_sha256, "urbantrace:threshold": row.threshold / ONE,
        "urbantrace:valid_share": row.valid_share, "urbantrace:run_id": row.run_id,
        "urbantrace:scenes": [{"id": name, **credits[name]._asdict()} for name in sorted(row.scenes_used)],
        "urbantrace:scenes_failed": sorted(row.scenes_failed),
    }  # fmt: skip
    made = pystac.Item(
        f"{row.layer}_{row.epoch}_{row.tile_id}", _outline(row.geometry),
        [row.xmin, row.ymin, row.xmax, row.ymax], None, properties, collection=collection_id(place, row.layer),
        stac_extensions=[FILE, PROJECTION, RASTER],
    )  # fmt: skip
    for file in files:
        made.add_asset(file.key, _asset(file))
    return _linked(made, f"../../{CATALOG}", f"./{CATALOG}", collection=f"../{COLLECTION}")


def _outline(wkb: bytes) -> Document:
    """As GeoJSON, exteriors counter-clockwise (RFC 7946)."""
    return dict(shapely.geometry.mapping(shapely.orient_polygons(shapely.from_wkb(wkb))))


def _asset(file: StoredFile) -> pystac.Asset:
    band = {
        "name": file.key, "description": file.band.description, "data_type": "uint8", "nodata": NO_DATA,
        "raster:scale": file.band.scale, "raster:offset": 0, "raster:sampling": "area",
    }  # fmt: skip
    fields = {"bands": [band], "file:size": file.size, "file:checksum": SHA256 + file.sha256}
    return pystac.Asset(f"./{file.name}", file.band.description, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields)


def _projected(crs: str, tile_px: int, transform: Sequence[float]) -> Document:
    known = {"proj:code": crs} if crs.startswith("EPSG:") else {"proj:code": None, "proj:wkt2": crs}
    return {**known, "proj:shape": [tile_px, tile_px], "proj:transform": [float(value) for value in transform]}


def epoch_catalog(place: str, layer: str, epoch: str, tile_ids: Iterable[str]) -> Document:
    """The items of a layer and epoch."""
    made = pystac.Catalog(f"{collection_id(place, layer)}-{epoch}", f"Built-up probability of layer {layer}, epoch {epoch}.", epoch)
    links = [("item", f"./{name}.json", None) for name in sorted(tile_ids)]
    return _linked(made, f"../../{CATALOG}", f"../{COLLECTION}", links)


def collection(place: str, summary: LayerSummary, licence: str) -> Document:
    """A layer's collection; `licence` is an SPDX name, or `other`. Each image's own stands with its owner."""
    extent = pystac.Extent(
        pystac.SpatialExtent([list(summary.bbox)]), pystac.TemporalExtent([[_aware(summary.first), _aware(summary.last)]])
    )
    owners = [pystac.Provider(name, roles=[pystac.ProviderRole.LICENSOR]) for name in sorted(_attributions(summary.credits))]
    summaries = {"urbantrace:epoch": list(summary.epochs), "urbantrace:model_sha256": list(summary.models)}
    made = pystac.Collection(
        collection_id(place, summary.layer),
        f"Probability of built-up land of place {place}, layer {summary.layer}: value = DN x {PROBABILITY.scale:g}, nodata {NO_DATA}. "
        "Licences and attributions of the images stand with the items.",
        extent, f"{place}, {summary.layer}", license=licence, summaries=pystac.Summaries(summaries),
        providers=[pystac.Provider(PRODUCER, roles=[pystac.ProviderRole.PROCESSOR]), *owners],
        extra_fields={"urbantrace:sources": [credit._asdict() for credit in summary.credits]},
    )  # fmt: skip
    return _linked(made, f"../{CATALOG}", f"../{CATALOG}", [("child", f"./{epoch}/{CATALOG}", epoch) for epoch in summary.epochs])


def root_catalog(place: str, title: str, layers: Iterable[str]) -> Document:
    """The catalog over all layers; without one it only says whose the folder is."""
    made = pystac.Catalog(root_id(place), f"Built-up land of place {place}, from satellite images by {PRODUCER}.", title)
    return _linked(made, f"./{CATALOG}", None, [("child", f"./{layer}/{COLLECTION}", layer) for layer in sorted(layers)])


def root_id(place: str) -> str:
    """The id by which a place knows its own export."""
    return f"{place}-built-up"


def collection_id(place: str, layer: str) -> str:
    """The id of a layer's collection."""
    return f"{place}-{layer}"


def _attributions(credits: Iterable[Credit]) -> set[str]:
    return {credit.attribution for credit in credits if credit.attribution}


def _linked(
    made: pystac.STACObject, root: str, parent: str | None, links: Sequence[tuple[str, str, str | None]] = (), collection: str | None = None
) -> Document:
    """`made` as JSON values with these links only: (rel, href, title)."""
    known = [("root", root, None), ("parent", parent, None), ("collection", collection, None), *links]
    made.clear_links()
    for rel, href, title in known:
        if href is not None:
            made.add_link(pystac.Link(rel, href, pystac.MediaType.GEOJSON if rel == "item" else pystac.MediaType.JSON, title))
    return made.to_dict(include_self_link=False, transform_hrefs=False)


def _aware(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _utc(moment: dt.datetime) -> str:
    return datetime_to_str(_aware(moment))
