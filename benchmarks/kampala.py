"""Buildings of Kampala's held-out columns: the recipe's network beside a plain U-Net, the same CPU minutes for each, seed by seed.
Run: python -m benchmarks.kampala FOLDER [MINUTES [SEEDS]]; maps are kept in FOLDER, and a seed that lies there is not trained again."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio.features
import shapely
import torch
from numpy.typing import NDArray
from scipy import ndimage

from conf.windows import CHOOSE, FULL_LABEL, TRAIN
from jobs.held_out import made_windows
from jobs.recipes import Recipe, course_of, held_out_orders, orders, read_recipe, untrained_spec
from models.baseline import train_baseline
from models.calibration import reliability
from models.fitting import Fitted, Teaching, fit
from models.judging import judged_window
from models.metrics import Interval, matched_objects, scores
from models.predictor import ONE, predictor_of
from models.windows import Window
from udfs.tracing import polygons_from_mask

NETWORK = "buildings_15cm"
OURS, PLAIN = "ours", "plain"
DRAWS = 2000
MIN_OBJECT_PX = 100


class Map(NamedTuple):
    """Probabilities 0-250 (height, width) of the held-out window, and the threshold chosen on column 4."""

    probability: NDArray[np.uint8]
    threshold: float


def main(folder: Path, minutes: float, seeds: range) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(NETWORK)
    learned = made_windows(orders(recipe), folder / "learned.parquet")
    (held,) = made_windows(held_out_orders(recipe), folder / "held.parquet")
    found = {(name, seed): _kept(folder, name, seed, minutes, recipe, learned, held) for seed in seeds for name in (OURS, PLAIN)}
    print(json.dumps(figures(found, held, list(seeds)), indent=1))


def _kept(folder: Path, name: str, seed: int, minutes: float, recipe: Recipe, learned: list[Window], held: Window) -> Map:
    path = folder / f"{name}_{seed}_{minutes:g}.npz"
    if not path.exists():
        made = (_ours if name == OURS else _plain)(recipe, learned, held, seed, minutes)
        np.savez_compressed(path, probability=made.probability, threshold=made.threshold)
    values = np.load(path)
    return Map(values["probability"], float(values["threshold"]))


def _ours(recipe: Recipe, learned: list[Window], held: Window, seed: int, minutes: float) -> Map:
    course = course_of(recipe, seed=seed, steps=10**9, cpu_minutes=minutes)
    spec = untrained_spec(recipe)
    fitted: Fitted = fit(spec, learned, course, Teaching(), recipe.threshold, print)
    return Map(judged_window(predictor_of(fitted.spec, fitted.tensors), held).probability, fitted.spec.threshold)


def _plain(recipe: Recipe, learned: list[Window], held: Window, seed: int, minutes: float) -> Map:
    real = [window for window in learned if window.split in (TRAIN, CHOOSE) and not window.source.startswith("simulated")]
    spec = untrained_spec(recipe)
    (probability,), threshold, _ = train_baseline(spec, real, [held], minutes, print, seed)
    return Map(probability, threshold)


def figures(maps: dict[tuple[str, int], Map], held: Window, seeds: list[int]) -> dict[str, Any]:
    """Of pixels and objects: each network's F1 by seed, and by how much ours is better, with 95 % bounds from drawing seeds and
    buildings, each building with the ground nearest to it."""
    truth = held.labels >= FULL_LABEL / 2
    known = objects(truth)
    nearest = nearest_building(truth, known)
    valid = held.weights > 0
    judged = np.unique(nearest[valid])
    result: dict[str, Any] = {}
    for kind in ("pixel", "object"):
        counted = {
            key: (pixel_rows if kind == "pixel" else object_rows)(item, truth, valid, nearest, known)[judged] for key, item in maps.items()
        }
        ours, plain = (np.stack([counted[name, seed] for seed in seeds]) for name in (OURS, PLAIN))
        result[kind] = {name: [_f1(rows) for rows in each] for name, each in ((OURS, ours), (PLAIN, plain))}
        result[kind]["better_by"] = paired_over_buildings(ours, plain)._asdict()
    errors = [reliability(maps[OURS, seed].probability[valid] / ONE, truth[valid]).error for seed in seeds]
    return result | {"buildings": len(judged), "calibration_error": errors}


def objects(mask: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Polygons of a mask, in pixels, without the smallest."""
    shapes = polygons_from_mask(mask)
    return shapes[shapely.area(shapes) >= MIN_OBJECT_PX]


def nearest_building(truth: NDArray[np.bool_], known: NDArray[np.object_]) -> NDArray[np.int64]:
    """Of each pixel (height, width), the number of the true building nearest to it."""
    numbers = rasterio.features.rasterize(zip(known, range(1, len(known) + 1), strict=True), truth.shape, dtype="int32")
    rows, cols = ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
    return np.asarray(numbers[rows, cols] - 1, np.int64)


def pixel_rows(
    item: Map, truth: NDArray[np.bool_], valid: NDArray[np.bool_], nearest: NDArray[np.int64], known: NDArray[np.object_]
) -> NDArray[np.int64]:
    """Hits, false alarms and misses (n, 3) on the ground of each true building."""
    found = item.probability >= item.threshold * ONE
    parts = (found & truth, found & ~truth, ~found & truth)
    return np.stack([np.bincount(nearest[part & valid], minlength=len(known)) for part in parts], 1)


def object_rows(
    item: Map, truth: NDArray[np.bool_], valid: NDArray[np.bool_], nearest: NDArray[np.int64], known: NDArray[np.object_]
) -> NDArray[np.int64]:
    """The same of objects, matched at IoU 0.5: a false alarm counts with the true building nearest to its middle."""
    found = objects(item.probability >= item.threshold * ONE)
    matched, partnered = matched_objects(found, known)
    false, at = (_middles(shapes) for shapes in (found[~matched], known))
    false = false[:, valid[false[0], false[1]]]
    told = valid[at[0], at[1]]
    alarms = np.bincount(nearest[false[0], false[1]], minlength=len(known))
    return np.stack([partnered & told, alarms, ~partnered & told], 1).astype(np.int64)


def paired_over_buildings(ours: NDArray[np.int64], plain: NDArray[np.int64], draws: int = DRAWS) -> Interval:
    """F1 of ours less that of plain, counts (seeds, buildings, 3), seeds drawn for each and buildings for both together."""
    random = np.random.default_rng(7)
    seeds, buildings = ours.shape[:2]
    values = []
    for _ in range(draws):
        rows = random.integers(0, buildings, buildings)
        one, other = (each[random.integers(0, seeds, seeds)][:, rows] for each in (ours, plain))
        values.append(_f1(one) - _f1(other))
    lower, upper = np.quantile(values, [0.025, 0.975])
    return Interval(_f1(ours) - _f1(plain), float(lower), float(upper))


def _f1(rows: NDArray[np.int64]) -> float:
    return scores(*rows.reshape(-1, 3).sum(0)).f1


def _middles(shapes: NDArray[np.object_]) -> NDArray[np.int64]:
    """Rows and columns (2, n) of points inside."""
    points = shapely.point_on_surface(shapes)
    return np.stack([shapely.get_y(points), shapely.get_x(points)]).astype(np.int64)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 6.0, range(1, 1 + (int(sys.argv[3]) if len(sys.argv) > 3 else 5)))
