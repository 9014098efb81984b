"""What the jobs made of the simulated country, read without Spark and held against numpy, the tree of units and exactextract."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import deltalake
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from pyproj import Transformer

from benchmarks.country_ground import EPOCHS, GRID, THRESHOLD, TILE_PX, Size
from udfs.grid import Tile, tiles_over
from udfs.pixel_areas import tile_areas_mm2
from udfs.rasters import NO_DATA, decode_raster

SAMPLED, LARGEST = 20, 3
"""Smallest units held against exactextract, and how many of these are the largest that there are."""
SUM, EACH = 1e-9, 1e-6
ROWS = 64
"""Of `built_up` read at once."""


class Found(NamedTuple):
    """Rows written, states of unit x epoch without data and without a value, and the largest relative differences that were allowed."""

    statistics: int
    indicators: int
    without_data: int
    without_value: int
    of_sum: float
    of_parents: float
    of_sample: float


def check(folder: Path, size: Size) -> Found:
    """Of a place's folder. Raises ValueError where rows are missing or a sum differs by more than SUM, of single units EACH."""
    statistics, units = _table(folder, "unit_statistics"), _table(folder, "units")
    expected = (size.units + size.districts + size.regions) * len(EPOCHS)
    if len(statistics) != expected:
        raise ValueError(f"unit_statistics has {len(statistics)} rows, {expected} were expected")
    leaves = units[~units["unit_id"].isin(units["parent_id"])]
    told = {"sum": _of_sum(folder, statistics, leaves), "parents": _of_parents(statistics, units)}
    told["sample"] = _of_sample(folder, statistics, leaves)
    for name, most in (("sum", SUM), ("parents", SUM), ("sample", EACH)):
        if not told[name] <= most:
            raise ValueError(f"{name}: differs by {told[name]:.2g} of it, {most:g} are allowed")
    indicators = _table(folder, "indicators")
    states = indicators[(indicators["indicator"] == "11.3.1-built-per-person")]
    holes = int((statistics["valid_m2"] == 0).sum()), int(states["value"].isna().sum())
    return Found(len(statistics), len(indicators), *holes, told["sum"], told["parents"], told["sample"])


def _table(folder: Path, name: str) -> pd.DataFrame:
    return deltalake.DeltaTable(folder / name).to_pandas()


def _of_sum(folder: Path, statistics: pd.DataFrame, leaves: pd.DataFrame) -> float:
    """Built-up and valid area of all smallest units beside that of all pixels of all tiles, by epoch."""
    pixels = pd.DataFrame(0, index=list(EPOCHS), columns=["built_m2", "valid_m2"], dtype=object)
    for row in _maps(folder, ds.field("status") == "done"):
        areas, probability = tile_areas_mm2(GRID, _tile(row)), decode_raster(row["probability"], (TILE_PX, TILE_PX))
        valid = probability != NO_DATA
        pixels.loc[row["epoch"]] += (int(areas[valid & (probability >= THRESHOLD)].sum()), int(areas[valid].sum()))
    summed = statistics[statistics["unit_id"].isin(leaves["unit_id"])].groupby("epoch")[["built_m2", "valid_m2"]].sum()
    return float((summed / (pixels.astype(float) / 1e6) - 1).abs().max().max())


def _maps(folder: Path, chosen: Any) -> Iterator[dict[str, Any]]:
    table = deltalake.DeltaTable(folder / "built_up").to_pyarrow_dataset()
    columns = ["epoch", "row", "col", "probability"]
    for batch in table.to_batches(columns=columns, filter=chosen, batch_size=ROWS, batch_readahead=1, fragment_readahead=1):
        yield from batch.to_pylist()


def _tile(row: dict[str, Any]) -> Tile:
    return Tile(row["row"], row["col"], TILE_PX)


def _of_parents(statistics: pd.DataFrame, units: pd.DataFrame) -> float:
    """Areas of units beside the sums of those that they are made of."""
    columns = ["built_m2", "valid_m2", "total_m2"]
    rows = statistics.merge(units[["unit_id", "parent_id"]], on="unit_id")
    sums = rows.dropna(subset="parent_id").groupby(["parent_id", "epoch"])[columns].sum().rename_axis(["unit_id", "epoch"])
    parents = rows.set_index(["unit_id", "epoch"])[columns].loc[sums.index]
    return float(((parents - sums).abs() / sums.clip(lower=1.0)).max().max())


def _of_sample(folder: Path, statistics: pd.DataFrame, leaves: pd.DataFrame) -> float:
    """Areas of some units beside exactextract's, of rasters of areas of built and valid pixels."""
    by_size = leaves.sort_values("area_m2", ascending=False)
    sample = pd.concat([by_size.iloc[:LARGEST], by_size.iloc[LARGEST:].sample(SAMPLED - LARGEST, random_state=1)])
    found = statistics.set_index(["unit_id", "epoch"])
    to_grid = Transformer.from_crs("EPSG:4326", GRID.crs, always_xy=True)
    worst = 0.0
    for unit, geometry in zip(sample["unit_id"], shapely.from_wkb(sample["geometry"].to_numpy()), strict=True):
        outline = shapely.transform(shapely.segmentize(geometry, 0.001), to_grid.transform, interleaved=False)
        for epoch, areas in _by_exactextract(folder, outline).items():
            ours = found.loc[(unit, epoch), ["built_m2", "valid_m2"]].to_numpy(float)
            # Where next to nothing is built, of a pixel.
            worst = max(worst, float((np.abs(ours - areas) / np.maximum(areas, 100.0)).max()))
    return worst


def _by_exactextract(folder: Path, outline: Any) -> dict[str, NDArray[np.float64]]:
    """Of each epoch built-up and valid m2."""
    tiles = tiles_over(GRID.pixels_over(*outline.bounds), TILE_PX)
    top, left, bottom, right = tiles[0].row, tiles[0].col, tiles[-1].row + 1, tiles[-1].col + 1
    rasters = {epoch: np.zeros((2, (bottom - top) * TILE_PX, (right - left) * TILE_PX)) for epoch in EPOCHS}
    rows, cols = ds.field("row"), ds.field("col")
    chosen = (ds.field("status") == "done") & (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)
    for row in _maps(folder, chosen):
        tile, probability = _tile(row), decode_raster(row["probability"], (TILE_PX, TILE_PX))
        valid = (probability != NO_DATA) * (tile_areas_mm2(GRID, tile) / 1e6)
        y, x = (tile.row - top) * TILE_PX, (tile.col - left) * TILE_PX
        rasters[row["epoch"]][:, y : y + TILE_PX, x : x + TILE_PX] = valid * (probability >= THRESHOLD), valid
    west, north = GRID.transform(top * TILE_PX, left * TILE_PX) @ (0, 0)
    east, south = GRID.transform(bottom * TILE_PX, right * TILE_PX) @ (0, 0)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(outline)}
    return {epoch: np.array([_sum(layer, (west, south, east, north), feature) for layer in layers]) for epoch, layers in rasters.items()}


def _sum(layer: NDArray[np.float64], bounds: tuple[float, float, float, float], feature: dict[str, Any]) -> float:
    return float(exact_extract(NumPyRasterSource(layer, *bounds), feature, ["sum"])[0]["properties"]["sum"] or 0.0)
