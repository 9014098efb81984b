"""Training windows: labelled ground out of simulated cities, images with footprints, and images with weak labels."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyproj
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from conf.errors import InputError
from conf.place import Source
from conf.windows import CHOOSE, FULL_LABEL, FULL_WEIGHT, JUDGE, TRAIN, UNLABELLED, WINDOW_COLUMNS, channel_names
from udfs.catalogs import scenes_of
from udfs.composites import median
from udfs.grid import Grid, PixelBounds, native_grid, utm_grid
from udfs.images import ImagePool
from udfs.planning import on_grid
from udfs.reading import read_scene
from udfs.scenes import Scene
from udfs.series_datasets import LISTINGS, MIDYEAR, labelled_image
from udfs.simulation.aerial import render_rgb, rgb_bounds
from udfs.simulation.city import City, plan_city
from udfs.simulation.land import BUILT_RULE, building_label, built_label, shares
from udfs.simulation.looks import SCORED_LOOKS
from udfs.simulation.open_ground import bared, wetted
from udfs.simulation.optical import render_landsat, render_sentinel2
from udfs.simulation.radar import render_sentinel1
from udfs.speckle import to_decibels, to_power
from udfs.weak_labels import RULES

Values = NDArray[np.float32]
Shapes = NDArray[np.object_]
RADAR = ("VV", "VH")
"""Bands of Sentinel-1; all others are Sentinel-2's."""

CLEAR = (2, 4, 5, 6, 7, 11)
"""Sentinel-2 scene classes that count as clear ground."""

SPARSE_PX, SPARSE_SHARE = 31, 0.12
"""Ground is sparse where less than this share of the square of this side is built."""


class Ground(NamedTuple):
    """One training window; arrays as in conf/windows.py."""

    source: str
    split: str
    share: float
    values: Values
    labels: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    ground: str = ""
    date: str = ""
    tells: str = ""


def simulated_sentinels(order: Mapping[str, Any]) -> Ground:
    """A city's composite of `dates` (ISO), (bands, height, width), 10 m: of Sentinel-2's bands median reflectance, or with `slots` so
    many dates one upon the other, of Sentinel-1's the mean power of an image beside each date, dB; labels from the built share by
    `softness`."""
    city, bands = _city(order), tuple(order["bands"])
    dates = [dt.date.fromisoformat(text) for text in order["dates"]]
    built = shares(city, dates[0].year, 10.0).built
    optical, radar = (tuple(band for band in bands if (band in RADAR) == wanted) for wanted in (False, True))
    slots = order.get("slots", 1)
    images = dict(zip(channel_names(optical, slots), _optical(city, dates, optical, built, order), strict=True))
    images |= _mean_decibels(city, dates, radar)
    ground = _simulated(order, np.stack([images[name] for name in channel_names(bands, slots)]), softened(built, order["softness"]))
    weights = np.where(sparse_ground(built >= BUILT_RULE), ground.weights * np.uint8(order["sparse_weight"]), ground.weights)
    return ground._replace(weights=weights)


def _optical(city: City, dates: list[dt.date], bands: tuple[str, ...], built: Values, order: Mapping[str, Any]) -> Iterable[Values]:
    if not bands:
        return ()
    seen = [clear_reflectance(city, date, order["cloud"], bands) for date in dates]
    if (slots := order.get("slots", 1)) > 1:
        return np.concatenate([*seen, *[np.full_like(seen[0], np.nan)] * slots][:slots])
    composite = median(seen)
    if order["bare"]:
        composite = bared(composite, bands, built, city.look.haze, order["bare"], order["seed"])
    return wetted(composite, built >= BUILT_RULE, order["wet"], order["seed"]) if order["wet"] else composite


def _mean_decibels(city: City, dates: list[dt.date], bands: tuple[str, ...]) -> dict[str, Values]:
    images = [render_sentinel1(city, date) for date in dates] if bands else []
    return {band: to_decibels(np.mean([to_power(image[band]) for image in images], axis=0)) for band in bands}


def sparse_ground(built: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Built pixels with few others around them, such as country roads and lone houses, and what lies beside them (height, width).

    They are too few to count in a loss over all pixels, and most of what is built in a unit outside the city."""
    around = ndimage.uniform_filter(built.astype(np.float32), SPARSE_PX, mode="nearest")
    return np.asarray(ndimage.binary_dilation(built & (around < SPARSE_SHARE), iterations=2) & (around < SPARSE_SHARE))


def softened(share: Values, softness: float) -> Values:
    """Labels 0-1 of built shares 0-1: a ramp of this width around one half, where a pixel tells a network little about which side it
    is on; 0 = a step."""
    if softness == 0:
        return np.asarray(share >= BUILT_RULE, np.float32)
    return np.asarray((BUILT_RULE + (share - BUILT_RULE) / softness).clip(0, 1), np.float32)


def simulated_landsat(order: Mapping[str, Any]) -> Ground:
    """A city seen by Landsat on one of `dates` at `gsd` metres, stretched; labels: built share of a half or more."""
    city = _city(order)
    date = dt.date.fromisoformat(order["dates"][0])
    image = render_landsat(city, date, order["gsd"])
    values = np.stack([image[band].astype(np.float32) for band in order["bands"]])
    return _simulated(order, stretched(values), built_label(city, date.year, order["gsd"]))


def simulated_rgb(order: Mapping[str, Any]) -> Ground:
    """The square of `side_m` metres of a city that shows most, at `gsd` metres, 0-1; labels: buildings."""
    city = _city(order)
    year = dt.date.fromisoformat(order["dates"][0]).year
    bounds = rgb_bounds(city, order["side_m"])
    image = render_rgb(city, bounds, year, order["gsd"]).astype(np.float32) / np.float32(255)
    return _simulated(order, image, building_label(city, bounds, year, order["gsd"]))


def footprint_window(order: Mapping[str, Any]) -> Ground:
    """The columns `columns` (from, to; shares from the west) of an image, with the footprints of a GeoJSON file as labels.

    Ground with two buildings within `gap_px` pixels weighs `gap_weight` times as much, so that neighbours stay apart.
    A window to judge on keeps the whole image, as a map's windows see it; other columns then have no labels.
    """
    values, transform, crs = _image(order)
    first, last = (round(share * values.shape[2]) for share in order["columns"])
    labels, gaps = _burnt(_footprints(order["footprints"], crs), values.shape[1:], transform, order["gap_px"])
    weights = np.where(np.isfinite(values[0]), np.where(gaps, FULL_WEIGHT * order["gap_weight"], FULL_WEIGHT), 0).astype(np.uint8)
    weights[:, :first], weights[:, last:] = 0, 0
    block = np.s_[:, :] if order["split"] == JUDGE else np.s_[:, first:last]
    return Ground(order["source"], order["split"], order["share"], values[:, *block], labels[block], weights[block])


def weak_window(order: Mapping[str, Any]) -> Ground:
    """A whole image with the labels of `rules`. `series`: images of the same ground in order of date, `href` among them; all are read on
    the grid of the first, or on a UTM grid of `resolution` metres, as a map's windows show it."""
    scenes, index = [_scene({**order, "href": href}) for href in order["series"]], order["series"].index(order["href"])
    grid, bounds = _ground_of(scenes[0], order.get("resolution"))
    series = [_values(scene, order, grid, bounds) for scene in scenes]
    named = [dict(zip(order["bands"], np.nan_to_num(values), strict=True)) for values in series]
    weak = RULES[order["rules"]](named, index)
    weights = np.where(np.isfinite(series[index][0]), weak.weights, 0).astype(np.uint8)
    ground = order["series"][0] if len(series) > 1 else ""
    return Ground(order["source"], order["split"], order["share"], series[index], weak.labels, weights, ground, order.get("date", ""))


def series_window(order: Mapping[str, Any]) -> Ground:
    """An image of a public data set of series."""
    made = labelled_image(order)
    told = (order["source"], order["split"], order["share"])
    return Ground(*told, made.values, made.labels, made.weights, order["ground"], order["date"], made.tells)


MAKERS = {
    "simulated_sentinels": simulated_sentinels,
    "simulated_landsat": simulated_landsat,
    "simulated_rgb": simulated_rgb,
    "footprints": footprint_window,
    "weak": weak_window,
    **dict.fromkeys(LISTINGS, series_window),
}


def window_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Orders (column `spec`, JSON) to windows in the columns of conf/windows.py, one row a batch."""
    for batch in batches:
        for text in batch.column("spec").to_pylist():
            order = json.loads(text)
            yield _row(MAKERS[order["kind"]](order), sensor_of(order))


def sensor_of(order: Mapping[str, Any]) -> str:
    """Of an order: the images' sensor, or what is simulated."""
    return str(order.get("sensor") or order["kind"].removeprefix("simulated_"))


def stretched(values: Values) -> Values:
    """Each band (bands, height, width) between its 2nd and 98th percentile as 0-1, clipped; NaN stays."""
    low, high = np.nanpercentile(values, [2, 98], axis=(1, 2), keepdims=True)
    return np.asarray(((values - low) / np.maximum(high - low, 1e-6)).clip(0, 1), np.float32)


def _city(order: Mapping[str, Any]) -> City:
    if order["look"] in SCORED_LOOKS:
        raise InputError(f"look {order['look']}: cities that results are judged by are never trained on; use another")
    return plan_city(order["seed"], order["look"], order["size_m"], *(order.get("years") or ()))


def _simulated(order: Mapping[str, Any], values: Values, labels: Values | NDArray[np.bool_]) -> Ground:
    """`labels` 0-1."""
    weights = np.where(np.isfinite(values).any(0), FULL_WEIGHT, 0).astype(np.uint8)
    whole = np.rint(labels * np.float32(FULL_LABEL)).astype(np.uint8)
    told = (order.get("ground", ""), order["dates"][0][:4] + MIDYEAR) if order.get("years") else ()
    return Ground(order["source"], order["split"], order["share"], values, whole, weights, *told)


def clear_reflectance(city: City, date: dt.date, cloud: float, bands: tuple[str, ...]) -> Values:
    """Of Sentinel-2's bands on a date (bands, height, width), 10 m; NaN under cloud and shadow. `cloud`: share of it."""
    image = render_sentinel2(city, date, cloud)
    side = max(len(layer) for layer in image.bands.values())
    values = np.stack([_finer(image.bands[band].astype(np.float32), side) for band in bands]) / 10_000 - np.float32(0.1)
    clear = np.isin(np.kron(image.scl, np.ones((2, 2), np.uint8)), CLEAR)
    return np.where(clear, values, np.nan).astype(np.float32)


def _finer(layer: Values, side: int) -> Values:
    """Bilinear between pixel centres."""
    if len(layer) == side:
        return layer
    return np.asarray(ndimage.zoom(layer, float(side / len(layer)), order=1, grid_mode=True, mode="nearest"))


def _image(order: Mapping[str, Any]) -> tuple[Values, Any, str]:
    """A file's or pattern's image as physical values on its grid, with transform and CRS."""
    scene = _scene(order)
    grid, bounds = _ground_of(scene, order.get("resolution"))
    return _values(scene, order, grid, bounds), grid.transform(bounds.top, bounds.left), grid.crs


def _ground_of(scene: Scene, resolution: float | None) -> tuple[Grid, PixelBounds]:
    """An image's own grid, or the UTM grid of `resolution` metres, and the pixels that it covers."""
    if resolution is None:
        return native_grid(scene.crs, Affine(*scene.transform[:6])), PixelBounds(0, 0, scene.height, scene.width)
    outline = shapely.from_wkb(scene.footprint)
    grid = utm_grid(outline.centroid.x, outline.centroid.y, resolution)
    return grid, grid.pixels_over(*shapely.bounds(on_grid(outline, grid)))


def _scene(order: Mapping[str, Any]) -> Scene:
    source = Source.model_validate({name: order[name] for name in ("href", "sensor", "datetime")})
    (scene,) = scenes_of((source,), Path())
    return scene


def _values(scene: Scene, order: Mapping[str, Any], grid: Grid, bounds: PixelBounds) -> Values:
    values, _ = read_scene(ImagePool(), scene, tuple(order["bands"]), grid, bounds)
    return values


def _footprints(path: str, crs: str) -> Shapes:
    collection = json.loads(Path(path).read_text(encoding="utf-8"))
    degrees = shapely.from_geojson([json.dumps(feature["geometry"]) for feature in collection["features"]])
    project = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return np.asarray(shapely.transform(degrees, lambda points: np.column_stack(project.transform(*points.T))))


def _burnt(shapes: Shapes, shape_yx: tuple[int, ...], transform: Any, gap_px: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Labels of pixels whose centre lies in a shape; and the narrow gaps between different shapes."""
    numbers = rasterio.features.rasterize(zip(shapes, range(1, len(shapes) + 1), strict=True), shape_yx, transform=transform, dtype="int32")
    reach = 2 * gap_px + 1
    nearest = ndimage.maximum_filter(numbers, reach)
    other = -ndimage.maximum_filter(np.where(numbers > 0, -numbers, -(2**30)), reach)
    gaps = (numbers == 0) & (nearest > 0) & (other < nearest)
    return np.where(numbers > 0, FULL_LABEL, 0).astype(np.uint8), gaps


def _row(ground: Ground, sensor: str) -> pa.RecordBatch:
    split = ground.split
    if split not in (TRAIN, CHOOSE, UNLABELLED, JUDGE):
        raise InputError(f"split {split} of {ground.source}: use {TRAIN}, {CHOOSE}, {UNLABELLED} or {JUDGE}")
    values = [
        ground.source, ground.ground, ground.date, ground.tells, split, sensor, float(ground.share), *ground.values.shape,
        ground.values.astype(np.float16).tobytes(), ground.labels.tobytes(), ground.weights.tobytes(),
    ]  # fmt: skip
    kinds = {"string": pa.string(), "double": pa.float64(), "int": pa.int32(), "binary": pa.binary()}
    schema = pa.schema([pa.field(name, kinds[kind], nullable=False) for name, kind in WINDOW_COLUMNS.items()])
    return pa.record_batch([pa.array([value], kind) for value, kind in zip(values, schema.types, strict=True)], schema=schema)
