"""The report's pictures, each with its file name, alternative text and caption."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.map_figures import Frame, buildings_map, built_map, first_built_map, frame_of, projected, unit_map
from udfs.map_images import MapImage, map_image
from udfs.map_pixels import MapGrid, Shares, first_built, valid_part
from udfs.report_charts import MOST_UNITS, change_chart, truth_chart


class Drawn(NamedTuple):
    """A PNG; `name` is its file's, without ending."""

    name: str
    png: bytes
    alt: str
    caption: str


class Scene(NamedTuple):
    """A layer's map: its frame over the pixels with data, shares per epoch (by date), the image under each shown epoch."""

    layer: str
    frame: Frame
    shares: dict[str, Shares]
    images: dict[str, MapImage | None]


def layer_scene(layer: str, grid: MapGrid, shares: dict[str, Shares], scenes: Mapping[str, list[dict[str, Any]]]) -> Scene:
    """Cuts the maps to the pixels with data and reads the image under each epoch that `scenes` names."""
    rows, cols = valid_part(shares)
    cropped = grid.cropped(rows, cols)
    images = {epoch: map_image(rows_of, cropped) for epoch, rows_of in scenes.items()}
    return Scene(layer, frame_of(cropped), {epoch: picture[rows, cols] for epoch, picture in shares.items()}, images)


def built_pictures(scene: Scene, outlines: list[bytes], attribution: str) -> list[Drawn]:
    """A map per shown epoch, and the first built-up epoch where there are several."""
    borders = _simple(outlines, scene.frame)
    pictures = []
    for epoch, image in scene.images.items():
        shown = f"Image: {image.shown}." if image else "No image could be read for the background."
        png = built_map(scene.frame, scene.shares[epoch], image, borders, epoch)
        alt = f"Map of built-up land of layer {scene.layer} in {epoch}"
        caption = f"{scene.layer}, {epoch}. {shown} One map pixel is {_pixel(scene.frame)}; colour is the share built-up. {attribution}"
        pictures.append(Drawn(f"built_up_{scene.layer}_{epoch}", png, alt, caption))
    if len(scene.shares) > 1:
        png = first_built_map(scene.frame, first_built(list(scene.shares.values())), list(scene.shares), borders)
        alt = f"Map of the epoch in which each place is first built-up, layer {scene.layer}"
        caption = f"{scene.layer}: first epoch in which at least half of a map pixel is built-up. Later loss is not shown. {attribution}"
        pictures.append(Drawn(f"first_built_{scene.layer}", png, alt, caption))
    return pictures


def building_picture(scene: Scene, epoch: str, polygons: list[bytes], count: int, attribution: str) -> Drawn:
    """Outlines over the image."""
    drawn = f"{count:,} buildings" if count == len(polygons) else f"{len(polygons):,} of {count:,} buildings, chosen by id"
    png = buildings_map(scene.frame, scene.images.get(epoch), projected(polygons, scene.frame.grid.crs), f"Buildings, {epoch}")
    alt = f"Outlines of {drawn} over the image, {epoch}"
    return Drawn(f"buildings_{scene.layer}_{epoch}", png, alt, f"{scene.layer}, {epoch}: {drawn}. {attribution}")


def value_picture(name: str, grid: MapGrid, units: pd.DataFrame, values: pd.Series, label: str, around_zero: bool) -> Drawn:
    """Units of one level coloured by a value; `units` has unit_id and geometry, `values` are by unit_id, null where unknown."""
    frame = _around(projected(units["geometry"], grid.crs), grid)
    known = units["unit_id"].map(values).to_numpy(np.float64, na_value=np.nan)
    png = unit_map(frame, _simple(list(units["geometry"]), frame), known, label, around_zero)
    missing = int(np.isnan(known).sum())
    caption = f"{label}, {len(units)} units; {missing} without a value, grey. Colours end at the 2nd and 98th percentile."
    return Drawn(name, png, f"Map of units: {label}", caption)


def change_picture(statistics: pd.DataFrame, names: dict[str, str], dates: dict[str, float]) -> Drawn:
    """Built-up area over time of the units with most of it."""
    last = statistics[statistics["epoch"] == max(dates, key=lambda epoch: dates[epoch])]
    largest = last.sort_values(["built_m2", "unit_id"], ascending=[False, True])["unit_id"].head(MOST_UNITS)
    order = pd.CategoricalDtype(list(largest), ordered=True)
    chosen = statistics[statistics["unit_id"].isin(largest)]
    chosen = chosen.assign(order=chosen["unit_id"].astype(order)).sort_values(["order", "epoch"])
    alt = "Built-up area over time, a small chart per unit"
    caption = f"The {len(largest)} units with most built-up area in the last epoch. Area of the ground with data; scales differ."
    return Drawn("change_over_time", change_chart(chosen, names, dates), alt, caption)


def truth_picture(compared: pd.DataFrame) -> Drawn:
    """Mapped against true area; columns mapped_m2, truth_m2, total_m2, epoch."""
    dense = compared[compared["truth_m2"] > 0.05 * compared["total_m2"]]
    error = (dense["mapped_m2"] / dense["truth_m2"] - 1).abs()
    caption = "Mapped against true built-up area of units and epochs."
    if len(dense):
        caption += f" Units with more than 5 % built-up: median error {error.median():.1%}, largest {error.max():.1%}, {len(dense)} rows."
    return Drawn("against_truth", truth_chart(compared), "Scatter of mapped against true built-up area", caption)


def _around(outlines: NDArray[np.object_], grid: MapGrid) -> Frame:
    """A frame around all outlines: units may reach far beyond the image."""
    west, south, east, north = shapely.total_bounds(outlines)
    width, height = (east - west) / grid.pixel_width, (north - south) / grid.pixel_height
    return frame_of(grid._replace(left=west, top=north, width=int(width) + 1, height=int(height) + 1))


def _simple(outlines: list[bytes], frame: Frame) -> NDArray[np.object_]:
    """Outlines in the map's CRS without detail below half a map pixel, or the picture's own resolution."""
    longest = max(frame.grid.width * frame.grid.pixel_width, frame.grid.height * frame.grid.pixel_height)
    tolerance = max(frame.grid.pixel_width / 2, longest / 4000)
    return np.asarray(shapely.simplify(projected(outlines, frame.grid.crs), tolerance), dtype=object)


def _pixel(frame: Frame) -> str:
    return f"{frame.grid.pixel_width * frame.km_x * 1000:.3g} m"
