"""Coverage: which tiles have a result, which have none and why, as one GeoParquet file in the place's folder. Parallel over tiles.
Run: ./spark-submit.sh coverage --place mumbai"""

from conf.settings import Settings
from conf.table import BBOX
from jobs.coverage_rows import coverage_rows
from jobs.geoparquet import write_geoparquet
from jobs.job import Context, Tables, job

FOLDER, FILE = "coverage", "coverage.parquet"
COLUMNS = (
    "layer", "epoch", "tile_id", "status", "kind", "reason", "next_step", "valid_share", "scenes_planned", "scenes_used",
    "scenes_failed", "attempts", "run_id", "geometry",
)  # fmt: skip
ORDER = ("layer", "epoch", "grid", "row", "col", "tile_id")
"""Neighbours lie together, so that readers skip what a box does not touch."""


class CoverageSettings(Settings):
    """Nothing to set."""


@job(reads=("built_up", "tiles"), writes=(), settings=CoverageSettings, parallel_over="tiles")
def coverage(tables: Tables, settings: CoverageSettings, context: Context) -> None:
    """A row for each layer, epoch and planned tile."""
    rows = coverage_rows(tables["tiles"], tables["built_up"]).persist()
    folder = context.storage / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_geoparquet(rows.select(*COLUMNS, *BBOX, "grid", "row", "col"), folder / FILE, ORDER)
    for row in rows.groupBy("status").count().collect():
        context.figures[f"tiles_{row['status']}"] = row["count"]
    rows.unpersist()
