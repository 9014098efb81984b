"""Built-up land of one unit, brought to the driver at the resolution of a picture."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.map_frames import grid_of, map_pixels
from udfs.map_pixels import MapGrid, Shares, pictures
from udfs.unit_pictures import onto, unit_grid

Box = tuple[float, float, float, float]


def tiles_near(maps: DataFrame, tiles: DataFrame, box: Box, epochs: list[str]) -> DataFrame:
    """Rows of `maps` (of one layer; as `fed_maps` gives them) of `epochs` whose tile touches a box: west, south, east, north, degrees."""
    west, south, east, north = box
    touches = (F.col("xmin") <= east) & (F.col("xmax") >= west) & (F.col("ymin") <= north) & (F.col("ymax") >= south)
    near = tiles.where(touches & F.col("epoch").isin(epochs)).select("layer", "epoch", "tile_id")
    return maps.join(near, ["layer", "epoch", "tile_id"], "left_semi")


def unit_shares(near: DataFrame, layer: str, outline: bytes, most_px: int) -> tuple[MapGrid, dict[str, Shares]] | None:
    """The picture around a unit (WKB, EPSG:4326) and its built-up shares by epoch, of all grids it lies on; None without a done tile."""
    done = near.where("status = 'done'")
    # Tiles reach beyond the unit: twice as fine, and averaged.
    crss = sorted(row.crs for row in done.select("crs").distinct().collect())
    grids = [grid for crs in crss if (grid := grid_of(done.where(F.col("crs") == crs), layer, 2 * most_px)) is not None]
    if not grids:
        return None
    grid = unit_grid(grids, outline, most_px)
    found = [(part, pictures(map_pixels(near, layer, part), part)) for part in grids]
    epochs = sorted({epoch for _, by_epoch in found for epoch in by_epoch})
    return grid, {epoch: onto(grid, [(part, by_epoch[epoch]) for part, by_epoch in found if epoch in by_epoch]) for epoch in epochs}
