"""Public data sets of series: look-alikes are listed, read and learned from as the real ones would be."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
import torch
from affine import Affine

from conf.errors import InputError
from conf.windows import CHANGES
from jobs.recipes import Group, _orders, held_out_orders, orders, read_recipe, untrained_spec
from models.augmentation import Augmentation
from models.bundle import ModelSpec
from models.course import Course
from models.series import ImageSeries, series_of
from models.series_crops import SeriesDraw
from models.series_fitting import fit_series
from models.windows import Window
from udfs.series_datasets import labelled_image, listed
from udfs.training_windows import MAKERS

# Images of WUSU and TSCD say nothing of where they lie.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 96
UTM = Affine(4, 0, 500_000, 0, -4, 4_000_000)
RANDOM = np.random.default_rng(11)


def town(seed: int, dates: int) -> np.ndarray:
    """Blocks of 8 pixels that are built one after the other, (dates, SIDE, SIDE)."""
    order = np.random.default_rng(seed).integers(0, 2 * dates, (SIDE // 8, SIDE // 8))
    return np.stack([np.kron(order <= date, np.ones((8, 8))) > 0 for date in range(dates)])


def colours(built: np.ndarray) -> np.ndarray:
    """Red, green and blue as bytes."""
    noise = RANDOM.integers(0, 30, (3, *built.shape))
    return (np.where(built, [[[190]], [[150]], [[140]]], [[[40]], [[90]], [[30]]]) + noise).astype(np.uint8)


def write(path: Path, bands: np.ndarray, driver: str = "GTiff", **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": "uint8"}
    with rasterio.open(path, "w", driver=driver, **shape, **more) as file:
        file.write(bands)


def spacenet7(folder: Path, sites: int = 5) -> None:
    """Monthly mosaics in EPSG:32633 of 4 m, masked at the left; buildings in degrees."""
    for site in range(sites):
        name = f"L15-{site:04d}E"
        for month, built in enumerate(town(site, 3), 1):
            alpha = np.full((1, SIDE, SIDE), 255, np.uint8)
            alpha[:, :, :7] = 0
            stem = f"global_monthly_2018_{month:02d}_mosaic_{name}"
            profile = {"crs": "EPSG:32633", "transform": UTM, "photometric": "RGB"}
            write(folder / "train" / name / "images_masked" / f"{stem}.tif", np.concatenate([colours(built), alpha]), **profile)
            target = folder / "train" / name / "labels_match" / f"{stem}_Buildings.geojson"
            target.parent.mkdir(exist_ok=True)
            target.write_text(in_degrees(built))


def in_degrees(built: np.ndarray) -> str:
    """GeoJSON of what is built."""
    shapes = [shapely.geometry.shape(shape) for shape, value in rasterio.features.shapes(built.astype(np.uint8), transform=UTM) if value]
    frame = geopandas.GeoDataFrame({"Id": range(len(shapes))}, geometry=shapes, crs="EPSG:32633")
    return str(frame.to_crs("EPSG:4326").to_json())


def orders_of(kind: str, folder: Path, **more: Any) -> list[dict[str, Any]]:
    group = Group.model_validate({"kind": kind, "split": "train", "folder": str(folder), **more})
    return json.loads(json.dumps(_orders(group)))


def series_by(orders: list[dict[str, Any]]) -> list[ImageSeries]:
    made = [MAKERS[order["kind"]](order) for order in orders]
    told = [
        (one.source, one.split, one.share, one.values.astype(np.float16), one.labels, one.weights, "", one.ground, one.date, one.tells)
        for one in made
    ]
    return series_of(Window(*each) for each in told)


def test_spacenet7_months_are_dates_and_its_mask_hides(tmp_path: Path) -> None:
    spacenet7(tmp_path)
    items = listed("spacenet7", tmp_path, "train")
    assert len(items) == 15 and (items[1].ground, items[1].date) == ("L15-0000E", "2018-02-01")
    made = labelled_image({"kind": "spacenet7", **items[1]._asdict()})
    built = town(0, 3)[1]
    np.testing.assert_array_equal(made.labels > 0, built)
    assert np.isnan(made.values[:, :, :7]).all() and not made.weights[:, :7].any()
    assert 0.7 < made.values[0][built & (made.weights > 0)].mean() < 0.85
    rows = labelled_image({"kind": "spacenet7", **items[1]._asdict(), "rows": [0, 48]})
    assert rows.weights[:48, 7:].all() and not rows.weights[48:].any()


def test_sites_are_dealt_so_that_some_are_never_seen(tmp_path: Path) -> None:
    spacenet7(tmp_path)
    learned, held = (orders_of("spacenet7", tmp_path, folds=folds) for folds in ([0, 1, 2, 3], [4]))
    assert {order["ground"] for order in held} == {"spacenet7/L15-0004E"}
    assert not {order["ground"] for order in learned} & {order["ground"] for order in held} and len(learned) + len(held) == 15
    assert held[0]["source"] == "spacenet7/L15-0004E 2018-01-01"


def test_wusu_buildings_are_two_of_its_classes(tmp_path: Path) -> None:
    built, classes = town(3, 3), RANDOM.integers(4, 9, (SIDE, SIDE)).astype(np.uint8)
    for year, states in zip((15, 16, 18), built, strict=True):
        write(tmp_path / "train" / "HS" / "imgs" / f"HS{year}_7.tif", colours(states))
        low_and_high = np.where(np.arange(SIDE) % 2, 2, 3).astype(np.uint8)
        write(tmp_path / "train" / "HS" / "class" / f"HS{year}_7.tif", np.where(states, low_and_high, classes)[None])
    (series,) = series_by(orders_of("wusu", tmp_path))
    assert series.source == "wusu/HS_7" and [day.isoformat() for day in series.dates] == ["2015-07-01", "2016-07-01", "2018-07-01"]
    np.testing.assert_array_equal(series.labels > 0, built)


def tscd(folder: Path, index: int) -> np.ndarray:
    """What has changed since 2016; JPEG, so that labels are nearly 0 and 255."""
    built = town(index, 4)
    years = (2016, 2018, 2020, 2022)
    for number, year in enumerate(years):
        write(folder / "train" / "imgs" / f"{index}_{year}.jpg", colours(built[number]), "JPEG", quality=95)
        if number:
            changed = (built[number] != built[number - 1])[None].astype(np.uint8) * np.uint8(255)
            write(folder / "train" / "change_labels_adj" / f"{index}_{years[number - 1]}-{year}.jpg", changed, "JPEG", quality=95)
    return built != built[0]


def test_tscd_tells_changes_and_a_network_learns_them(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    since = [tscd(tmp_path, index) for index in (1, 2, 3)]
    series = series_by(orders_of("tscd", tmp_path))
    assert [each.tells for each in series] == [CHANGES] * 3
    np.testing.assert_array_equal(series[1].labels > 0, since[1])
    architecture = {"kind": "series", "in_channels": 3, "widths": [8, 8], "decoder": [8], "dilation": 1, "fold": 1, "hidden": [8, 8]}
    normal = {"offset": [0.4] * 3, "scale": [0.2] * 3, "clip": 5.0}
    spec = ModelSpec(
        "tiny", "l", ("red", "green", "blue"), ("rgb",), (0.1, 5), "rgb", 64, 16, 0.5, {**architecture, "heads": 2, "layers": 1}, normal
    )
    course = Course(steps=80, batch=2, side=48, learning_rate=0.01, looks=1, half=False, keep="last", augmentation=Augmentation())
    splits = [each._replace(split=split) for each, split in zip(series, ("train", "train", "choose"), strict=True)]
    fitted = fit_series(spec, splits, course, SeriesDraw(least_dates=2, most_dates=4, missing=0.0), "best_f1", lambda text: None)
    assert fitted.figures["change_f1"] > 0.9 and fitted.spec.change["states"] == 0
    assert "f1" not in fitted.figures and "series_segmentation" not in fitted.figures


def test_the_recipe_of_spacenet7_judges_on_sites_that_it_has_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spacenet7(tmp_path)
    monkeypatch.setenv("SPACENET7", str(tmp_path))
    recipe = read_recipe("buildings_spacenet7")
    assert untrained_spec(recipe).of_series
    learned, held = ([json.loads(text) for text in texts(recipe)] for texts in (orders, held_out_orders))
    sites = [{order["ground"] for order in each} for each in (learned, held)]
    assert [len(each) for each in sites] == [4, 1] and not sites[0] & sites[1]
    assert {order["split"] for order in learned} == {"train", "choose"}
    assert labelled_image(held[0]).values.shape == (3, SIDE, SIDE)


@pytest.mark.parametrize("network", ["buildings_wusu", "changes_tscd"])
def test_the_other_recipes_are_of_series_and_name_the_folder_they_lack(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WUSU", str(tmp_path))
    monkeypatch.setenv("TSCD", str(tmp_path))
    recipe = read_recipe(network)
    assert untrained_spec(recipe).of_series
    with pytest.raises(InputError, match=f"no images in {tmp_path}"):
        orders(recipe)


def test_a_folder_without_the_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"spacenet7: no images in .*train; give the folder"):
        listed("spacenet7", tmp_path, "train")
