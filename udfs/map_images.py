"""The image under a map: a few scenes read at the map's resolution, their median, in true or false colour."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from conf.errors import ReadError
from conf.sensors import SENSORS
from udfs.images import Opener, gdal
from udfs.map_pixels import MapGrid

Picture = NDArray[np.uint8]
TRUE_COLOUR = ("red", "green", "blue")
FALSE_COLOUR = (("nir", "red", "green"), ("swir1", "nir", "red"))
MOST_SCENES = 8
"""Each scene holds 4 bytes per map pixel and band while the median is taken."""


class MapImage(NamedTuple):
    """`rgb` uint8 (height, width, 3), 255 where no scene has data; `shown` says which bands and scenes."""

    rgb: Picture
    shown: str


def display_bands(sensor: str) -> tuple[str, ...]:
    """Three of the sensor's bands for red, green and blue: true colour where it has them, else false; its first alone if neither."""
    known = SENSORS[sensor]
    for wanted in (TRUE_COLOUR, *FALSE_COLOUR):
        names = [known.band_called(name) for name in wanted]
        if all(names):
            return tuple(str(name) for name in names)
    return (known.band_names[0],) * 3


def map_image(scenes: list[dict[str, Any]], grid: MapGrid, opener: Opener | None = None) -> MapImage | None:
    """Median of up to MOST_SCENES rows of `scenes` (one sensor; least cloud first) on the map's grid; None where none can be read."""
    chosen = sorted(scenes, key=lambda scene: (scene["cloud"] or 0.0, scene["scene_id"]))[:MOST_SCENES]
    chosen = [scene for scene in chosen if scene["sensor"] == chosen[0]["sensor"]]
    if not chosen:
        return None
    bands = display_bands(chosen[0]["sensor"])
    channels = [_median([_read(scene, band, grid, opener or Opener()) for scene in chosen]) for band in bands]
    if all(np.isnan(channel).all() for channel in channels):
        return None
    rgb = np.dstack(channels) if SENSORS[chosen[0]["sensor"]].values == "rgb" else np.dstack([_stretched(c) for c in channels])
    shown = f"{', '.join(dict.fromkeys(bands))} of {chosen[0]['sensor']}, {len(chosen)} image{'s' * (len(chosen) > 1)}"
    return MapImage(np.where(np.isnan(rgb), 255, np.clip(rgb, 0, 255)).astype(np.uint8), shown)


def _read(scene: dict[str, Any], band: str, grid: MapGrid, opener: Opener) -> NDArray[np.float32]:
    """One band on the map's grid, averaged over the map's pixels; NaN without data or where the file cannot be read."""
    empty = np.full((grid.height, grid.width), np.nan, np.float32)
    nodata = scene["nodata"] if scene["nodata"] is not None else SENSORS[scene["sensor"]].nodata
    options = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height, "resampling": Resampling.average}
    try:
        with gdal(), opener.open(scene["hrefs"][band]) as image:
            declared = {"src_nodata": nodata, "nodata": nodata} if nodata is not None else {"add_alpha": True}
            with WarpedVRT(image.dataset, **options, **declared) as warped:
                values = warped.read(scene["band_indexes"][band], masked=True)
    except (ReadError, RasterioError, KeyError, OSError):
        return empty
    return np.asarray(values.astype(np.float32).filled(np.nan), np.float32)


def _median(layers: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(layers) == 1:
        return layers[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that no scene covers stays NaN
        return np.asarray(np.nanmedian(np.stack(layers), axis=0), np.float32)


def _stretched(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """2nd to 98th percentile of the valid pixels to 0-255."""
    if np.isnan(channel).all():
        return channel
    low, high = np.nanpercentile(channel, (2, 98))
    return np.asarray((channel - low) / max(high - low, 1e-6) * 255, np.float32)
