"""Windows as jobs make them: those to learn from, and ground that no course learns from."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.windows import JUDGE, WINDOW_DDL
from jobs.job import Tables
from jobs.recipes import Recipe, held_out_orders, untrained_spec
from models.streaming import held_windows
from models.windows import Window, read_windows
from udfs.training_windows import window_batches

MOST_TILES = 256
"""Tiles of split `judge` that are judged on: the first by tile id, the same each time."""


def held_out_windows(recipe: Recipe, tables: Tables, path: Path) -> list[Window]:
    """What the recipe orders to judge on, kept in one Parquet file, and tiles of split `judge` where it learns from tiles.

    Raises InputError where there is none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = held_out_orders(recipe)
    found = made_windows(ordered, path) if ordered else []
    if recipe.tiles:
        found += held_windows(tile_files(tables), JUDGE, untrained_spec(recipe).channels, MOST_TILES)
    if not found:
        raise InputError(f"network {recipe.spec['name']}: no held-out ground; give its recipe windows of split `judge`, or `tiles`")
    return found


def written_windows(spark: SparkSession, orders: list[str], folder: Path) -> list[str]:
    """Windows of orders as Parquet files in a folder, made by Spark; their paths."""
    ordered = spark.createDataFrame([(text,) for text in orders], "spec string").repartition(len(orders))
    ordered.mapInArrow(window_batches, WINDOW_DDL).write.mode("overwrite").parquet(str(folder))
    return sorted(str(path) for path in folder.glob("*.parquet"))


def made_windows(orders: list[str], path: Path) -> list[Window]:
    """Windows of orders, kept in one Parquet file."""
    batches: Iterator[pa.RecordBatch] = window_batches(iter([pa.record_batch([pa.array(orders)], names=["spec"])]))
    pq.write_table(pa.Table.from_batches(list(batches)), path)
    return read_windows([str(path)])


def tile_files(tables: Tables) -> list[str]:
    """The Parquet files of `training_tiles`. Raises InputError where they are not there, or not on a disk."""
    if "training_tiles" not in tables:
        raise InputError("the recipe learns from training_tiles and the place has none; run footprints and training_tiles first")
    found = [urlparse(uri) for uri in tables["training_tiles"].inputFiles()]
    if any(uri.scheme not in ("", "file") for uri in found):
        raise InputError(f"training_tiles lie in {found[0].scheme}:, and a course reads from a disk; copy the table to one")
    return sorted(unquote(uri.path) for uri in found)
