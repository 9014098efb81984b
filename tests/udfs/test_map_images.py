"""The image under a map: bands by sensor, scenes filling each other's holes, unreadable files left out."""

import numpy as np
import pytest
import rasterio

from udfs.map_figures import frame_of
from udfs.map_images import display_bands, map_image
from udfs.map_pixels import map_grid

GRID = map_grid("EPSG:32636", (452_000.0, 37_900.0, 452_140.0, 38_000.0), (10.0, 10.0), 100)


def scene(folder, name, values, sensor="rgb", bands=("red", "green", "blue"), nodata=0, cloud=None):
    """A GeoTIFF (bands, 10, 14) on the map's ground, as a row of `scenes`."""
    path = folder / f"{name}.tif"
    size = {"count": len(bands), "width": 14, "height": 10}
    profile = {"driver": "GTiff", "dtype": values.dtype, "crs": GRID.crs, "transform": GRID.transform, "nodata": nodata, **size}
    with rasterio.open(path, "w", **profile) as image:
        image.write(values)
    indexes = {band: index + 1 for index, band in enumerate(bands)}
    hrefs = dict.fromkeys(bands, str(path))
    return {"scene_id": name, "sensor": sensor, "hrefs": hrefs, "band_indexes": indexes, "nodata": nodata, "cloud": cloud}


def ramp(low):
    return np.stack([np.arange(140).reshape(10, 14) + low + 10 * band for band in range(3)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("sensor", "bands"),
    [
        ("sentinel2_l2a", ("B04", "B03", "B02")), ("rgb", ("red", "green", "blue")), ("landsat_stretched", ("nir", "red", "green")),
        ("sentinel1_grd", ("VV", "VV", "VV")),
    ],
)  # fmt: skip
def test_display_bands(sensor, bands):
    assert display_bands(sensor) == bands


def test_colour_images_keep_their_values_and_upright(tmp_path):
    image = map_image([scene(tmp_path, "a", ramp(5))], GRID)
    assert np.array_equal(image.rgb, np.moveaxis(ramp(5), 0, 2))


def test_scenes_fill_holes_and_a_broken_file_is_left_out(tmp_path):
    holed = ramp(5)
    holed[:, :4, :3] = 0
    broken = {**scene(tmp_path, "b", ramp(9)), "hrefs": dict.fromkeys(("red", "green", "blue"), str(tmp_path / "none.tif"))}
    image = map_image([scene(tmp_path, "a", holed), broken, scene(tmp_path, "c", ramp(5))], GRID)
    assert np.array_equal(image.rgb, np.moveaxis(ramp(5), 0, 2))
    assert map_image([broken], GRID) is None and map_image([], GRID) is None


def test_measured_values_are_stretched_and_no_data_is_white(tmp_path):
    values = np.arange(3 * 140, dtype=np.uint16).reshape(3, 10, 14) * 7 + 300
    values[:, 0, :5] = 0
    image = map_image([scene(tmp_path, "s", values, "sentinel2_l2a", ("B02", "B03", "B04"))], GRID)
    assert (image.rgb[0, :5] == 255).all() and image.rgb[0, 5].max() == 0 and image.rgb[-1, -1].min() == 255


def test_degrees_become_km_by_latitude():
    frame = frame_of(map_grid("EPSG:4326", (10.0, 59.5, 11.0, 60.5), (0.01, 0.01), 100))
    assert frame.extent == pytest.approx((0, 55.8, 0, 111.4), rel=0.01)
