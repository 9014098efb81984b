"""Jobs `buildings` and `buildings_geoparquet` on half a million and a million drawn houses, 2 cores: seconds, how they grow with twice the
polygons, and peak memory of the Python workers and of the JVM."""

import datetime as dt
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import shapely
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.drawn_houses import count_of_houses, drawn
from benchmarks.memory import CODE_ON_WORKERS, SessionUse, in_own_process
from benchmarks.pairs import Measure, seconds_of
from conf.place import Epoch, Layer, Place
from conf.tables_buildings import BUILDINGS
from jobs.job import Context
from jobs.mapping.buildings import BuildingsSettings, buildings
from jobs.mapping.buildings_geoparquet import FOLDER, BuildingsGeoparquetSettings, buildings_geoparquet
from jobs.session import start_session
from jobs.table_checks import check_rows, in_declared_order
from jobs.warehouse import Warehouse
from udfs.grid import PixelBounds, Tile, utm_grid
from udfs.rasters import encode_raster

TIMES, MEMORY = 2.2, 1.2
ROWS, COLUMNS, WARM_UP = 52, 52, 2
"""Tiles of the ground, of which the upper half has half of the houses; rows of tiles that a session begins with, untimed."""
TILE_PX, FIRST_ROW, FIRST_COLUMN = 512, 38_912, 1_768
GRID = utm_grid(32.58, 0.35, 0.5)
LAYER, EPOCH = "buildings_50cm", "2020"
DATE = dt.datetime(2020, 5, 4)
BUILT_UP_DDL = (
    "layer string, epoch string, grid string, crs string, tile_px int, row int, col int, transform array<double>, status string, "
    "probability binary, depth binary, threshold int, first_date timestamp, last_date timestamp, model_sha256 string"
)
MISSED = 0.03
"""Of the houses drawn, the share that may be more or fewer as polygons: houses that stand on others, ragged walls that touch."""


class Run(NamedTuple):
    """Polygons, seconds of each job, CPU seconds of both, and peaks in MiB of the largest worker, of the JVM and of all together."""

    polygons: int
    buildings: float
    export: float
    cpu: float
    worker: float
    jvm: float
    together: float

    @property
    def seconds(self) -> float:
        return self.buildings + self.export


def measure() -> list[Measure]:
    """Of one run each. Raises ValueError where a polygon is not valid or houses are missing."""
    return measured(ROWS, COLUMNS)


def measured(rows: int, columns: int) -> list[Measure]:
    """On a ground of so many tiles."""
    with tempfile.TemporaryDirectory() as folder:
        in_own_process(write_tiles, folder, rows, columns)
        half, whole = (in_own_process(run, folder, count, columns) for count in (rows // 2, rows))
    seconds = [Measure(f"buildings_scale: {each.polygons:,}", "s", (each.seconds,), note=_note(each)) for each in (half, whole)]
    growth = {"time": (whole.seconds / half.seconds, TIMES), "memory": (whole.worker / half.worker, MEMORY)}
    note = f"{whole.polygons / half.polygons:.3f} times the polygons"
    return [*seconds, *(Measure(f"buildings_scale: {name}", "x", (x,), reach, True, note) for name, (x, reach) in growth.items())]


def _note(run: Run) -> str:
    return (
        f"buildings {run.buildings:.0f} s, export {run.export:.0f} s, CPU {run.cpu:.0f} s; "
        f"peak worker {run.worker:.0f} MiB, JVM {run.jvm:.0f} MiB, together {run.together:.0f} MiB; all valid"
    )


def ground(rows: int, columns: int) -> PixelBounds:
    top, left, side = FIRST_ROW * TILE_PX, FIRST_COLUMN * TILE_PX, TILE_PX
    return PixelBounds(top, left, top + rows * side, left + columns * side)


def write_tiles(folder: str, rows: int, columns: int) -> None:
    """Rows of `built_up` that `buildings` reads, as Parquet."""
    spark = start_session("local[2]", CODE_ON_WORKERS)
    numbers = spark.range(0, rows * columns, 1, 64).selectExpr(
        f"{FIRST_ROW} + id DIV {columns} AS row", f"{FIRST_COLUMN} + id % {columns} AS col"
    )
    numbers.mapInPandas(tile_frames, BUILT_UP_DDL).write.parquet(f"{folder}/built_up")
    spark.stop()


def tile_frames(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Shell: rows and columns of tiles to rows of BUILT_UP_DDL."""
    for frame in frames:
        for row, col in frame.itertuples(index=False):
            yield pd.DataFrame([_tile_row(Tile(row, col, TILE_PX))])


def _tile_row(tile: Tile) -> dict[str, object]:
    probability, depth = drawn(tile.pixels)
    return {
        "layer": LAYER, "epoch": EPOCH, "grid": GRID.name, "crs": GRID.crs, "tile_px": TILE_PX, "row": tile.row, "col": tile.col,
        "transform": list(GRID.transform(*tile.pixels[:2]))[:6], "status": "done", "probability": encode_raster(probability),
        "depth": encode_raster(depth), "threshold": 125, "first_date": DATE, "last_date": DATE, "model_sha256": "ab",
    }  # fmt: skip


def run(folder: str, rows: int, columns: int) -> Run:
    """Both jobs as the runner does them, in a session that has done a few tiles before."""
    spark = start_session("local[2]", CODE_ON_WORKERS)
    _timed(spark, folder, WARM_UP)
    with SessionUse() as use:
        seconds = _timed(spark, folder, rows)
    spark.stop()
    found = Run(_checked(Path(folder) / FOLDER, rows, columns), *seconds, use.cpu, use.worker, use.jvm, use.together)
    print(found, file=sys.stderr, flush=True)
    return found


def _timed(spark: SparkSession, folder: str, rows: int) -> tuple[float, float]:
    """Seconds of `buildings` and of its export, for the upper rows of tiles."""
    epoch = Epoch(name=EPOCH, start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
    place = Place(name="town", warehouse=folder, epochs=(epoch,), layers={LAYER: Layer(sensor="rgb", model="m", resolution=0.5)})
    context, warehouse = Context(spark, place, "benchmark", Path(folder)), Warehouse(spark, Path(folder))
    built_up = spark.read.parquet(f"{folder}/built_up").where(F.col("row") < FIRST_ROW + rows)

    def map_buildings() -> None:
        found = in_declared_order(buildings.run({"built_up": built_up}, BuildingsSettings(), context), BUILDINGS).persist()
        check_rows(found, BUILDINGS)
        warehouse.overwrite(BUILDINGS, found, {})
        spark.catalog.clearCache()  # as when the job's session ends

    def export() -> None:
        buildings_geoparquet.run({"buildings": warehouse.read("buildings")}, BuildingsGeoparquetSettings(), context)

    return seconds_of(map_buildings), seconds_of(export)


def _checked(exported: Path, rows: int, columns: int) -> int:
    """How many polygons there are. Raises ValueError where one is not valid, or houses are missing."""
    count, invalid = 0, 0
    for path in exported.rglob("*.parquet"):
        for batch in pq.ParquetFile(path).iter_batches(columns=["geometry"]):
            shapes = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
            count, invalid = count + len(shapes), invalid + int((~shapely.is_valid(shapes)).sum())
    drawn_houses = count_of_houses(ground(rows, columns))
    if invalid or abs(count / drawn_houses - 1) > MISSED:
        raise ValueError(f"{count} polygons of {drawn_houses} houses, {invalid} not valid")
    return count
