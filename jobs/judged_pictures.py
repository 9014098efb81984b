"""Pictures of judged maps: outlines over an image, reliability, and the squares with most wrong pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import Reliability
from models.judging import Judged, Square
from models.predictor import ONE

TRUTH, FOUND = "white", "yellow"


def draw_outlines(image: NDArray[Any], item: Judged, threshold: float, path: Path) -> None:
    """Outlines of what was found (yellow) and of the truth (white) over an image (bands, height, width); unjudged ground is dark."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12 * image.shape[1] / image.shape[2]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(_shown(image, item))
    axes.axis("off")
    for mask, colour in ((item.truth, TRUTH), (item.probability >= threshold * ONE, FOUND)):
        if mask.any():
            axes.contour(mask, [0.5], colors=[colour], linewidths=1.0)
    figure.savefig(path, dpi=100)


def draw_reliability(found: Reliability, path: Path) -> None:
    """Share that is labelled over mean probability, one point a bin, its size by pixels; on the line probabilities come true."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(found.predicted, found.observed, color="tab:blue")
    axes.scatter(found.predicted, found.observed, 4 + 200 * found.pixels / found.pixels.sum(), color="tab:blue")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability", ylabel="share labelled", title=f"calibration error {found.error:.3f}")
    figure.savefig(path, dpi=100)


def draw_worst(squares: Sequence[Square], threshold: float, path: Path) -> Path:
    """Two squares a row, each as image, truth (white) and probability, red from the threshold on and blue below; grey is not judged."""
    from matplotlib.figure import Figure

    rows = max((len(squares) + 1) // 2, 1)
    figure = Figure(figsize=(15, 2.8 * rows), layout="constrained")
    for number, part in enumerate(np.ravel(figure.subfigures(rows, 2))):
        if number < len(squares):
            _draw_square(part, squares[number], threshold)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path


def _draw_square(part: Any, square: Square, threshold: float) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import TwoSlopeNorm

    item = square.judged
    part.suptitle(f"{square.name}: {square.share:.0%} wrong", fontsize=9)
    image, truth, probability = part.subplots(1, 3)
    image.imshow(_shown(square.image, item))
    black_and_white, blue_to_red = (colormaps[name].with_extremes(bad="grey") for name in ("binary_r", "coolwarm"))
    truth.imshow(np.where(item.valid, item.truth, np.nan), cmap=black_and_white, vmin=0, vmax=1)
    shares = np.where(item.valid, item.probability / ONE, np.nan)
    probability.imshow(shares, cmap=blue_to_red, norm=TwoSlopeNorm(threshold, 0, 1))
    for axes, title in ((image, "image"), (truth, "truth"), (probability, "probability")):
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()


def _shown(values: NDArray[Any], item: Judged) -> NDArray[np.float32]:
    """Three bands as red, green, blue between their 1st and 99th percentile; unjudged ground is dark."""
    bands = [min(index, len(values) - 1) for index in ((0, 1, 2) if len(values) == 3 else (2, 1, 0))]
    image = values[bands].astype(np.float32)
    low, high = np.nanpercentile(image, [1, 99]) if np.isfinite(image).any() else (0, 1)
    stretched = np.nan_to_num((image - low) / max(high - low, 1e-6)).clip(0, 1)
    return np.asarray((stretched * np.where(item.valid, 1.0, 0.4)).transpose(1, 2, 0), np.float32)
