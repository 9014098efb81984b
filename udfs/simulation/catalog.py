"""Static STAC catalog of the simulated city's images. All links are relative: the folder can be moved."""

import datetime as dt
from pathlib import Path
from typing import Any, NamedTuple

import pystac
import shapely

from udfs.files import write_json
from udfs.simulation.city import CRS, City
from udfs.simulation.districts import in_degrees

LICENCE = "CC0-1.0"
PRODUCER = "UrbanTrace simulated city (no real place)"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"


class Asset(NamedTuple):
    """A file of a scene: its name, bands in the file's order, value = DN * scale + offset, no-data value, type."""

    key: str
    file: str
    bands: tuple[str, ...]
    gsd: float
    scale: float
    offset: float
    nodata: float | None
    dtype: str


class Image(NamedTuple):
    """A scene: local bounds in metres, acquisition in UTC, sensor as in conf/sensors.py."""

    scene_id: str
    sensor: str
    when: dt.datetime
    bounds: tuple[float, float, float, float]
    assets: tuple[Asset, ...]
    properties: dict[str, Any]


def write_catalog(folder: Path, city: City, images: list[Image]) -> None:
    """Items first, `catalog.json` last: a catalog that exists is whole."""
    catalog = pystac.Catalog("simulated-city", f"Simulated city, seed {city.seed}, look {city.look.name}. {PRODUCER}.")
    for image in sorted(images, key=lambda image: image.scene_id):
        catalog.add_item(_item(city, image))
    catalog.normalize_hrefs(str(folder), skip_unresolved=True)
    catalog.catalog_type = pystac.CatalogType.SELF_CONTAINED
    for item in catalog.get_items():
        write_json(folder / item.id / f"{item.id}.json", item.to_dict())
    write_json(folder / "catalog.json", catalog.to_dict())


def _item(city: City, image: Image) -> pystac.Item:
    outline = in_degrees(city, shapely.segmentize([shapely.box(*image.bounds)], 1000.0))[0]
    item = pystac.Item(
        id=image.scene_id, geometry=shapely.geometry.mapping(outline), bbox=list(outline.bounds), datetime=image.when,
        properties={"urbantrace:sensor": image.sensor, "license": LICENCE, "providers": [{"name": PRODUCER, "roles": ["producer"]}],
                    "proj:code": CRS, **image.properties},
        stac_extensions=[PROJECTION, RASTER, EO],
    )  # fmt: skip
    for asset in image.assets:
        fields = _fields(city, image, asset)
        item.add_asset(asset.key, pystac.Asset(asset.file, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields))
    return item


def _fields(city: City, image: Image, asset: Asset) -> dict[str, Any]:
    west, south, east, north = image.bounds
    transform = city.transform(asset.gsd, west, north)
    common: dict[str, Any] = {"data_type": asset.dtype, "raster:scale": asset.scale, "raster:offset": asset.offset}
    if asset.nodata is not None:
        common["nodata"] = asset.nodata
    bands = [{"name": band, **common} for band in asset.bands]
    shape = [round((north - south) / asset.gsd), round((east - west) / asset.gsd)]
    return {"gsd": asset.gsd, "bands": bands, "proj:shape": shape, "proj:transform": list(transform)[:6]}
