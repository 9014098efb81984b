"""Job `agglomerations` on two drawn towns: people and land against `extent_statistics`, cores and regions against whole arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio.features
import shapely
from affine import Affine
from pyspark.sql import SparkSession

from conf.tables import AGGLOMERATIONS
from jobs.job import Context
from jobs.sdg11.agglomerations import AgglomerationsSettings, agglomerations
from jobs.table_checks import check_rows, in_declared_order
from tests.jobs.sdg11.test_extent_statistics import read_again
from tests.jobs.sdg11.test_unit_statistics import GRID, IMAGE, outlines
from tests.jobs.sdg11.test_urban_extent import MAPS, place
from udfs.earth import to_lonlat

WEST, EAST = ("ring", "hole", "thin"), ("wide", "low", "far")


def made(spark: SparkSession, city_tables: dict[str, Any], **settings: Any) -> pd.DataFrame:
    frame = agglomerations.run(city_tables, AgglomerationsSettings(**settings), Context(spark, place(), "run", Path()))
    frame = read_again(in_declared_order(frame, AGGLOMERATIONS))
    assert check_rows(frame, AGGLOMERATIONS) > 0
    return frame.toPandas().sort_values(["epoch", "extent_id", "level"], ignore_index=True)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, city_tables: dict[str, Any]) -> pd.DataFrame:
    return made(spark, city_tables, min_held_share=0.0)


def test_cities_have_together_what_units_have_inside_cities(rows: pd.DataFrame, city_tables: dict[str, Any]) -> None:
    """Every unit of which something is seen; what units do not hold is the rest."""
    inside = city_tables["extent_statistics"].where("boundary = 'moving'").toPandas().set_index(["epoch", "unit_id"])
    for epoch in MAPS:
        cities = rows[(rows["epoch"] == epoch) & (rows["level"] == "agglomeration")]
        leaves = inside.loc[epoch].loc[[*WEST[:3], *EAST[:2]]]
        assert (cities["built_m2"] * cities["held_share"]).sum() == pytest.approx(leaves["built_m2"].sum(), abs=0.1)
        assert cities["people"].sum() == pytest.approx(leaves["people"].sum(), abs=1e-4)
        extents = city_tables["urban_extent"].where(f"epoch = '{epoch}'").toPandas().set_index("extent_id")
        assert set(extents.index) == set(cities["extent_id"]), "a row for each city"
        own = extents.loc[cities["extent_id"]]
        assert cities["built_m2"].to_numpy() == pytest.approx((own["urban_m2"] + own["suburban_m2"]).to_numpy())
        assert cities["area_m2"].to_numpy() == pytest.approx(own["area_m2"].to_numpy())


def pixel_shares(city_tables: dict[str, Any], epoch: str) -> pd.DataFrame:
    """Built pixels of each city (rows) in each top unit (columns), by their centres; and the units' own."""
    built = (MAPS[epoch] >= 125) & (MAPS[epoch] != 255)
    at = Affine.translation(IMAGE.left, IMAGE.top)
    shapes = outlines()
    unit = {
        name: rasterio.features.rasterize([shapes[n] for n in parts], built.shape, transform=at) > 0
        for name, parts in (("west", WEST), ("east", EAST))
    }
    cities = city_tables["urban_extent"].where(f"epoch = '{epoch}'").toPandas()
    to_degrees, to_pixels = to_lonlat(GRID.crs), ~GRID.transform(0, 0)
    counts = {}
    for city in cities.itertuples():
        on_grid = shapely.transform(
            shapely.from_wkb(city.geometry), lambda xy: np.column_stack(to_degrees.transform(*xy.T, direction="INVERSE"))
        )
        outline = shapely.transform(on_grid, lambda xy: np.column_stack(to_pixels @ tuple(xy.T)))
        inside = (rasterio.features.rasterize([outline], built.shape, transform=at) > 0) & built
        counts[city.extent_id] = {name: (inside & on).sum() for name, on in unit.items()}
    return pd.concat([pd.DataFrame(counts).T, pd.DataFrame({name: [(built & on).sum()] for name, on in unit.items()}, index=["all"])])


@pytest.mark.parametrize("epoch", MAPS)
def test_cores_and_regions_are_those_of_whole_arrays(rows: pd.DataFrame, city_tables: dict[str, Any], epoch: str) -> None:
    counts = pixel_shares(city_tables, epoch)
    share, cities = counts.drop("all") / counts.loc["all"], counts.drop("all")
    core = {city: name for city, name in cities.idxmax(axis=1).items() if cities[name].idxmax() == city and cities.loc[city, name]}
    told = rows[rows["epoch"] == epoch].set_index(["level", "extent_id"])
    assert told.loc["city", "unit_id"].to_dict() == core and len(core) >= 1
    assert told.loc["agglomeration", "name"].dropna().to_dict() == core
    regions = {city: {name} | {other for other in share if share.loc[city, other] >= 0.5} for city, name in core.items()}
    assert told.loc["region", "units"].to_dict() == {city: len(units) for city, units in regions.items()}
    whole = city_tables["unit_statistics"].where(f"epoch = '{epoch}'").toPandas().set_index("unit_id")
    for city, units in regions.items():
        assert told.loc[("city", city), "built_m2"] == pytest.approx(whole.loc[core[city], "built_m2"], abs=1e-5)
        assert told.loc[("region", city), "built_m2"] == pytest.approx(whole.loc[sorted(units), "built_m2"].sum(), abs=1e-5)
        assert told.loc[("region", city), "area_m2"] == pytest.approx(whole.loc[sorted(units), "total_m2"].sum(), abs=1e-5)


def test_people_of_a_city_held_in_part_are_not_known(spark: SparkSession, rows: pd.DataFrame, city_tables: dict[str, Any]) -> None:
    least = rows.loc[rows["level"] == "agglomeration", "held_share"].quantile(0.5)
    strict = made(spark, city_tables, min_held_share=float(least))
    towns = strict["level"] == "agglomeration"
    assert (strict.loc[towns, "people"].notna() == (rows["people"].notna() & (rows["held_share"] >= least))[towns]).all()
    assert strict[~towns].equals(rows[~towns]), "units are whole"
    other = made(spark, {**city_tables, "unit_statistics": city_tables["unit_statistics"].repartition(5)}, min_held_share=float(least))
    assert other.equals(strict), "the same bytes for any partitioning"
