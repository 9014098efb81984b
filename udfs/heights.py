"""Heights of buildings out of a raster of heights above ground."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import shapely
from exactextract.exact_extract import exact_extract
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from conf.errors import InputError
from udfs.versions import content_digest

Shapes = NDArray[np.object_]
LEAST_KNOWN = 0.5
"""Of a building's ground: less may be a strip along a wall."""


def heights_digest(path: Path) -> str:
    """Of the file. Raises InputError where it is no raster of one band with a CRS."""
    try:
        with rasterio.open(path) as raster:
            if raster.count != 1 or raster.crs is None:
                raise InputError(
                    f"buildings.heights {path}: {raster.count} bands, CRS {raster.crs}; give one band with a CRS, heights in m"
                )
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"buildings.heights: {error}; give a raster of heights above ground") from None
    return content_digest(path)


def height_frames(frames: Iterator[pd.DataFrame], path: str) -> Iterator[pd.DataFrame]:
    """Adds `height_m` to buildings (geometry in EPSG:4326), from a raster on disk."""
    with rasterio.open(path) as raster:
        for frame in frames:
            yield frame.assign(height_m=median_heights(shapely.from_wkb(frame["geometry"].to_numpy()), raster))


def median_heights(polygons: Shapes, raster: Any) -> NDArray[np.float64]:
    """Medians (n,) of the pixels inside polygons in EPSG:4326, each weighed by its share inside; NaN where less than half has data."""
    to_raster = Transformer.from_crs("EPSG:4326", CRS.from_user_input(raster.crs), always_xy=True)
    placed = shapely.transform(polygons, to_raster.transform, interleaved=False)
    features = [{"type": "Feature", "geometry": shapely.geometry.mapping(shape)} for shape in placed]
    found: Any = exact_extract(raster, features, ["values", "coverage"])
    pixels = shapely.area(placed) / abs(raster.transform.determinant)
    return np.array([_median(each["properties"], LEAST_KNOWN * inside) for each, inside in zip(found, pixels, strict=True)])


def _median(pixels: dict[str, Any], least: float) -> float:
    """Of `values` weighed by `coverage`: that up to which half of the weight lies, NaN where there is no more weight than `least`. The
    median of exactextract interpolates between values, however little one weighs."""
    values, weights = (np.ma.compressed(pixels[name]) for name in ("values", "coverage"))
    order = np.argsort(values, kind="stable")
    running = np.append(0, np.cumsum(weights[order]))
    return float(values[order][np.searchsorted(running, running[-1] / 2) - 1]) if running[-1] > least else np.nan
