"""Change on real Sentinel-2 pairs with labels, one city left out at a time: from labels of the other cities, and from simulation alone.
Run: python -m benchmarks.oscd FOLDER [STEPS [SHARE]]; what is said of a city is kept in FOLDER, and a city that lies there is not
learned for again. SHARE: of the other cities' ground that is learned from."""

import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from conf.place import Source
from conf.rasters import ONE
from conf.windows import CHANGES, CHOOSE, FULL_WEIGHT, TRAIN
from jobs.courses import start_of
from jobs.recipes import course_of, read_recipe, untrained_spec
from models.course import run_course
from models.fitting import normaliser
from models.metrics import scores, threshold_of_best_f1
from models.series import ImageSeries
from models.series_crops import SeriesDraw
from models.series_fitting import weights_of
from models.series_network import build_series_network
from models.series_training import SeriesLesson, predicted_series
from udfs.catalogs import scenes_of
from udfs.coregistration import aligned, offsets_from
from udfs.grid import PixelBounds, native_grid
from udfs.images import ImagePool
from udfs.reading import read_scene

CITIES = ("aguasclaras", "abudhabi", "beihai", "bercy", "bordeaux", "cupertino", "hongkong", "mumbai", "nantes", "paris")
SAME_GROUND = ({"bercy", "paris"},)
CHANGED = 2
"""In a city's labels."""
VECTOR_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
RECIPE = "built_up_10m_series"
Share = NDArray[np.float64]


def main(folder: Path, steps: int, share: float) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {city: read_pair(Path(os.environ["URBANTRACE_DATA"]) / "oscd_s2" / city) for city in CITIES}
    said = {city: _kept(folder / f"{city}_{steps}_{share:g}.npy", city, pairs, steps, share) for city in CITIES}
    ways = {"learned": said, "vector": {city: change_vector(pair) for city, pair in pairs.items()}}
    print(json.dumps({name: figures(way, pairs) for name, way in ways.items()}, indent=1))


def read_pair(folder: Path) -> ImageSeries:
    """Both dates on the grid of the first one's bands of 10 m; labels only tell what differs."""
    spec = untrained_spec(read_recipe(RECIPE))
    dates = [dt.datetime.strptime(line.split()[-1], "%Y%m%d").date() for line in (folder / "dates.txt").read_text().splitlines() if line]
    scenes = [
        scenes_of((Source(href=f"{folder}/date{number}_{{band}}.tif", sensor="sentinel2_l1c", datetime=date),), Path())[0]
        for number, date in enumerate(dates, 1)
    ]
    with rasterio.open(folder / "date1_B02.tif") as file:
        grid, bounds = native_grid(str(file.crs), Affine(*file.transform[:6])), PixelBounds(0, 0, *file.shape)
    images = np.stack([read_scene(ImagePool(), scene, spec.bands, grid, bounds)[0] for scene in scenes])
    values = aligned(images, offsets_from(0, images, np.asarray(spec.normalisation["scale"], np.float32))).astype(np.float16)
    with rasterio.open(folder / "change.tif") as file:
        changed = file.read(1) == CHANGED
    labels = np.stack([np.zeros_like(changed), changed]).astype(np.uint8) * np.uint8(250)
    weights = np.where(np.isfinite(values).any(1), FULL_WEIGHT, 0).astype(np.uint8)
    return ImageSeries(folder.name, TRAIN, 1.0, np.array([date.toordinal() for date in dates]), values, labels, weights, CHANGES)


def _kept(path: Path, city: str, pairs: dict[str, ImageSeries], steps: int, share: float) -> Share:
    if not path.exists():
        near = next((group for group in SAME_GROUND if city in group), {city})
        others = [some_of(pair, share) for name, pair in pairs.items() if name not in near]
        np.save(path, learned(others, pairs[city], steps))
    return np.asarray(np.load(path), np.float64)


def some_of(pair: ImageSeries, share: float) -> ImageSeries:
    """Labels of the upper rows alone."""
    weights = pair.weights.copy()
    weights[:, round(share * weights.shape[1]) :] = 0
    return pair._replace(weights=weights)


def learned(others: list[ImageSeries], held: ImageSeries, steps: int) -> Share:
    """Probability of change of the held city, by a network that learned from the others."""
    recipe = read_recipe(RECIPE)
    spec = untrained_spec(recipe)
    course = course_of(recipe, batch=4, looks=1, keep="last", steps=steps)
    network = build_series_network(spec.architecture, course.seed, weights_of(start_of(recipe)))
    looked = held._replace(split=CHOOSE)
    lesson = SeriesLesson([*others, looked], normaliser(spec), course, SeriesDraw(least_dates=2, most_dates=2, missing=0.0))
    trained = run_course(network, lesson, course, print)
    return said_of(trained.network, held)


def said_of(network: Any, pair: ImageSeries) -> Share:
    said = predicted_series(network, pair, normaliser(untrained_spec(read_recipe(RECIPE))), [(0, 1)])
    return np.asarray(said.changes[0] / ONE)


def change_vector(pair: ImageSeries) -> Share:
    """Length of the difference of six bands, each standardised over its date."""
    spec = untrained_spec(read_recipe(RECIPE))
    bands = pair.values[:, [spec.bands.index(band) for band in VECTOR_BANDS]].astype(np.float64)
    standard = (bands - np.nanmean(bands, (2, 3), keepdims=True)) / np.nanstd(bands, (2, 3), keepdims=True)
    return np.asarray(np.linalg.norm(np.nan_to_num(standard[1] - standard[0]), axis=0))


def figures(said: dict[str, Share], pairs: dict[str, ImageSeries]) -> dict[str, Any]:
    """AUC and F1 by city and their means; F1 at the threshold that is best in the other cities together, on ranks within each."""
    truth = {city: (pair.labels[1] > 0, pair.weights.min(0) > 0) for city, pair in pairs.items()}
    auc = {city: float(roc_auc_score(truth[city][0][truth[city][1]], said[city][truth[city][1]])) for city in said}
    f1 = {city: _f1(city, said, truth) for city in said}
    return {"auc": auc, "f1": f1, "mean_auc": float(np.mean(list(auc.values()))), "mean_f1": float(np.mean(list(f1.values())))}


def _f1(city: str, said: dict[str, Share], truth: dict[str, Any]) -> float:
    scale = max(float(values.max()) for values in said.values())
    others = [name for name in said if name != city]
    found = [np.concatenate([(said[name] / scale, truth[name][0])[part][truth[name][1]] for name in others]) for part in range(2)]
    threshold = threshold_of_best_f1(found[0], found[1])
    built, known = truth[city]
    told = said[city] / scale >= threshold
    hits = ((told & built & known).sum(), (told & ~built & known).sum(), (~told & built & known).sum())
    return scores(*(float(count) for count in hits)).f1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300, float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)
