"""Maps of the report as PNG bytes, drawn with matplotlib; the same input gives the same bytes."""

import io
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, ListedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from udfs.map_images import MapImage
from udfs.map_pixels import MapGrid, Shares
from udfs.rasters import NO_DATA, ONE

BUILT = "#d55e00"
BORDER = "#1b1b1b"
NO_VALUE = "#d9d9d9"
DPI = 130
MOST_WIDTH = 9.5
SOFT_BUILT = LinearSegmentedColormap.from_list("built", [(0.835, 0.369, 0.0, 0.0), (0.835, 0.369, 0.0, 0.85)])


class Frame(NamedTuple):
    """A map's grid, and factors from its CRS's units to km along x and y."""

    grid: MapGrid
    km_x: float
    km_y: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top in km from the lower left corner, as matplotlib takes them."""
        return 0.0, self.grid.width * self.grid.pixel_width * self.km_x, 0.0, self.grid.height * self.grid.pixel_height * self.km_y

    def km(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates (n, 2) of the map's CRS in km from the lower left corner."""
        west, south, _, _ = self.grid.bounds
        return np.column_stack([(xy[:, 0] - west) * self.km_x, (xy[:, 1] - south) * self.km_y])


def frame_of(grid: MapGrid) -> Frame:
    """km per unit at the middle of the map: metres as they are, degrees on the sphere."""
    if not CRS.from_user_input(grid.crs).is_geographic:
        return Frame(grid, 1e-3, 1e-3)
    _, south, _, north = grid.bounds
    return Frame(grid, 111.32 * float(np.cos(np.radians((south + north) / 2))), 110.57)


def projected(wkb: Any, crs: str) -> NDArray[np.object_]:
    """WKB of EPSG:4326 as shapely geometries in `crs` (n,)."""
    transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    moved = shapely.transform(shapely.from_wkb(np.asarray(wkb, dtype=object)), lambda x, y: transformer.transform(x, y), interleaved=False)
    return np.asarray(moved, dtype=object)


def built_map(frame: Frame, shares: Shares, image: MapImage | None, borders: NDArray[np.object_], title: str) -> bytes:
    """The image alone, and built-up over it in grey; without an image built-up only."""
    count = 1 if image is None else 2
    figure, axes = _figure(frame, count)
    if image is not None:
        axes[0].imshow(image.rgb, extent=frame.extent, interpolation="antialiased")
        axes[0].set_title(f"Image, {title}")
        grey = image.rgb.mean(axis=2) * 0.6 + 100
        axes[1].imshow(grey, cmap="gray", vmin=0, vmax=255, extent=frame.extent)
    last = axes[-1]
    last.imshow(_masked(shares), cmap=SOFT_BUILT, vmin=0, vmax=1, extent=frame.extent, interpolation="nearest")
    last.imshow(np.where(shares == NO_DATA, 1.0, np.nan), cmap=ListedColormap([NO_VALUE]), extent=frame.extent, interpolation="nearest")
    draw_borders(last, frame, borders)
    last.set_title(f"Built-up, {title}")
    last.legend(handles=[Patch(color=BUILT, label="built-up"), Patch(color=NO_VALUE, label="no data")], loc="lower right", fontsize=8)
    return png(figure)


def first_built_map(frame: Frame, first: NDArray[np.int16], epochs: list[str], borders: NDArray[np.object_]) -> bytes:
    """Epoch in which each pixel is first built-up."""
    figure, axes = _figure(frame, 1)
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.95, len(epochs)))
    palette = ListedColormap([NO_VALUE, "#ffffff", *colours])
    norm = BoundaryNorm(np.arange(-2.5, len(epochs) + 0.5), palette.N)
    axes[0].imshow(first, cmap=palette, norm=norm, extent=frame.extent, interpolation="nearest")
    draw_borders(axes[0], frame, borders)
    labels = [Patch(color=colour, label=name) for colour, name in zip(colours, epochs, strict=True)]
    labels += [Patch(facecolor="#ffffff", edgecolor="#888888", label="not built-up"), Patch(color=NO_VALUE, label="no data")]
    axes[0].legend(handles=labels, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, title="first built-up")
    return png(figure)


def buildings_map(frame: Frame, image: MapImage | None, polygons: NDArray[np.object_], title: str) -> bytes:
    """Outlines of buildings over the image."""
    figure, axes = _figure(frame, 1, 9.0)
    if image is not None:
        axes[0].imshow(image.rgb, extent=frame.extent, interpolation="antialiased")
    paths = [outline_path(polygon, frame) for polygon in polygons]
    axes[0].add_collection(PathCollection(paths, facecolors=(1.0, 0.82, 0.0, 0.25), edgecolors="#ffd100", linewidths=0.7))
    axes[0].set_title(title)
    return png(figure)


def unit_map(frame: Frame, outlines: NDArray[np.object_], values: NDArray[np.float64], label: str, around_zero: bool) -> bytes:
    """Units coloured by a value (n,), grey where it is NaN; `around_zero` gives growth and decline two colours."""
    figure, axes = _figure(frame, 1)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0.0, 1.0)
    norm, palette = Normalize(low, max(high, low + 1e-9)), "cividis"
    if around_zero:
        reach = max(abs(low), abs(high), 1e-9)
        norm, palette = TwoSlopeNorm(0, -reach, reach), "PuOr_r"
    colours = [mpl.colormaps[palette](norm(v)) if np.isfinite(v) else mpl.colors.to_rgba(NO_VALUE) for v in values]
    paths = [outline_path(outline, frame) for outline in outlines]
    axes[0].add_collection(PathCollection(paths, facecolors=colours, edgecolors=BORDER, linewidths=0.4))
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm, palette), ax=axes[0], shrink=0.8, extend="both")
    bar.set_label(label)
    axes[0].legend(handles=[Patch(facecolor=NO_VALUE, edgecolor=BORDER, label="no value")], loc="lower right", fontsize=8)
    return png(figure)


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """PNG bytes without date or version in them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, facecolor="white")
    return buffer.getvalue()


def _figure(frame: Frame, count: int, panel_width: float = 0.0) -> tuple[Figure, list[Axes]]:
    _, right, _, top = frame.extent
    width = panel_width or (MOST_WIDTH if count == 1 else MOST_WIDTH * 0.75)
    height = min(max(width * top / right, 2.5), 9.0) + 0.7
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = [figure.add_subplot(1, count, index + 1) for index in range(count)]
    for axis in axes:
        axis.set(xlim=(0, right), ylim=(0, top), aspect="equal", xlabel="km from the west", ylabel="km from the south")
    return figure, axes


def _masked(shares: Shares) -> NDArray[np.float64]:
    return np.where(shares == NO_DATA, np.nan, shares / ONE)


def outline_path(geometry: Any, frame: Frame) -> Outline:
    """All rings of a polygon as one path, so that holes stay open."""
    rings = [frame.km(shapely.get_coordinates(ring)) for part in shapely.get_parts(geometry) for ring in shapely.get_rings(part)]
    return Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings))


def draw_borders(axis: Axes, frame: Frame, borders: NDArray[np.object_], width: float = 0.5) -> None:
    """Every ring of polygons in the map's CRS as a line; `width` in points."""
    rings = [frame.km(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shapely.get_parts(borders))]
    axis.add_collection(LineCollection(rings, colors=BORDER, linewidths=width, alpha=0.8))
