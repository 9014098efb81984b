"""Built-up tiles as Cloud Optimized GeoTIFFs with a STAC catalog, for GIS users. Parallel over tiles.
Run: ./spark-submit.sh built_up_cogs --place mumbai"""

import re
from functools import partial
from typing import Any, Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import STORAGE, Place
from conf.settings import Settings
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.job import Context, Tables, job
from udfs.exported_tiles import (
    EPOCHS_DDL,
    EXPORTED_DDL,
    Export,
    check_folder,
    claim_folder,
    epoch_frame,
    export_batches,
    remove_left,
)
from udfs.files import write_json
from udfs.stac_export import CATALOG, COLLECTION, Credit, LayerSummary, collection, root_catalog

PARTITIONS_PER_CORE = 3
COLUMNS = (
    "layer", "epoch", "tile_id", "crs", "tile_px", "transform", "probability", "threshold", "valid_share", "first_date", "last_date",
    "scenes_used", "scenes_failed", "model_name", "model_version", "model_sha256", "run_id", "geometry", "xmin", "ymin", "xmax", "ymax",
)  # fmt: skip
FOLDER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class BuiltUpCogsSettings(Settings):
    """Where the files go, and what is in them."""

    folder: str = Field(f"{STORAGE}/exports/built_up", description="of nothing else: files of tiles that are no longer there are removed")
    binary: bool = Field(False, description="a second file a tile: 1 built-up, 0 not, 255 no data")
    block_px: Literal[256, 512] = Field(256, description="side of the files' blocks, pixels")
    licence: str = Field("other", pattern=r"^[\w.+-]+$", description="of the results, an SPDX name; the images' own stand with the items")


def export_sources(place: Place, settings: BuiltUpCogsSettings) -> dict[str, str]:
    """The folder. Raises InputError where it holds other things, or a layer or an epoch cannot be a folder's name."""
    for kind, names in (("layer", place.layers), ("epoch", [epoch.name for epoch in place.epochs])):
        for name in names:
            if not FOLDER_NAME.fullmatch(name):
                raise InputError(
                    f"{kind} {name!r} cannot name a folder of the export; use letters, digits, '_', '-' and '.', and no '.' first"
                )
    folder = place.located(settings.folder)
    check_folder(folder, place.name)
    return {"folder": str(folder)}


@job(
    reads=("built_up", "scenes"), writes=(), settings=BuiltUpCogsSettings, parallel_over="tiles", in_flow=False, sources=export_sources,
)  # fmt: skip
def built_up_cogs(tables: Tables, settings: BuiltUpCogsSettings, context: Context) -> None:
    """Files and items first, by tile; then the catalogs from the epochs up, so that what is linked stands; then the rest is removed."""
    place, folder = context.place, context.place.located(settings.folder)
    declared = F.col("layer").isin(list(place.layers)) & F.col("epoch").isin([epoch.name for epoch in place.epochs])
    done = tables["built_up"].where((F.col("status") == "done") & declared).select(*COLUMNS)
    export = Export(str(folder), place.name, credits_of(tables["scenes"], done), settings.binary, settings.block_px)
    claim_folder(folder, place.name, place.title)
    exported = _exported(done, export, context)
    summaries = layer_summaries(done, place, export.credits)
    epochs = exported.groupBy("layer", "epoch").applyInPandas(partial(epoch_frame, export=export), EPOCHS_DDL).collect()
    for summary in summaries:
        write_json(folder / summary.layer / COLLECTION, collection(place.name, summary, settings.licence))
    write_json(folder / CATALOG, root_catalog(place.name, place.title, [summary.layer for summary in summaries]))
    left = remove_left(folder, {summary.layer: summary.epochs for summary in summaries})
    context.figures["tiles_exported"] = sum(row["tiles"] for row in epochs)
    context.figures["tiles_written"] = exported.agg(F.sum("written")).first()[0] or 0
    context.figures["files_removed"] = left + sum(row["removed"] for row in epochs)
    exported.unpersist()


def credits_of(scenes: DataFrame, done: DataFrame) -> dict[str, Credit]:
    """Scene id to licence and attribution, of the scenes that tiles come from."""
    used = done.select(F.explode("scenes_used").alias("scene_id")).distinct()
    rows = used.join(scenes, on="scene_id", how="left").select("scene_id", "licence", "attribution").collect()
    return {row["scene_id"]: Credit(row["licence"], row["attribution"]) for row in rows}


def _exported(done: DataFrame, export: Export, context: Context) -> DataFrame:
    """EXPORTED_DDL, kept: it is read twice. A task that runs again finds its files there."""
    parts = PARTITIONS_PER_CORE * context.spark.sparkContext.defaultParallelism
    with rows_per_batch(context.spark, ROWS_WITH_RASTERS):
        exported = done.repartition(parts, "layer", "epoch", "tile_id").mapInPandas(partial(export_batches, export=export), EXPORTED_DDL)
        exported.persist().count()
    return exported


def layer_summaries(done: DataFrame, place: Place, credits: dict[str, Credit]) -> list[LayerSummary]:
    """What each layer's collection says, by name of layer; epochs by date."""
    rows = done.groupBy("layer").agg(
        F.min("xmin").alias("west"), F.min("ymin").alias("south"), F.max("xmax").alias("east"), F.max("ymax").alias("north"),
        F.min("first_date").alias("first"), F.max("last_date").alias("last"),
        F.sort_array(F.collect_set("epoch")).alias("epochs"), F.sort_array(F.collect_set("model_sha256")).alias("models"),
    )  # fmt: skip
    used = done.select("layer", F.explode("scenes_used").alias("scene_id")).distinct().collect()
    return [
        _summary(row, place, sorted({credits[pair["scene_id"]] for pair in used if pair["layer"] == row["layer"]}, key=_credit_order))
        for row in rows.orderBy("layer").collect()
    ]


def _summary(row: Any, place: Place, credits: list[Credit]) -> LayerSummary:
    epochs = tuple(epoch.name for epoch in place.epochs if epoch.name in row["epochs"])
    bbox = row["west"], row["south"], row["east"], row["north"]
    return LayerSummary(row["layer"], epochs, bbox, row["first"], row["last"], tuple(row["models"]), tuple(credits))


def _credit_order(credit: Credit) -> tuple[str, str]:
    return credit.licence or "", credit.attribution or ""
