"""Bytes that a reader takes from exported buildings for a box of a hundredth of their ground ÷ the bytes of all files."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray
from pyarrow.fs import FSSpecHandler, PyFileSystem
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.pairs import Measure
from conf.place import load_place
from conf.tables_buildings import BUILDINGS
from jobs.job import Context, declared_jobs
from jobs.mapping.buildings_geoparquet import FOLDER, BuildingsGeoparquetSettings, buildings_geoparquet
from jobs.session import start_session

REACH = 0.05
COUNT, BOXES = 1_000_000, 21
WEST, SOUTH, SIDE = 32.0, 0.0, 1.0


class CountingFiles(LocalFileSystem):
    """Local files that count what is read from them."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super().open(path, mode, **options)
        read = file.read

        def counted(*size: int) -> bytes:
            data: bytes = read(*size)
            self.bytes += len(data)
            return data

        file.read = counted
        return file


def measure() -> list[Measure]:
    """The share, of boxes anywhere. Raises ValueError where a box gives other buildings than all of them by hand."""
    spark = start_session("local[2]", {})
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(str(path) for path in exported(spark, Path(folder), COUNT).rglob("*.parquet"))
        whole = sum(Path(path).stat().st_size for path in paths)
        table = ds.dataset(paths).to_table(columns=["building_id", "bbox"]).flatten().to_pandas()
        corners = np.random.default_rng(3).uniform([WEST, SOUTH], [WEST + 0.9 * SIDE, SOUTH + 0.9 * SIDE], (BOXES, 2))
        shares = [_bytes_of(paths, corner, table) / whole for corner in corners]
    note = f"{COUNT} buildings, {len(paths)} files, {whole / 1e6:.0f} MB, pyarrow's dataset"
    return [Measure("pruning", "of 1", tuple(shares), REACH, at_most=True, note=note)]


def exported(spark: SparkSession, folder: Path, count: int) -> Path:
    """So many houses as the job exports them to a place's folder; where they lie."""
    place = load_place("simulated", (f"warehouse={folder}",), frozenset(declared_jobs()))
    context = Context(spark, place, "benchmark", folder)
    buildings_geoparquet.run({"buildings": scattered(spark, count)}, BuildingsGeoparquetSettings(), context)
    return folder / FOLDER


def scattered(spark: SparkSession, count: int) -> DataFrame:
    """So many houses of one layer and epoch, anywhere in the box."""
    random = f"{SIDE} * pmod(xxhash64(id, {{seed}}), 1000003) / 1000003"
    at = {"x": f"{WEST} + {random.format(seed=1)}", "y": f"{SOUTH} + {random.format(seed=2)}"}
    corner = spark.range(count).selectExpr("id", *(f"{text} AS {name}" for name, text in at.items()))
    box = corner.selectExpr("id", "x AS xmin", "y AS ymin", "x + 1e-4 AS xmax", "y + 2e-4 AS ymax")
    told = {
        "layer": F.lit("b"), "epoch": F.lit("2020"), "building_id": F.sha2(F.col("id").cast("string"), 256).substr(1, 20),
        "geometry": F.expr("ST_AsBinary(ST_PolygonFromEnvelope(xmin, ymin, xmax, ymax))"), "shape": F.lit("regularised"),
        "open_edge": F.lit(False), "first_date": F.lit("2020-01-01"), "last_date": F.lit("2020-12-31"), "model_sha256": F.lit("ab"),
    }  # fmt: skip
    numbers = {
        name: F.rand(seed)
        for seed, name in enumerate(("area_m2", "perimeter_m", "orientation_deg", "compactness", "neighbour_m", "height_m", "confidence"))
    }
    full = box.withColumns(told | numbers | {"vertices": F.lit(4)})
    return full.select(*(F.col(column.name).cast(column.type) for column in BUILDINGS.columns))


def _bytes_of(paths: list[str], corner: NDArray[np.float64], table: Any) -> float:
    """Taken for one box a tenth as long and wide as the ground."""
    files = CountingFiles()
    west, south = corner
    bounds = {"xmax": (pc.greater_equal, west), "ymax": (pc.greater_equal, south)}
    bounds |= {"xmin": (pc.less_equal, west + SIDE / 10), "ymin": (pc.less_equal, south + SIDE / 10)}
    chosen = [test(pc.field("bbox", name), pa.scalar(float(bound))) for name, (test, bound) in bounds.items()]
    given = ds.dataset(paths, filesystem=PyFileSystem(FSSpecHandler(files)), format="parquet")
    found = given.to_table(filter=chosen[0] & chosen[1] & chosen[2] & chosen[3])
    by_hand = (table["bbox.xmax"] >= west) & (table["bbox.ymax"] >= south)
    by_hand &= (table["bbox.xmin"] <= west + SIDE / 10) & (table["bbox.ymin"] <= south + SIDE / 10)
    if set(found["building_id"].to_pylist()) != set(table.loc[by_hand, "building_id"]):
        raise ValueError(f"the box at {west:.4f}, {south:.4f} gives other buildings than all of them by hand")
    return float(files.bytes)
