"""What a building is told by its surroundings: the next one, and a raster of heights."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pyproj import Transformer
from pyspark.sql import SparkSession
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely import affinity

from conf.errors import InputError
from jobs.mapping.buildings import BuildingsSettings, heights_source
from jobs.matched_polygons import with_neighbours
from tests.jobs.mapping.test_buildings import built_up_rows, place, run, town

DDL = "layer string, epoch string, building_id string, geometry binary, xmin double, ymin double, xmax double, ymax double"


@pytest.mark.parametrize(("latitude", "longitude"), [(0.34, 32.6), (60.0, 24.94), (-84.0, 10.0), (85.0, 50.0), (-89.99, 10.0)])
def test_the_next_building_is_that_of_a_plane(spark: SparkSession, latitude: float, longitude: float) -> None:
    """Over a corner of four squares of 0.02 degrees, where the next one lies in another square; another epoch and layer in between."""
    plane = f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84"
    to_degrees = Transformer.from_crs(plane, "EPSG:4326", always_xy=True)
    random = np.random.default_rng(5)
    shapes = [affinity.rotate(shapely.box(x, y, x + 14, y + 9), 7.0 * n) for n, (x, y) in enumerate(random.uniform(-600, 600, (60, 2)))]
    shapes += [shapely.box(-900, -3, 880, 3), shapely.box(1500, 0, 1510, 9)]
    shapes += [
        shapely.box(2000, 0, 2010, 10),
        shapely.box(2010, 0, 2020, 10),
        shapely.box(2119, 0, 2130, 10),
        shapely.box(2240, 0, 2250, 10),
    ]
    laid = [shapely.transform(shape, to_degrees.transform, interleaved=False) for shape in shapes]
    rows = [("b", "2020", f"{n:03}", bytearray(shape.wkb), *shape.bounds) for n, shape in enumerate(laid)]
    rows += [(layer, epoch, f"{layer}{epoch}", *rows[-4][3:]) for layer, epoch in (("b", "2017"), ("c", "2020"))]
    found = with_neighbours(spark.createDataFrame(rows, DDL).repartition(5)).toPandas().set_index("building_id")["neighbour_m"]
    assert len(found) == len(rows) and found[["b2017", "c2020"]].isna().all()
    every = np.array(shapes, object)
    for number, shape in enumerate(shapes):
        nearest = shapely.distance(shape, np.delete(every, number)).min()
        if nearest > 100.1:
            assert pd.isna(found[f"{number:03}"])
        else:
            assert found[f"{number:03}"] == pytest.approx(nearest, rel=1e-3, abs=2e-3)
    assert 4 < found.isna().sum() < 30 and found["062"] < 2e-3


def test_heights_are_medians_inside(spark: SparkSession, tmp_path: Path) -> None:
    """The raster is finer and in another CRS; one house has no data in it."""
    rows = built_up_rows(town()[:300, :300], 512)
    flat = run(spark, rows)
    shapes, number = shapely.from_wkb(flat["geometry"].to_numpy()), np.arange(len(flat))
    assert flat["height_m"].isna().all() and len(flat) > 20
    west, south, east, north = shapely.total_bounds(shapes)
    step = 2e-6
    size = int((north - south) / step) + 1, int((east - west) / step) + 1
    raster = rasterize(zip(shapes, 3.0 + number % 7, strict=True), size, transform=from_origin(west, north, step, step), dtype="float32")
    raster[rasterize([shapes[4]], size, transform=from_origin(west, north, step, step)) > 0] = -9999
    path = tmp_path / "heights.tif"
    profile = {"driver": "GTiff", "height": size[0], "width": size[1], "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": -9999}
    with rasterio.open(path, "w", **profile, transform=from_origin(west, north, step, step)) as file:
        file.write(raster, 1)
    told = run(spark, rows, heights=str(path))
    assert told["building_id"].tolist() == flat["building_id"].tolist()
    np.testing.assert_array_equal(told["height_m"], np.where(number == 4, np.nan, 3.0 + number % 7))
    assert heights_source(place(), BuildingsSettings(heights=str(path))) == heights_source(place(), BuildingsSettings(heights=str(path)))


@pytest.mark.parametrize(("count", "crs", "message"), [(2, "EPSG:4326", "2 bands"), (1, None, "CRS None"), (0, None, "No such file")])
def test_what_is_no_raster_of_heights_is_refused(tmp_path: Path, count: int, crs: str | None, message: str) -> None:
    path = tmp_path / "heights.tif"
    if count:
        with rasterio.open(
            path, "w", driver="GTiff", height=4, width=4, count=count, dtype="uint8", crs=crs, transform=from_origin(0, 1, 1, 1)
        ):
            pass
    with pytest.raises(InputError, match=message):
        heights_source(place(), BuildingsSettings(heights=str(path)))
