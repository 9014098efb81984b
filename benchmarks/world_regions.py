"""What a new world region costs: F1 of built-up land on simulated cities like those learned from, and on others, for one sensor, for
both as one input, for a network of two streams, and for one that also learned from unlabelled cities of the other regions.
Run: python -m benchmarks.world_regions FOLDER [STEPS [SEEDS]]; windows and figures are kept in FOLDER."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from conf.windows import CHOOSE, FULL_LABEL, FULL_WEIGHT, JUDGE, TRAIN, UNLABELLED
from jobs.held_out import made_windows
from models.augmentation import Augmentation, Normaliser
from models.course import Course
from models.metrics import scores
from models.networks import build_network
from models.training import predict_map, train
from models.windows import Window, read_windows, region_of

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
RADAR = ("VV", "VH")
OFFSET = (0.09, 0.10, 0.11, 0.13, 0.18, 0.20, 0.20, 0.21, 0.20, 0.15, -9.0, -16.0)
SCALE = (0.05, 0.06, 0.07, 0.07, 0.08, 0.09, 0.09, 0.09, 0.10, 0.09, 4.0, 4.0)
HOME = ("temperate", "oldtown", "coastal")
ABROAD = ("arid", "tropical", "monsoon", "highland", "hazy")
SEEDS = {TRAIN: 4, CHOOSE: 1, UNLABELLED: 2, JUDGE: 2}
"""Cities of each look in a split."""
SIZES: dict[str, Any] = {"widths": [12, 24, 32], "decoder": [24, 12], "dilation": 2, "fold": 1}
LIGHT = Augmentation(plain=0.6, gain=0.15, band_gain=0.05, offset=0.012, band_offset=0.006, noise=0.006, blur=0.15, haze=0.05, holes=0.1)


class Way(NamedTuple):
    """How a network is made: the channels that it sees, its architecture, and the weight of agreement on unlabelled ground."""

    name: str
    channels: slice
    architecture: dict[str, Any]
    augmentation: Augmentation
    consistency: float = 0.0


def ways() -> list[Way]:
    both = replace(LIGHT, beside=2, beside_offset=0.7)
    single = {"kind": "slim_unet", **SIZES}
    dual = {"kind": "dual_stream", "in_channels": 12, "beside": 2, **SIZES}
    return [
        Way("S1", slice(10, 12), {**single, "in_channels": 2}, Augmentation(offset=0.7, holes=0.1)),
        Way("S2", slice(0, 10), {**single, "in_channels": 10}, LIGHT),
        Way("input fusion", slice(0, 12), {**single, "in_channels": 12}, both),
        Way("dual stream", slice(0, 12), dual, both),
        Way("dual stream, consistency", slice(0, 12), dual, both, 1.5),
    ]


def main(folder: Path, steps: int, seeds: int) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    windows = _windows(folder)
    rows = [_judged(way, windows, steps, seed, folder) for seed in range(1, seeds + 1) for way in ways()]
    print(json.dumps(rows, indent=1))


def _windows(folder: Path) -> list[Window]:
    path = folder / "windows.parquet"
    return read_windows([str(path)]) if path.exists() else made_windows(_orders(), path)


def _orders() -> list[str]:
    wanted = {TRAIN: HOME, CHOOSE: HOME, UNLABELLED: ABROAD, JUDGE: (*HOME, *ABROAD)}
    cities = [(split, look) for split, looks in wanted.items() for look in looks for _ in range(SEEDS[split])]
    return [json.dumps(_order(3000 + number, split, look)) for number, (split, look) in enumerate(cities)]


def _order(seed: int, split: str, look: str) -> dict[str, Any]:
    year = 2017 + seed % 6
    dates = [f"{year}-{1 + (seed * 5 + 4 * number) % 12:02}-15" for number in range(1 + seed % 3)]
    return {
        "kind": "simulated_sentinels", "source": f"simulated {seed} {look}", "split": split, "share": 1.0, "seed": seed, "look": look,
        "size_m": 5120.0, "dates": sorted(dates), "cloud": 0.1, "wet": 0.0, "bare": 0.0, "softness": 0.6, "sparse_weight": 1,
        "bands": [*OPTICAL, *RADAR],
    }  # fmt: skip


def _judged(way: Way, windows: list[Window], steps: int, seed: int, folder: Path) -> dict[str, Any]:
    path = folder / f"{way.name.replace(', ', '_').replace(' ', '_')}_{seed}_{steps}.json"
    if not path.exists():
        path.write_text(json.dumps(_figures(way, windows, steps, seed)))
    return {"way": way.name, "seed": seed, **json.loads(path.read_text())}


def _figures(way: Way, windows: list[Window], steps: int, seed: int) -> dict[str, Any]:
    seen = [window._replace(values=window.values[way.channels]) for window in windows]
    learned = [_blank(window) if window.split == UNLABELLED else window for window in seen if window.split != JUDGE]
    course = Course(seed=seed, steps=steps, cpu_minutes=60, batch=8, side=128, learning_rate=3e-3, jaccard_share=1.0, looks=2, keep="last",
                    augmentation=way.augmentation, consistency=way.consistency)  # fmt: skip
    normalise = Normaliser(list(OFFSET[way.channels]), list(SCALE[way.channels]), 8.0)
    trained = train(build_network(way.architecture, seed), learned, normalise, course, print)
    threshold = trained.looks[-1].threshold
    held = [window for window in seen if window.split == JUDGE]
    withheld = (
        {"": slice(0, 0), " without S2": slice(0, 10), " without S1": slice(10, 12)} if len(held[0].values) == 12 else {"": slice(0, 0)}
    )
    figures: dict[str, Any] = {"cpu_minutes": trained.cpu_seconds / 60}
    for name, gone in withheld.items():
        counts = {region: np.zeros(3) for region in (*HOME, *ABROAD)}
        for window in held:
            counts[region_of(window.source)] += _counts(trained.network, window, gone, normalise, threshold)
        figures |= {f"home{name}": _f1([counts[look] for look in HOME]), f"abroad{name}": _f1([counts[look] for look in ABROAD])}
        figures |= {f"{look}{name}": _f1([counts[look]]) for look in counts}
    return figures


def _blank(window: Window) -> Window:
    return window._replace(labels=np.zeros_like(window.labels), weights=np.zeros_like(window.weights))


def _counts(network: torch.nn.Module, window: Window, gone: slice, normalise: Normaliser, threshold: float) -> NDArray[np.float64]:
    values = window.values.copy()
    values[gone] = np.nan
    probability = 1 / (1 + np.exp(-predict_map(network, values, normalise)))
    found, built, valid = probability >= threshold, window.labels >= FULL_LABEL / 2, window.weights >= FULL_WEIGHT
    return np.array([(found & built & valid).sum(), (found & ~built & valid).sum(), (~found & built & valid).sum()], float)


def _f1(counts: list[NDArray[np.float64]]) -> float:
    return scores(*np.sum(counts, axis=0)).f1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
