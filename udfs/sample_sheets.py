"""Sheets of pictures for visual interpretation: of each point a near and a wide view, in two colours each."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Picture = NDArray[np.float32]

COLOURS = {
    "true colour": ("red", "green", "blue"),
    "SWIR, NIR, red": ("swir1", "nir", "red"),
    "NIR, red, green": ("nir", "red", "green"),
}
VIEWS = 2
"""Colours shown: the first ones of COLOURS that the bands give."""
NEAR_PX = 17
GAMMA = 0.75
ENDS = (1.0, 99.0)
"""Percentiles of all views together that become black and white."""
CELL_INCHES, GAP_INCHES, HEAD_INCHES, DOTS = 2.4, 0.25, 0.3, 100
MARKED = "#ffff00"


class Shown(NamedTuple):
    """A point and its composite by common name, (side, side) with the point's pixel in the middle, NaN without data."""

    point_id: int
    bands: Mapping[str, Values]


def colours_of(bands: Mapping[str, Values]) -> dict[str, tuple[str, str, str]]:
    """The colours that a sample's pictures are in."""
    given = [(name, (red, green, blue)) for name, (red, green, blue) in COLOURS.items() if {red, green, blue} <= set(bands)]
    return dict(given[:VIEWS])


def stretches(points: Sequence[Shown]) -> dict[str, tuple[float, float]]:
    """By band, the values that become black and white: the same for all points, so that they can be compared."""
    names = sorted({band for bands in colours_of(points[0].bands).values() for band in bands})
    return {name: _ends(np.concatenate([point.bands[name].ravel() for point in points])) for name in names}


def _ends(values: Values) -> tuple[float, float]:
    low, high = np.nanpercentile(values, ENDS)
    return float(low), float(max(high, low + 1e-6))


def picture(bands: Mapping[str, Values], names: Sequence[str], ends: Mapping[str, tuple[float, float]]) -> Picture:
    """RGB 0-1, float32 (height, width, 3); grey where there is no data."""
    layers = np.dstack([((bands[name] - ends[name][0]) / (ends[name][1] - ends[name][0])).clip(0, 1) ** GAMMA for name in names])
    return np.where(np.isnan(layers).any(axis=2, keepdims=True), 0.5, layers).astype(np.float32)


def sheets(points: Sequence[Shown], each: int, columns: int) -> Iterator[bytes]:
    """PNGs of `each` points in their order, `columns` side by side."""
    ends = stretches(points)
    for start in range(0, len(points), each):
        yield _sheet(points[start : start + each], columns, ends)


def _sheet(points: Sequence[Shown], columns: int, ends: Mapping[str, tuple[float, float]]) -> bytes:
    from matplotlib.figure import Figure

    rows = -(-len(points) // columns)
    width, height = 2 * CELL_INCHES + GAP_INCHES, VIEWS * CELL_INCHES + HEAD_INCHES
    figure = Figure(figsize=(columns * width, rows * height), dpi=DOTS)
    for number, point in enumerate(points):
        left, top = number % columns * width, (number // columns) * height
        figure.text(
            (left + GAP_INCHES) / (columns * width), 1 - (top + HEAD_INCHES / 2) / (rows * height), f"{point.point_id}",
            fontsize=15, fontweight="bold", va="center",
        )  # fmt: skip
        for down, names in enumerate(colours_of(point.bands).values()):
            image = picture(point.bands, names, ends)
            for right, draw in enumerate((_draw_near, _draw_wide)):
                x, y = left + right * CELL_INCHES, top + HEAD_INCHES + (down + 1) * CELL_INCHES
                box = (x / width / columns, 1 - y / height / rows, CELL_INCHES / width / columns * 0.98, CELL_INCHES / height / rows * 0.98)
                draw(figure.add_axes(box), image)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw_near(axes: Any, image: Picture) -> None:
    """Single pixels around the point's, which is outlined."""
    from matplotlib.patches import Rectangle

    middle, half = len(image) // 2, NEAR_PX // 2
    part = slice(middle - half, middle + half + 1)
    axes.imshow(image[part, part], interpolation="nearest")
    axes.add_patch(Rectangle((half - 0.5, half - 0.5), 1, 1, fill=False, edgecolor=MARKED, linewidth=1.6))
    axes.axis("off")


def _draw_wide(axes: Any, image: Picture) -> None:
    """The ground around; a frame where the near view lies."""
    from matplotlib.patches import Rectangle

    middle = len(image) // 2
    axes.imshow(image, interpolation="bicubic")
    corner = middle - NEAR_PX / 2
    axes.add_patch(Rectangle((corner, corner), NEAR_PX, NEAR_PX, fill=False, edgecolor=MARKED, linewidth=0.8))
    axes.axis("off")
