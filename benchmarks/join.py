"""Buildings counted by unit as job `unit_statistics` does it, beside GeoPandas, DuckDB and SedonaDB, each on 2 cores at its best.

All read the same GeoParquet files anew each time and must give the same counts; session and connections are open and warm."""

import importlib.metadata
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.pairs import Measure, seconds_of, speed_ratio
from benchmarks.pruning import SIDE, SOUTH, WEST, exported
from conf.table import BBOX
from jobs.geoparquet import write_geoparquet
from jobs.sdg11.unit_statistics import counted_buildings, smallest_units
from jobs.session import start_session

BUILDINGS, UNITS, CORES, PAIRS = 1_000_000, 5_000, 2, 5
STEP = 2e-4
"""Between vertices of an outline before it is bent, degrees: some 230 a unit."""
SQL = """
SELECT unit_id, count(*) AS buildings
FROM (
    SELECT building_id, min(unit_id) AS unit_id
    FROM (SELECT building_id, ST_PointOnSurface(geometry) AS point FROM {buildings}) AS b
    JOIN {units} AS u ON ST_Intersects(u.geometry, b.point)
    GROUP BY building_id
) AS owned
GROUP BY unit_id
"""
Counts = dict[str, int]


class Files(NamedTuple):
    """GeoParquet: a folder of buildings, a file of units."""

    buildings: Path
    units: Path


def measure() -> list[Measure]:
    """Seconds of each of them ÷ seconds of ours. Raises ValueError where counts differ or DuckDB does not use its spatial join."""
    spark = start_session(f"local[{CORES}]", {})
    with tempfile.TemporaryDirectory() as folder:
        files = written(spark, Path(folder), BUILDINGS, UNITS)
        ours, others = partial(by_job, spark, files), {"geopandas": by_geopandas, "duckdb": by_duckdb, "sedonadb": by_sedonadb}
        note = f"{sum(ours().values()):,} of {BUILDINGS:,} buildings in {UNITS:,} units;"
        return [_beside(name, ours, other(files), note) for name, other in others.items()]


def _beside(name: str, ours: Callable[[], Counts], theirs: Callable[[], Counts], note: str) -> Measure:
    found = speed_ratio(f"join: {name}", ours, theirs, agree, None, PAIRS, note)
    slower = "" if found.median >= 1 else "; Spark loses on one machine"
    return found._replace(note=f"{found.note}, {name} {importlib.metadata.version(name)}{slower}")


def written(spark: SparkSession, folder: Path, buildings: int, units: int) -> Files:
    """Both, by the project's own writers."""
    shapes = irregular_units(units)
    rows = [(f"{number:05d}", None, bytearray(shape.wkb), *shape.bounds) for number, shape in enumerate(shapes)]
    columns = ", ".join(f"{name} double" for name in BBOX)
    frame = spark.createDataFrame(rows, f"unit_id string, parent_id string, geometry binary, {columns}")
    write_geoparquet(frame, folder / "units.parquet", ("unit_id",))
    return Files(exported(spark, folder, buildings) / "b" / "2020", folder / "units.parquet")


def irregular_units(count: int, seed: int = 9) -> NDArray[np.object_]:
    """So many cells around random points, of bent edges that neighbours share; some buildings at the frame lie in none."""
    frame = shapely.box(WEST, SOUTH, WEST + SIDE, SOUTH + SIDE)
    points = np.array([WEST, SOUTH]) + SIDE * (0.01 + 0.98 * np.random.default_rng(seed).random((count, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=frame))
    fine = shapely.segmentize(shapely.intersection(cells, frame.buffer(-0.01 * SIDE)), STEP)
    bent: NDArray[np.object_] = shapely.transform(fine, _bent)
    return bent


def _bent(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth shift of the plane: neighbours keep their common edges."""
    return xy + sum(size * np.sin(xy[:, ::-1] / (4 * size)) for size in (1e-3, 3e-4, 1e-4))


def by_job(spark: SparkSession, files: Files) -> Counts:
    spark.catalog.clearCache()  # units, which a run keeps
    smallest = smallest_units(spark.read.parquet(str(files.units)))
    rows = counted_buildings(spark.read.parquet(str(files.buildings)), smallest).collect()
    return {row["unit_id"]: row["buildings"] for row in rows}


def by_geopandas(files: Files) -> Callable[[], Counts]:
    """With the table on the left that is faster there."""

    def run(units_left: bool) -> Counts:
        buildings = geopandas.read_parquet(files.buildings, columns=["geometry"])
        points = geopandas.GeoDataFrame({"building": np.arange(len(buildings))}, geometry=buildings.representative_point())
        units = geopandas.read_parquet(files.units, columns=["unit_id", "geometry"])
        pairs = geopandas.sjoin(*((units, points) if units_left else (points, units)), predicate="intersects")
        owner = pairs["unit_id"] if pairs["building"].is_unique else pairs.groupby("building")["unit_id"].min()
        return dict(owner.value_counts())

    seconds = {left: seconds_of(partial(run, left)) for left in (True, False)}
    return partial(run, min(seconds, key=lambda left: seconds[left]))


def by_duckdb(files: Files) -> Callable[[], Counts]:
    import duckdb
    import duckdb_extensions

    connection = duckdb.connect(config={"threads": CORES})
    duckdb_extensions.import_extension("spatial", con=connection)
    connection.load_extension("spatial")
    query = SQL.format(buildings=f"'{files.buildings}/*.parquet'", units=f"'{files.units}'")
    plan = str(connection.execute(f"EXPLAIN {query}").fetchall())
    if "SPATIAL_JOIN" not in plan:
        raise ValueError(f"DuckDB plans another join than its spatial one: {plan}")
    return lambda: dict(connection.execute(query).fetchall())


def by_sedonadb(files: Files) -> Callable[[], Counts]:
    import sedonadb

    context = sedonadb.connect()
    context.sql(f"SET datafusion.execution.target_partitions = {CORES}").execute()

    def run() -> Counts:
        for name, path in {"buildings": files.buildings, "units": files.units}.items():
            context.read_parquet(path).to_view(name, overwrite=True)
        rows = pa.table(context.sql(SQL.format(buildings="buildings", units="units")))
        return dict(zip(*(rows[name].to_pylist() for name in ("unit_id", "buildings")), strict=True))

    return run


def agree(ours: Counts, theirs: Counts) -> None:
    """Raises ValueError unless every unit has as many buildings."""
    differing = [unit for unit in ours.keys() | theirs.keys() if ours.get(unit) != theirs.get(unit)]
    if differing:
        unit = min(differing)
        raise ValueError(f"{len(differing)} units differ, unit {unit}: {ours.get(unit)} and {theirs.get(unit)} buildings")
