"""A layer of Sentinel-2 with Sentinel-1 beside it, from scenes to probabilities: both, and either alone where the other has no image."""

import datetime as dt
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Epoch, Layer, Place, Source
from conf.tables import BUILT_UP, TILES, TRAINING_TILES
from jobs.digests import origin_now
from jobs.footprint_readers import FootprintSource
from jobs.job import Context, declared_jobs
from jobs.layer_models import check_images
from jobs.mapping.built_up import BuiltUpSettings, built_up, layer_digests, model_sources
from jobs.mapping.scenes import ScenesSettings, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.table_checks import check_rows, check_schema
from jobs.training.footprints import FootprintsSettings, footprints
from jobs.training.training_tiles import TrainingTilesSettings, training_sources, training_tiles
from models.bundle import Beside, read_spec
from models.predictor import load_predictor
from tests.random_model import RADAR, write_random_model
from udfs.catalogs import scenes_of
from udfs.labels import perceptual_hash
from udfs.rasters import NO_DATA, decode_raster
from udfs.simulation.catalog import write_catalog
from udfs.simulation.scene_files import VECTORS, YEAR, CityFiles, city_of, done, year_images

OPTICAL = ("B02", "B08")
EPOCH = Epoch(name="two_years", start=dt.date(2019, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2019, 12, 1))
SIZE, HALO, TILE_PX = 256, 32, 256
CLEAR = (2, 4, 5, 6, 7)


class Ground(NamedTuple):
    """A simulated city in a folder, and a place on it."""

    place: Place
    imagery: Path
    model: str


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Two years of images, of Sentinel-1 one a year; 2.56 km, over four tiles."""
    folder = tmp_path_factory.mktemp("city")
    files = CityFiles(11, "default", 10.0 * SIZE, 2019, 2020, 100.0, 0.5, str(folder / "test"))
    for kind, year in ((YEAR, 2019), (YEAR, 2020), (VECTORS, 2020)):
        done(files, kind, year)
    city = city_of(files)
    write_catalog(files.imagery, city, [image for year in (2019, 2020) for image in year_images(city, year)])
    model = write_random_model(folder / "two.safetensors", OPTICAL, RADAR)
    return Ground(place_with(folder, beside="sentinel1_grd", model=model), files.imagery, model)


def place_with(folder: Path, **layer: Any) -> Place:
    layers = {"a": Layer(**{"sensor": "sentinel2_l2a", "resolution": 10.0, **layer})}
    return Place(name="test", warehouse=str(folder), epochs=(EPOCH,), layers=layers)


@pytest.fixture(scope="module")
def found(spark: SparkSession, ground: Ground) -> DataFrame:
    settings = ScenesSettings(sources=(Source(stac=str(ground.imagery / "catalog.json")),))
    return scenes.run({}, settings, Context(spark, ground.place, "run", ground.place.folder)).persist()


def planned(spark: SparkSession, place: Place, found: DataFrame) -> DataFrame:
    plan = tiles.run({"scenes": found}, TilesSettings(tile_px=TILE_PX), Context(spark, place, "run", place.folder)).persist()
    check_schema(plan, TILES)
    check_rows(plan, TILES)
    return plan


def mapped(spark: SparkSession, place: Place, found: DataFrame, plan: DataFrame, partitions: int = 2) -> list[Any]:
    context = Context(spark, place, "run", place.folder)
    result = built_up.run({"scenes": found, "planned": plan}, BuiltUpSettings(partitions=partitions), context)
    rows = result.withColumns({"input_digest": F.lit("d"), "run_id": F.lit("r")}).select(*BUILT_UP.names).persist()
    check_schema(rows, BUILT_UP)
    check_rows(rows, BUILT_UP)
    return sorted(rows.collect(), key=lambda row: row["tile_id"])


def optical(imagery: Path) -> NDArray[np.float32]:
    """The median of clear dates, by rasterio and numpy alone."""
    dates = []
    for folder in sorted(imagery.glob("S2_*")):
        with rasterio.open(folder / "bands_10m.tif") as fine, rasterio.open(folder / "scl_20m.tif") as classes:
            names = list(fine.descriptions)
            dn = np.stack([fine.read(names.index(band) + 1) for band in OPTICAL])
            clear = np.isin(np.kron(classes.read(1), np.ones((2, 2), np.uint8)), CLEAR) & (dn > 0).all(axis=0)
        dates.append(np.where(clear, dn.astype(np.float32) * np.float32(1e-4) - np.float32(0.1), np.nan))
    return np.asarray(np.nanmedian(dates, axis=0), np.float32)


def radar(imagery: Path) -> NDArray[np.float32]:
    """The mean power of both dates, in dB."""
    power = [10 ** (rasterio.open(folder / "backscatter_10m.tif").read() / 10.0) for folder in sorted(imagery.glob("S1_*"))]
    assert len(power) == 2
    return np.asarray(10 * np.log10(np.mean(np.asarray(power, np.float64), axis=0)), np.float32)


def windows(values: NDArray[np.float32], rows: list[Any], ground: Ground, halo: int = HALO) -> dict[str, NDArray[np.float32]]:
    """Of each tile what a network sees of an image of the whole city, NaN beyond it."""
    city = city_of(CityFiles(11, "default", 10.0 * SIZE, 2019, 2020, 100.0, 0.5, "")).transform(10.0)
    cut = {}
    for row in rows:
        left, top = round((row["transform"][2] - city.c) / 10), round((city.f - row["transform"][5]) / 10)
        seen = np.full((len(values), TILE_PX + 2 * halo, TILE_PX + 2 * halo), np.nan, np.float32)
        y, x = (np.arange(start - halo, start + TILE_PX + halo) for start in (top, left))
        ys, xs = (np.flatnonzero((at >= 0) & (at < SIZE)) for at in (y, x))
        seen[:, ys[:, None], xs] = values[:, y[ys][:, None], x[xs]]
        cut[row["tile_id"]] = seen
    return cut


def expected(values: NDArray[np.float32], rows: list[Any], ground: Ground) -> dict[str, NDArray[np.uint8]]:
    """Probabilities of tiles, by a predictor of its own."""
    path, _, sha256 = ground.model.partition("#sha256=")
    predictor, inner = load_predictor(path, sha256), slice(HALO, -HALO)
    seen = windows(values, rows, ground)
    return {
        name: np.where(np.isnan(window[:, inner, inner]).all(axis=0), NO_DATA, predictor.predict(window[None])[0])
        for name, window in seen.items()
    }


def agree(rows: list[Any], values: NDArray[np.float32], ground: Ground) -> None:
    """No more than a last digit of a composite shows, in a pixel of ten thousand."""
    wanted = expected(values, rows, ground)
    assert len(rows) == 4 and {row["status"] for row in rows} == {"done"}
    for row in rows:
        result = decode_raster(row["probability"], (TILE_PX, TILE_PX)).astype(int)
        np.testing.assert_array_equal(result == NO_DATA, wanted[row["tile_id"]] == NO_DATA)
        away = np.abs(result - wanted[row["tile_id"]])
        assert away.max() <= 1 and (away > 0).mean() < 1e-4
        assert row["valid_share"] == (result != NO_DATA).mean()


def identity(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row[column.name] for column in BUILT_UP.identity) for row in rows]


def test_both_sensors_and_either_alone(spark: SparkSession, ground: Ground, found: DataFrame) -> None:
    s2, s1 = optical(ground.imagery), radar(ground.imagery)
    plan = planned(spark, ground.place, found)
    both, seven = (mapped(spark, ground.place, found, plan, partitions) for partitions in (1, 7))
    assert identity(both) == identity(seven)
    agree(both, np.concatenate([s2, s1]), ground)
    named = {name[:2] for row in both for name in row["scenes_used"]}
    assert named == {"S1", "S2"} and {len(row["scenes_failed"]) for row in both} == {0}
    for withheld, values in (("sentinel1_grd", [s2, np.full_like(s1, np.nan)]), ("sentinel2_l2a", [np.full_like(s2, np.nan), s1])):
        there = found.where(F.col("sensor") != withheld)
        rows = mapped(spark, ground.place, there, planned(spark, ground.place, there))
        agree(rows, np.concatenate(values), ground)
        assert identity(rows) != identity(both)
        assert len({name[:2] for row in rows for name in row["scenes_used"]}) == 1


def test_labelled_ground_has_the_channels_of_both(spark: SparkSession, ground: Ground, found: DataFrame) -> None:
    context = Context(spark, ground.place, "run", ground.place.folder)
    source = FootprintSource(kind="microsoft", path=str(ground.place.folder / "footprints" / "dataset-links.csv"))
    settings = TrainingTilesSettings(bands=(*OPTICAL, "VH"), least_valid=0.01, least_fit=0.0, block_km=50.0, choose=0.0, judge=0.0)
    s2, s1 = optical(ground.imagery), radar(ground.imagery)[1:]
    training_sources(ground.place, settings)
    known = footprints.run({"tiles": planned(spark, ground.place, found)}, FootprintsSettings(sources=(source,)), context).persist()
    only_radar = found.where(F.col("sensor") != "sentinel2_l2a")
    for there, values in ((found, [s2, s1]), (only_radar, [np.full_like(s2, np.nan), s1])):
        plan = planned(spark, ground.place, there)
        rows = training_tiles.run({"scenes": there, "tiles": plan, "footprints": known}, settings, context)
        check_schema(rows, TRAINING_TILES)
        check_rows(rows, TRAINING_TILES)
        wanted = windows(np.concatenate(values), plan.collect(), ground, halo=0)
        used = rows.where("split = 'train'").collect()
        assert len(used) >= 3
        for row in used:
            assert row["band_names"] == [*OPTICAL, "VH"]
            made = np.frombuffer(row["values"], np.float16).reshape(3, TILE_PX, TILE_PX)
            np.testing.assert_allclose(made, wanted[row["tile_id"]].astype(np.float16), rtol=2e-3)
            weights = np.frombuffer(row["weights"], np.uint8).reshape(TILE_PX, TILE_PX)
            np.testing.assert_array_equal(weights > 0, ~np.isnan(wanted[row["tile_id"]]).all(axis=0))
            assert row["hash"] == perceptual_hash(wanted[row["tile_id"]][2:] if there is only_radar else wanted[row["tile_id"]][:2])


def test_declarations_of_layer_and_model_must_fit(ground: Ground, tmp_path: Path) -> None:
    folder, one = tmp_path, write_random_model(tmp_path / "one.safetensors")
    two = write_random_model(tmp_path / "two.safetensors", OPTICAL, Beside(("sentinel2_l1c",), ("B11",), "reflectance"))
    linear = write_random_model(tmp_path / "linear.safetensors", OPTICAL, Beside(("sentinel1_linear",), ("VV",)))
    for layer, says in (
        ({"model": ground.model}, r"sees a second sensor; set layers\.a\.beside to one of sentinel1_grd"),
        ({"model": one, "beside": "sentinel1_grd"}, r"sees one sensor only; take layers\.a\.beside out"),
        ({"model": ground.model, "beside": "rgb"}, r"random, beside sentinel2_l2a, is for sentinel1_grd \(decibel\), not rgb"),
        ({"model": linear, "beside": "sentinel1_linear"}, r"is for sentinel1_linear \(decibel\), not"),
    ):
        with pytest.raises(InputError, match=says):
            model_sources(place_with(folder, **layer), BuiltUpSettings())
    for beside, says in (("rgb", "the layer's own sensor"), ("sentinel9", "no such sensor; use one of")):
        with pytest.raises(ValidationError, match=says):
            Layer(sensor="rgb", beside=beside, resolution=1)
    assert model_sources(ground.place, BuiltUpSettings()).keys() == {"a"}
    with pytest.raises(InputError, match=r"built_up\.beside_composite despeckled is for backscatter"):
        model_sources(place_with(folder, model=two, beside="sentinel2_l1c"), BuiltUpSettings(beside_composite="despeckled"))


def test_images_of_both_sensors_need_the_models_bands(ground: Ground) -> None:
    scenes = scenes_of((Source(stac=str(ground.imagery / "catalog.json")),), ground.place.folder)
    spec = {"a": read_spec(ground.model.partition("#")[0])}
    check_images(ground.place, {"a": scenes}, spec)
    lacking = [
        replace(scene, hrefs={name: href for name, href in scene.hrefs.items() if scene.sensor != "sentinel1_grd" or name != "VH"})
        for scene in scenes
    ]
    with pytest.raises(InputError, match=r"scene S1_\d+ has no band VH"):
        check_images(ground.place, {"a": lacking}, spec)


def test_what_is_beside_decides_digests_and_where_there_is_nothing_shows_in_none(ground: Ground, tmp_path: Path) -> None:
    def digests(place: Place, **settings: Any) -> tuple[str, str]:
        chosen = BuiltUpSettings(**settings)
        return layer_digests(place, chosen)["a"], origin_now(declared_jobs()["tiles"], place, {}, None, {}).input_digest

    alone = place_with(tmp_path, model=ground.model)
    assert digests(alone) == digests(alone, beside_composite="despeckled")
    assert digests(ground.place)[0] != digests(alone)[0] and digests(ground.place)[1] != digests(alone)[1]
    assert digests(ground.place)[0] != digests(ground.place, beside_composite="despeckled")[0]
    assert "beside_composite" not in BuiltUpSettings().digested() and "beside_composite" not in TrainingTilesSettings().digested()
    assert BuiltUpSettings(beside_composite="mean").digested()["beside_composite"] == "mean", "a change needs --recompute"


def test_bands_to_learn_from_are_those_of_both(ground: Ground, tmp_path: Path) -> None:
    for place, bands, says in (
        (ground.place, ("B02", "HH"), "sentinel2_l2a and sentinel1_grd have no band HH"),
        (ground.place, ("B02",), "none of sensor sentinel1_grd"),
        (place_with(tmp_path, beside="sentinel2_l1c"), (), "both sensors have a band B01"),
    ):
        with pytest.raises(InputError, match=says):
            training_sources(place, TrainingTilesSettings(bands=bands, beside_composite="median"))


def test_an_epoch_without_one_of_the_sensors_is_said(
    spark: SparkSession, ground: Ground, found: DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jobs"):
        planned(spark, ground.place, found)
        assert not caplog.records
        planned(spark, ground.place, found.where(F.col("sensor") != "sentinel1_grd"))
    assert "layer a: no scene of sentinel1_grd in epoch two_years" in caplog.text
