"""Change on real Sentinel-2 pairs with labels, one city left out at a time: what small networks and trees learn from labels of the other
cities, beside the change vector, which learns nothing.
Run: python -m benchmarks.oscd FOLDER [STEPS [SHARE]]; what is said of a city is kept in FOLDER, and a city that lies there is not
learned for again. STEPS of each network, on a GPU where there is one; 0, the default: without them. SHARE: of the other cities' ground
that is learned from."""

import datetime as dt
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from benchmarks.oscd_networks import COURSE, by_networks
from benchmarks.oscd_trees import by_trees
from conf.place import Source
from conf.rasters import ONE
from conf.windows import CHANGES, FULL_LABEL, FULL_WEIGHT, TRAIN
from jobs.recipes import read_recipe, untrained_spec
from models.metrics import scores, threshold_of_best_f1
from models.predictor import load_predictor
from models.registry import shipped_models
from models.series import ImageSeries
from models.series_teaching import maps_of
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
"""Whose bands are read."""
SMOOTH = 2.0
"""Pixels: labels were drawn by hand around what was built."""
LEAST_APART, BUILT_WEIGHT, MOST_SURE = 0.05, 0.1, (-3.0, 1.0)
"""Of the change vector that is told from none; of the logit of what is built beside the vector's logarithm, and its bounds."""
TREES_WEIGHT, NETWORKS_WEIGHT = 0.25, 0.5
"""Of their logits, beside that of the vector."""
FURTHEST = 6.0
"""Standard deviations from a band's mean at which values are cut."""
Share = NDArray[np.float64]
Learner = Callable[[list[ImageSeries], ImageSeries], Share]


def main(folder: Path, steps: int, share: float) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    seen = {city: read_pair(Path(os.environ["URBANTRACE_DATA"]) / "oscd_s2" / city) for city in CITIES}
    pairs = {city: standard(pair) for city, pair in seen.items()}
    learners: dict[str, Learner] = {"trees": by_trees}
    if steps:
        learners[f"networks_{steps}"] = lambda others, held: by_networks(others, held, steps)
    ways = {name: {city: _kept(folder / f"{name}_{share:g}_{city}.npy", pairs[city], _others(city, pairs, share), learn) for city in CITIES}
            for name, learn in learners.items()}  # fmt: skip
    ways["vector"] = {city: change_vector(pair) for city, pair in pairs.items()}
    ways["vector, smooth"] = {city: gaussian_filter(vector, SMOOTH) for city, vector in ways["vector"].items()}
    ways["vector, smooth, on built land"] = {city: on_built_land(ways["vector, smooth"][city], seen[city]) for city in CITIES}
    for name, weight in (("trees", TREES_WEIGHT), (f"networks_{steps}", NETWORKS_WEIGHT)):
        if name in ways:
            vectors = ways["vector, smooth, on built land"]
            ways[f"{name} and vector"] = {city: together(ways[name][city], vectors[city], weight) for city in CITIES}
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
    labels = np.stack([np.zeros_like(changed), changed]).astype(np.uint8) * np.uint8(FULL_LABEL)
    weights = np.where(np.isfinite(values).any(1), FULL_WEIGHT, 0).astype(np.uint8)
    return ImageSeries(folder.name, TRAIN, 1.0, np.array([date.toordinal() for date in dates]), values, labels, weights, CHANGES)


def standard(pair: ImageSeries) -> ImageSeries:
    """Each band of each date less its mean, over its standard deviation: another air and season are much of what differs."""
    values = pair.values.astype(np.float32)
    mean, spread = (of(values, (2, 3), keepdims=True) for of in (np.nanmean, np.nanstd))
    return pair._replace(values=((values - mean) / spread).clip(-FURTHEST, FURTHEST).astype(np.float16))


def _others(city: str, pairs: dict[str, ImageSeries], share: float) -> list[ImageSeries]:
    near = next((group for group in SAME_GROUND if city in group), {city})
    return [some_of(pair, share) for name, pair in pairs.items() if name not in near]


def _kept(path: Path, held: ImageSeries, others: list[ImageSeries], learn: Learner) -> Share:
    if not path.exists():
        np.save(path, learn(others, held))
    return np.asarray(np.load(path), np.float64)


def some_of(pair: ImageSeries, share: float) -> ImageSeries:
    """The upper rows alone."""
    rows = np.s_[..., : max(COURSE.side, round(share * pair.labels.shape[1])), :]
    return pair._replace(values=pair.values[rows], labels=pair.labels[rows], weights=pair.weights[rows])


def change_vector(pair: ImageSeries) -> Share:
    """Length of the difference of six bands."""
    bands = untrained_spec(read_recipe(RECIPE)).bands
    values = pair.values[:, [bands.index(band) for band in VECTOR_BANDS]].astype(np.float64)
    return np.asarray(np.linalg.norm(np.nan_to_num(values[1] - values[0]), axis=0))


def on_built_land(vector: Share, pair: ImageSeries) -> Share:
    """What changed, more so where the shipped network calls the later date built; without labels, but for SMOOTH and the weights, which
    were chosen on these cities."""
    pin = shipped_models()["built_up_10m"]
    built = maps_of(load_predictor(pin.path, pin.sha256), pair.at(slice(1, 2)))[0].clip(1, ONE - 1) / ONE
    return np.asarray(expit(np.log(vector + LEAST_APART) + BUILT_WEIGHT * np.clip(logit(built), *MOST_SURE)))


def together(learned: Share, vector: Share, weight: float) -> Share:
    """Both, the learned logit by its weight."""
    return np.asarray(expit(weight * logit(learned.clip(1e-4, 1 - 1e-4)) + logit(vector)))


def figures(said: dict[str, Share], pairs: dict[str, ImageSeries]) -> dict[str, Any]:
    """AUC and F1 by city and their means; F1 at the threshold that is best in the other cities together."""
    truth = {city: (pair.built[1], pair.known.all(0)) for city, pair in pairs.items()}
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
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)
