"""Degree of Urbanisation of units by the job, against exactextract on each class's people."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from exactextract import exact_extract
from pyspark.sql import SparkSession
from rasterio.transform import from_origin

from conf.errors import InputError
from conf.place import Place
from conf.tables import DEGREE_OF_URBANISATION
from jobs.job import Context
from jobs.sdg11.degree_of_urbanisation import FILE, DegreeOfUrbanisationSettings, cell_sources, degree_of_urbanisation
from jobs.table_checks import check_rows, in_declared_order
from tests.jobs.sdg11.test_unit_statistics import units_table
from udfs.degree_of_urbanisation import UNIT_CLASSES, unit_class
from udfs.settlement_cells import CODES

MOLLWEIDE = "ESRI:54009"


@pytest.fixture(scope="module")
def place(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Rasters about the units: a dense middle, towns, water in the west that is no land, no data in a corner."""
    folder = tmp_path_factory.mktemp("cells")
    outlines = geopandas.GeoSeries(shapely.from_wkb([bytes(r["geometry"]) for r in units_table(spark).collect()]), crs="EPSG:4326")
    west, south, east, north = outlines.to_crs(MOLLWEIDE).total_bounds
    corner = (np.floor(west / 1000) * 1000 - 5000, np.ceil(north / 1000) * 1000 + 5000)
    width, height = int((east - corner[0]) // 1000 + 6), int((corner[1] - south) // 1000 + 6)
    random, (y, x) = np.random.default_rng(4), np.indices((height, width))
    people = random.gamma(1.2, 250, (height, width)) + 5000 * np.exp(-(((y - height / 2) / 4) ** 2) - ((x - width / 2) / 5) ** 2)
    land = np.where(x < 6, 0.1, 1.0)
    people[(x < 6) & (random.random(people.shape) < 0.7)] = 0
    people[:3, -4:] = -200
    built = (100 * np.minimum(people / 8000, 1)).clip(0)
    for name, values in (("people", people), ("built", built), ("land", land)):
        transform = from_origin(*corner, 1000, 1000)
        profile = {
            "driver": "GTiff",
            "count": 1,
            "dtype": "float64",
            "height": height,
            "width": width,
            "crs": MOLLWEIDE,
            "transform": transform,
        }
        with rasterio.open(folder / f"{name}.tif", "w", nodata=-200, **profile) as file:
            file.write(values, 1)
    layers = {"b": {"sensor": "sentinel2_l2a", "resolution": 10}}
    epochs = [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}]
    return Place.model_validate({"name": "cells", "epochs": epochs, "layers": layers, "warehouse": str(folder)})


def settings(place: Place, **more: Any) -> DegreeOfUrbanisationSettings:
    files = {name: f"{place.warehouse}/{name}.tif" for name in ("people", "built", "land")}
    return DegreeOfUrbanisationSettings(**{**files, **more})


@pytest.mark.parametrize(("release", "partitions"), [("R2022", 1), ("R2023", 5)])
def test_people_of_each_class_are_exactextracts(spark: SparkSession, place: Place, release: str, partitions: int) -> None:
    units = units_table(spark)
    context = Context(spark, place, "run", Path(str(place.warehouse)))
    frame = degree_of_urbanisation.run({"units": units.repartition(partitions)}, settings(place, release=release), context)
    assert check_rows(in_declared_order(frame, DEGREE_OF_URBANISATION), DEGREE_OF_URBANISATION) == units.count()
    rows = {row["unit_id"]: row for row in frame.collect()}
    with rasterio.open(f"{place.warehouse}/people.tif") as file, rasterio.open(f"{place.warehouse}/{FILE}") as classed:
        people, codes, profile = file.read(1).clip(0), classed.read(1), file.profile
    assert len(set(codes.ravel().tolist())) >= 5
    found = {row["unit_id"]: bytes(row["geometry"]) for row in units.collect()}
    shapes = shapely.segmentize(shapely.from_wkb(list(found.values())), 1e-4)
    vectors = geopandas.GeoDataFrame({"unit_id": list(found)}, geometry=list(shapes), crs="EPSG:4326").to_crs(MOLLWEIDE)
    for code in CODES:
        path = f"{place.warehouse}/of_{code}.tif"
        with rasterio.open(path, "w", **{**profile, "nodata": None}) as file:
            file.write(np.where(codes == code, people, 0.0), 1)
        for unit in exact_extract(path, vectors, "sum", include_cols=["unit_id"], output="pandas").itertuples():
            assert rows[unit.unit_id][f"people_{code}"] == pytest.approx(unit.sum, rel=1e-6, abs=1e-3)
    for row in rows.values():
        code = unit_class({code: row[f"people_{code}"] for code in CODES})
        assert (row["code"], row["settlement"]) == ((code, UNIT_CLASSES[code]) if code else (None, None))


def test_rasters_of_another_grid_are_refused(place: Place, tmp_path: Path) -> None:
    with rasterio.open(f"{place.warehouse}/people.tif") as file:
        values, profile = file.read(1), file.profile
    for name, changes, said in (
        ("half", {"transform": profile["transform"] @ profile["transform"].scale(0.5)}, "1 km2 is needed"),
        ("crs", {"crs": None}, "has no CRS"),
    ):
        with rasterio.open(tmp_path / f"{name}.tif", "w", **{**profile, **changes}) as file:
            file.write(values, 1)
        with pytest.raises(InputError, match=said):
            cell_sources(place, settings(place, people=str(tmp_path / f"{name}.tif")))
    with rasterio.open(tmp_path / "turned.tif", "w", **{**profile, "transform": profile["transform"] @ Affine.rotation(5)}) as file:
        file.write(values, 1)
    (tmp_path / "text.tif").write_text("no raster")
    for name, said in (("turned", "north-up"), ("text", "no readable raster")):
        with pytest.raises(InputError, match=said):
            cell_sources(place, settings(place, people=str(tmp_path / f"{name}.tif")))
    with rasterio.open(tmp_path / "m2.tif", "w", **profile) as file:
        file.write(np.full_like(values, 5e5), 1)
    with pytest.raises(InputError, match="percent"):
        cell_sources(place, settings(place, land=str(tmp_path / "m2.tif")))
    with rasterio.open(tmp_path / "moved.tif", "w", **{**profile, "width": profile["width"] - 1}) as file:
        file.write(values[:, 1:], 1)
    with pytest.raises(InputError, match="another grid"):
        cell_sources(place, settings(place, land=str(tmp_path / "moved.tif")))
