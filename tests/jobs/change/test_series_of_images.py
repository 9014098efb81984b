"""urban_series with a network of image series: what it says of a whole place, whatever the tiles; what it refuses; what waits."""

import datetime as dt
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.tables import TABLES
from jobs.change.urban_series import UrbanSeriesSettings, layer_digests, planned_series, series_pins, series_sources, urban_series
from jobs.job import Context
from jobs.mapping.built_up import BuiltUpSettings, built_up, model_sources
from jobs.mapping.scenes import ScenesSettings, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.planned_scenes import scenes_named
from models.change_integration import FREE
from models.series_predictor import load_series_predictor
from models.series_states import Steadiness, Told, series_of_maps
from tests.images_on_disk import write
from tests.random_model import BANDS, write_random_model
from tests.random_series_model import write_random_series_model
from udfs.grid import PixelBounds
from udfs.images import ImagePool
from udfs.mapping import plan_of
from udfs.rasters import NO_DATA, ONE, decode_raster
from udfs.reading import read_scene

YEARS = (2016, 2017, 2019, 2020)
HEIGHT, WIDTH = 400, 500
NARROW = 2019
"""Whose image ends in the middle."""
HELD = Steadiness(0.02, 0.25, FREE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("series")
    for number, year in enumerate(YEARS):
        width = 230 if year == NARROW else WIDTH
        for band in BANDS:
            write(folder / f"{year}_{band}.tif", patches(HEIGHT, width, 10 * number + BANDS.index(band)))
    epochs = [{"name": str(y), "start": f"{y}-01-01", "end": f"{y}-12-31", "reference": f"{y}-07-01"} for y in YEARS]
    models = {"model": write_random_model(folder / "r.safetensors"), "series": write_random_series_model(folder / "s.safetensors")}
    shared = {"sensor": "sentinel2_l2a", "bands": list(BANDS)}
    sources = [
        {**shared, "href": str(folder / f"{year}_{{band}}.tif"), "scene_id": f"s{year}", "datetime": dt.date(year, 6, 1)} for year in YEARS
    ]
    layers = {"a": {"sensor": "sentinel2_l2a", "resolution": 10.0, **models}}
    values = {"name": "series", "grid": "native", "warehouse": str(folder), "epochs": epochs, "layers": layers}
    return Place.model_validate({**values, "sections": {"scenes": {"sources": sources}}})


def patches(height: int, width: int, seed: int) -> np.ndarray:
    """DN in patches that differ from date to date, and none alike."""
    random = np.random.default_rng(seed)
    blocks = random.integers(500, 4500, (height // 20 + 1, WIDTH // 20 + 1))
    values = np.kron(blocks, np.ones((20, 20), int))[:height, :width] + random.integers(0, 90, (height, width))
    return values.astype(np.uint16)


def mapped(spark: SparkSession, place: Place, tile_px: int) -> dict[str, DataFrame]:
    context = Context(spark, place, "run", place.folder)
    found = scenes.run({}, ScenesSettings(sources=place.sources), context).persist()
    plan = tiles.run({"scenes": found}, TilesSettings(tile_px=tile_px), context).persist()
    maps = built_up.run({"scenes": found, "planned": plan}, BuiltUpSettings(), context).withColumn("input_digest", F.lit("d"))
    return {"scenes": found, "tiles": plan, "built_up": maps.persist()}


@pytest.fixture(scope="module")
def tables(spark: SparkSession, place: Place) -> Iterator[dict[str, DataFrame]]:
    yield mapped(spark, place, 512)
    spark.catalog.clearCache()


def told(spark: SparkSession, place: Place, tables: dict[str, DataFrame], partitions: int = 2) -> list[Any]:
    parted = {name: frame.repartition(partitions) for name, frame in tables.items()}
    planned = planned_series(lambda name: parted[name], ["a"], place).selectExpr("*", "'' AS settings_digest")
    settings = UrbanSeriesSettings()
    context = Context(spark, place, "run", place.folder, series_pins(place, settings))
    rows = sorted(urban_series.run({**parted, "planned": planned}, settings, context).collect(), key=lambda row: row["tile_id"])
    assert len(context.notes) == 1 and context.notes[0].startswith("layer a: model random_series version ")
    return rows


def values_of(rows: list[Any]) -> np.ndarray:
    values = np.full((len(YEARS), 512, 512), NO_DATA, np.uint8)
    for row in rows:
        side = row["tile_px"]
        block = np.s_[row["row"] * side : (row["row"] + 1) * side, row["col"] * side : (row["col"] + 1) * side]
        for number, one in enumerate(row["series"] or []):
            if one is not None:
                values[number][block] = decode_raster(one, (side, side))
    return values


def expected(place: Place, tables: dict[str, DataFrame]) -> np.ndarray:
    """The network on the whole place at once, all pairs of dates told, one integration."""
    predictor = load_series_predictor(*str(place.layers["a"].series).split("#sha256="))
    spec, side, halo = predictor.spec, 512, predictor.spec.halo
    row = tables["tiles"].first()
    named = scenes_named(tables["scenes"], tables["tiles"])
    grid = plan_of(row, named, {"a": "sentinel2_l2a"}).grid
    whole = PixelBounds(-halo, -halo, side + halo, side + halo)
    images = np.stack([read_scene(ImagePool(), named[f"s{year}"], BANDS, grid, whole)[0] for year in YEARS])
    days = torch.tensor([[float(dt.date(year, 7, 1).toordinal()) for year in YEARS]])
    edges = [(i, j) for j in range(len(YEARS)) for i in range(j)]
    offset, scale = (np.array(spec.normalisation[name], np.float32).reshape(-1, 1, 1) for name in ("offset", "scale"))
    seen = np.nan_to_num(np.clip((images - offset) / scale, -5, 5), nan=0.0)
    with torch.inference_mode():
        states, changes = (each[0].numpy() for each in predictor.network(torch.from_numpy(seen)[None], days, edges, halo))
    change = np.rint(ONE / (1 + np.exp(-(0.8 * changes - 0.3)))).astype(np.uint8)
    known = np.isfinite(images).any(1)[:, halo:-halo, halo:-halo]
    probability = np.where(known, np.rint(ONE / (1 + np.exp(-states))), NO_DATA).astype(np.uint8)
    dates = [dt.date(year, 7, 1) for year in YEARS]
    return series_of_maps(probability, [round(0.45 * ONE)] * 4, dates, HELD, Told(edges, change, 0.5)).values


def test_the_series_is_that_of_the_whole_place_whatever_the_tiles_and_partitions(
    spark: SparkSession, place: Place, tables: dict[str, DataFrame]
) -> None:
    rows = told(spark, place, mapped(spark, place, 256))
    values = values_of(rows)
    np.testing.assert_array_equal(values, values_of(told(spark, place, tables, 5)))
    oracle = expected(place, tables)
    np.testing.assert_array_equal(values == NO_DATA, oracle == NO_DATA)
    close = np.abs(values.astype(int) - oracle) <= 1
    assert close.mean() > 0.999, "rounding to 1/250 may tip a tie"
    known = values[:, :HEIGHT, :WIDTH]
    built = (known >= 125) & (known != NO_DATA)
    assert 0.02 < built.mean() < 0.98 and (built[0] != built[1]).mean() > 0.01
    assert (known[2, :, 230:] == NO_DATA).all() and (known[3, :, 230:] != NO_DATA).all()
    models = {str(address).split("=")[1] for address in (place.layers["a"].model, place.layers["a"].series)}
    assert all(set(row["model_sha256"]) == models for row in rows)
    assert {row["status"] for row in rows} == {"done"}


def test_maps_stand_where_they_show_nothing_or_water(spark: SparkSession, place: Place, tables: dict[str, DataFrame]) -> None:
    def hidden(data: bytes) -> bytes:
        raster = np.frombuffer(zlib.decompress(data), np.uint8).reshape(512, 512).copy()
        raster[:60, :60], raster[60:90, :60] = NO_DATA, 0
        return zlib.compress(raster.tobytes())

    hide = F.udf(hidden, "binary")
    masked = {**tables, "built_up": tables["built_up"].withColumn("probability", hide("probability")).persist()}
    before, after = values_of(told(spark, place, tables)), values_of(told(spark, place, masked))
    assert (after[:, :60, :60] == NO_DATA).all()
    assert (after[:, 60:90, :60] < 125).all() and (before[:, 60:90, :60] >= 125).any()
    np.testing.assert_array_equal(after[:, 90:], before[:, 90:])


def test_an_image_that_is_gone_since_its_map_was_made_ends_the_series(
    spark: SparkSession, place: Place, tables: dict[str, DataFrame]
) -> None:
    gone = tables["scenes"].withColumn("hrefs", F.transform_values("hrefs", lambda _, href: F.regexp_replace(href, "2017_", "gone_")))
    (row,) = told(spark, place, {**tables, "scenes": gone})
    assert (row["status"], row["error_class"]) == ("quarantined", "not_found")
    assert row["message"].startswith("epoch 2017: scene s2017: ") and row["series"] is None


def test_models_in_each_others_place_are_refused_in_one_line(place: Place) -> None:
    layer = place.layers["a"]

    def with_layer(**changes: Any) -> Place:
        return place.model_copy(update={"layers": {"a": layer.model_copy(update=changes)}})

    with pytest.raises(InputError, match=r"layer a: model random_series sees image series; name it as layers\.a\.series"):
        model_sources(with_layer(model=layer.series), BuiltUpSettings())
    with pytest.raises(InputError, match=r"layer a: model random sees single images"):
        series_sources(with_layer(series=layer.model), UrbanSeriesSettings())
    assert series_sources(with_layer(beside="sentinel1_grd"), UrbanSeriesSettings()).keys() == {"a"}, "it sees the main sensor alone"


def test_the_model_decides_the_digest_and_places_without_one_keep_theirs(place: Place) -> None:
    settings = UrbanSeriesSettings()
    plain = place.model_copy(update={"layers": {"a": place.layers["a"].model_copy(update={"series": None})}})
    assert layer_digests(place, settings) != layer_digests(plain, settings)
    assert layer_digests(place, UrbanSeriesSettings(composite="latest")) != layer_digests(place, settings)
    assert series_pins(plain, settings) == {} and "composite" not in settings.digested()
    assert TABLES["urban_series"].key == ("layer", "tile_id")
