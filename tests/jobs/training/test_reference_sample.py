"""A sample drawn from a made image: the same however it is cut, as one array gives it, and a map judged by its answers."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from scipy import ndimage

from conf.errors import InputError
from conf.place import CONF, Epoch, Layer, Place, Source, load_place
from conf.tables import BUILT_UP
from jobs.job import Context
from jobs.mapping.scenes import ScenesSettings, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.training.reference_sample import ReferenceSampleSettings, reference_sample, sample_sources
from tests.done_tiles import filled
from tests.images_on_disk import write
from udfs.grid import PixelBounds
from udfs.rasters import NO_DATA, encode_raster
from udfs.reference_sample import pixel_keys
from udfs.strata import STRATA, binned, counted, cuts_of, stratified

EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
HEIGHT, WIDTH, PIXEL = 330, 620, 30.0
POINTS = 60


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    """swir1, nir, red, green: vegetation with a town in the north-west, a river bend in the east, no data in a corner."""
    random = np.random.default_rng(8)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    town = (ndimage.gaussian_filter(random.normal(size=(HEIGHT, WIDTH)), 2) > 0.02) & (rows + cols < 330)
    river = np.abs(cols - 480 - 0.0006 * (rows - 90) ** 2) < 14
    values = np.select([river[None], town[None]], [np.array([20, 30, 50, 60])[:, None, None], np.array([140, 100, 110, 90])[:, None, None]],
                       np.array([80, 160, 50, 60])[:, None, None])  # fmt: skip
    noisy = (values + random.normal(scale=9, size=values.shape)).clip(1, 255).astype(np.uint8)
    noisy[:, 290:, 570:] = 0
    return noisy


@pytest.fixture(scope="module")
def place(image: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("sample")
    write(folder / "image.tif", image, pixel=PIXEL, nodata=0)
    layer = Layer(sensor="landsat_stretched", resolution=PIXEL, feeds="built_m2")
    source = {"sensor": "landsat_stretched", "href": str(folder / "image.tif"), "datetime": "2020-05-04"}
    return Place(
        name="made", warehouse=str(folder), grid="native", epochs=(EPOCH,), layers={"a": layer}, sections={"scenes": {"sources": [source]}}
    )


def planned(spark: SparkSession, place: Place, tile_px: int) -> dict[str, DataFrame]:
    context = Context(spark, place, "run", place.folder)
    sources = tuple(Source(**each) for each in place.sections["scenes"]["sources"])
    found = scenes.run({}, ScenesSettings(sources=sources), context).persist()
    return {"scenes": found, "tiles": tiles.run({"scenes": found}, TilesSettings(tile_px=tile_px), context).persist()}


@pytest.fixture(scope="module")
def tables(spark: SparkSession, place: Place) -> dict[str, DataFrame]:
    return planned(spark, place, 256)


def run(spark: SparkSession, place: Place, tables: dict[str, DataFrame], **settings: Any) -> dict[str, float]:
    wanted = ReferenceSampleSettings(**{"points": POINTS, "least": 8, "context_px": 33, **settings})
    sample_sources(place, wanted)
    context = Context(spark, place, "run", place.folder)
    reference_sample.run(tables, wanted, context)
    return context.figures


@pytest.fixture(scope="module")
def folder(spark: SparkSession, place: Place, tables: dict[str, DataFrame]) -> Path:
    run(spark, place, tables, name="first")
    return place.folder / "samples" / "first"


def bands_of(image: NDArray[np.uint8], tables: dict[str, DataFrame]) -> dict[str, NDArray[np.float32]]:
    """Stretched values as the scene's own percentiles say."""
    stretch = tables["scenes"].first()["stretch"]
    data = (image != 0).any(axis=0)
    found = {}
    for name, values in zip(("swir1", "nir", "red", "green"), image, strict=True):
        low, high = stretch[name]
        found[name] = np.where(data, ((values - np.float32(low)) / np.float32(high - low)).clip(0, 1), np.nan).astype(np.float32)
    return found


def test_points_and_strata_are_those_of_the_whole_image(image: NDArray[np.uint8], tables: dict[str, DataFrame], folder: Path) -> None:
    found = binned({name: np.pad(values, 1, constant_values=np.nan) for name, values in bands_of(image, tables).items()}, "ndbi_ndvi")
    cuts = cuts_of(counted(found, np.ones_like(found.built, bool)))
    whole = stratified(found, cuts)
    strata = pd.read_csv(folder / "strata.csv").set_index("stratum")
    points = pd.read_csv(folder / "points.csv")
    grid = points.loc[0, "grid"]
    keys = pixel_keys(1, grid, PixelBounds(0, 0, HEIGHT, WIDTH))
    assert set(strata.index) == set(STRATA) and strata["points"].sum() == len(points) == POINTS
    for number, name in enumerate(STRATA):
        rows, cols = np.nonzero(whole == number)
        assert strata.loc[name, "pixels"] == len(rows)
        assert strata.loc[name, "area_m2"] == pytest.approx(len(rows) * PIXEL**2, rel=2e-3)
        first = np.argsort(keys[rows, cols])[: strata.loc[name, "points"]]
        mine = points[points["stratum"] == name]
        assert set(zip(mine["row"], mine["col"], strict=True)) == set(zip(rows[first], cols[first], strict=True))
    assert set(points["scenes"]) == {"image"} and set(points["dates"]) == {"2020-05-04"}


def test_nothing_tells_strata_by_order_and_forms_are_blank(folder: Path) -> None:
    points = pd.read_csv(folder / "points.csv")
    assert list(points["point_id"]) == list(range(1, POINTS + 1))
    order = points.groupby("stratum")["point_id"].mean()
    assert (abs(order - POINTS / 2) < POINTS / 4).all()
    blank = pd.read_csv(folder / "answers.csv")
    assert list(blank.columns) == ["point_id", "answer", "note"] and blank["answer"].isna().all()
    sheets = sorted((folder / "sheets").iterdir())
    assert [sheet.name for sheet in sheets] == [f"sheet_{number:02d}.png" for number in range(1, 6)]


def test_no_cut_shows(spark: SparkSession, place: Place, tables: dict[str, DataFrame], folder: Path) -> None:
    parted = {**planned(spark, place, 512), "scenes": tables["scenes"].repartition(3)}
    run(spark, place, parted, name="second")
    for name in ("points.csv", "strata.csv", "sheets/sheet_01.png"):
        assert (folder.parent / "second" / name).read_bytes() == (folder / name).read_bytes(), name


def mapped(spark: SparkSession, tables: dict[str, DataFrame], built: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> DataFrame:
    """`built_up` with these pixels, no data where hidden."""
    values = np.full((512, 768), NO_DATA, np.uint8)
    values[:HEIGHT, :WIDTH] = np.where(hidden, NO_DATA, np.where(built, 200, 50))
    rows = [
        {
            **{name: row[name] for name in ("layer", "epoch", "tile_id", "grid", "crs", "tile_px", "row", "col", "transform")},
            "status": "done", "threshold": 100, "model_name": "m", "model_version": "3", "model_sha256": "ab" * 32,
            "probability": encode_raster(values[row["row"] * 256 :, row["col"] * 256 :][:256, :256].copy()),
        }
        for row in tables["tiles"].collect()
    ]  # fmt: skip
    return spark.createDataFrame(filled(BUILT_UP, rows), BUILT_UP.ddl)


def answer(folder: Path, name: str, built: "pd.Series[bool]", **changed: str) -> None:
    answers = built.map({True: "built", False: "not_built"})
    for point, other in changed.items():
        answers[int(point[1:])] = other
    answers.rename("answer").rename_axis("point_id").reset_index().assign(note="").to_csv(folder / name, index=False)


def weights(points: pd.DataFrame, strata: pd.DataFrame) -> "pd.Series[float]":
    """Share of the ground that each point stands for."""
    return points["stratum"].map(strata["area_m2"] / strata["area_m2"].sum() / points["stratum"].value_counts())


def test_a_map_and_the_indices_are_judged_by_the_answers(
    spark: SparkSession, place: Place, tables: dict[str, DataFrame], image: NDArray[np.uint8], folder: Path
) -> None:
    points = pd.read_csv(folder / "points.csv").set_index("point_id")
    town = (image[0] > 120) & (image[2] > 80)
    told = pd.Series(town[points["row"], points["col"]], index=points.index)
    answer(folder, "a.csv", told)
    answer(folder, "b.csv", told, p5="unsure", p9="built" if not told[9] else "not_built")
    told[[9]].map({True: "built", False: "not_built"}).rename("answer").rename_axis("point_id").to_csv(folder / "c.csv")
    hidden = np.zeros_like(town)
    hidden[points.loc[7, "row"], points.loc[7, "col"]] = True
    wrong = town.copy()
    wrong[points.loc[3, "row"], points.loc[3, "col"]] ^= True
    settings = {"name": "first", "answers": ("a.csv", "b.csv"), "resolved": "c.csv"}
    figures = run(spark, place, {**tables, "built_up": mapped(spark, tables, wrong, hidden)}, **settings)
    assert (figures["points"], figures["disputed"], figures["left_out"]) == (POINTS, 2, 1)
    assert 0.85 < figures["kappa"] < 1
    strata = pd.read_csv(folder / "strata.csv").set_index("stratum")
    used = points.drop([5, 7])
    weight = weights(used, strata)
    assert figures["built_up_overall"] == pytest.approx(1 - weight[3])
    assert figures["built_up_no_map_data"] == 1
    assert figures["built_up_f1_lower"] < figures["built_up_f1"] < figures["built_up_f1_upper"]
    assert figures["built_up_built_km2"] == pytest.approx((weight * told[used.index]).sum() * strata["area_m2"].sum() / 1e6)
    bands = bands_of(image, tables)
    for name in ("ndbi_ndvi", "ndvi"):
        found = binned(bands, name)
        looks = found.built >= cuts_of(counted(found, np.ones_like(town))).built
        right = (looks[points["row"], points["col"]] == told).drop(5)
        assert figures[f"otsu_{name}_overall"] == pytest.approx((right * weights(points.drop(5), strata)).sum())
    report = json.loads((place.folder / "evaluation" / "first_sample.json").read_text())
    assert report["models"][0]["model_sha256"] == "ab" * 32 and report["left_out"] == [5] and report["disputed"] == [5, 9]


def test_a_committed_sample_is_drawn_again_from_its_image(spark: SparkSession, tmp_path: Path, real_data: Path) -> None:
    olinda = load_place("olinda", (f"warehouse={tmp_path}",), frozenset({"scenes", "units", "population"}))
    run(spark, olinda, planned(spark, olinda, 256), points=168, least=24)
    kept, drawn = (CONF / "reference" / "olinda", olinda.folder / "samples" / "reference")
    key = ["point_id", "stratum", "row", "col", "grid"]
    pd.testing.assert_frame_equal(pd.read_csv(drawn / "points.csv")[key], pd.read_csv(kept / "points.csv")[key])
    pd.testing.assert_frame_equal(pd.read_csv(drawn / "strata.csv"), pd.read_csv(kept / "strata.csv"))


def test_what_does_not_fit_is_refused_before_anything_is_written(place: Place, folder: Path) -> None:
    with pytest.raises(InputError, match=r"points\.csv is there"):
        sample_sources(place, ReferenceSampleSettings(name="first"))
    with pytest.raises(InputError, match="draw the sample first"):
        sample_sources(place, ReferenceSampleSettings(name="none", answers=("a.csv",)))
    with pytest.raises(InputError, match="no such epoch; use one of 2020"):
        sample_sources(place, ReferenceSampleSettings(epoch="1999"))
    with pytest.raises(InputError, match="no such layer; use one of a"):
        sample_sources(place, ReferenceSampleSettings(layer="b"))
    rgb = place.model_copy(update={"layers": {"a": Layer(sensor="rgb", resolution=PIXEL)}})
    with pytest.raises(InputError, match="sensor rgb has no nir band"):
        sample_sources(rgb, ReferenceSampleSettings(layer="a"))
    later = Epoch(name="2021", start=dt.date(2021, 1, 1), end=dt.date(2021, 12, 31), reference=dt.date(2021, 7, 1))
    with pytest.raises(InputError, match="is of layer a, epoch 2020"):
        sample_sources(place.model_copy(update={"epochs": (EPOCH, later)}), ReferenceSampleSettings(name="first", answers=("answers.csv",)))
