"""Scenes: the images of a place, with what their catalogs or headers say. Parallel over scenes.
Run: ./spark-submit.sh scenes --place mumbai"""

from functools import partial, reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import STORAGE, Place, Source
from conf.settings import Settings
from conf.tables import SCENES
from jobs.declared_scenes import declared_scenes, rules_of, search_bounds
from jobs.job import Context, Tables, job
from udfs.image_files import located
from udfs.scene_rows import REFUSED, UNREAD, item_batches, scene_row


class ScenesSettings(Settings):
    """Where the images are."""

    # The content of the images, not where they lie, decides results; that is digested by `scene_sources`.
    sources: tuple[Source, ...] = Field(
        min_length=1, json_schema_extra={"matters": False}, description="STAC catalogs, APIs or tables of items, or files"
    )


def scene_sources(place: Place, settings: ScenesSettings) -> dict[str, Any]:
    """Digests of all scenes and their bounds; a catalog that `simulated_city` has yet to write is pending."""
    if _is_pending(place, settings):
        return {"pending": True}
    scenes = declared_scenes(place, settings.sources)
    described = {scene.scene_id: [scene.content_digest, scene.cloud, scene.licence, scene.attribution] for scene in scenes}
    tabled = {str(source.items): _state(place, source) for source in settings.sources if source.items}
    found: dict[str, Any] = {"scenes": described, **({"items": tabled} if tabled else {})}
    if scenes and not tabled:
        found["bounds"] = [float(value) for value in shapely.total_bounds(shapely.from_wkb([scene.footprint for scene in scenes]))]
    return found


def _is_pending(place: Place, settings: ScenesSettings) -> bool:
    catalogs = [source.stac for source in settings.sources if source.stac and STORAGE in source.stac]
    return any(not place.located(path).exists() for path in catalogs)


def _state(place: Place, source: Source) -> list[list[Any]]:
    """Name, bytes and time of each file of a table of items: it may be too long to be read here. Raises InputError."""
    path = Path(located(str(source.items), place.folder))
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise InputError(f"{source.items}: no stac-geoparquet file; fetch it or correct scenes.sources")
    _check_columns(files[0], str(source.items))
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _check_columns(path: Path, declared: str) -> None:
    """Raises InputError where a file is no stac-geoparquet."""
    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{declared}: {path.name} is no Parquet file: {str(error).splitlines()[0][:120]}") from None
    missing = sorted({"id", "assets", "geometry", "bbox"} - names)
    if missing:
        raise InputError(f"{declared}: {path.name} has no column {', '.join(missing)}; it is no stac-geoparquet file")


@job(writes="scenes", settings=ScenesSettings, parallel_over="scenes", after=("simulated_city",), sources=scene_sources)
def scenes(tables: Tables, settings: ScenesSettings, context: Context) -> DataFrame:
    """One row an image. Of catalogs and folders only headers travel, so the driver's threads read them; tables of items are Spark's."""
    found = declared_scenes(context.place, settings.sources)
    rows = [scene_row(scene, context.place.attribution) for scene in found]
    listed = context.spark.createDataFrame([tuple(row[name] for name in SCENES.names) for row in rows], SCENES.ddl)
    context.figures["scenes"] = len(found)
    context.figures["scenes_unreadable"] = sum(scene.fault is not None for scene in found)
    tabled = [_from_items(context, source) for source in settings.sources if source.items]
    return reduce(DataFrame.unionByName, tabled, listed).select(*SCENES.names)


def _from_items(context: Context, source: Source) -> DataFrame:
    """Rows of `scenes` from a stac-geoparquet file. Raises InputError when not one item of it is a scene."""
    place, spark = context.place, context.spark
    items = _within(spark.read.parquet(located(str(source.items), place.folder)), source, place)
    columns = F.struct(*(F.col(quoted(name)) for name in items.columns if name not in ("geometry", "bbox", "links")))
    shell = partial(
        item_batches, source=source, rules=rules_of(place, spark.sparkContext.defaultParallelism), attribution=place.attribution
    )
    nullable = ", ".join(f"{column.name} {column.type}" for column in SCENES.columns)
    read = (
        items.select(F.to_json(columns).alias("item"), "geometry")
        .mapInPandas(shell, f"{nullable}, {REFUSED} string, {UNREAD} string")
        .persist()
    )
    refused = F.col(REFUSED).isNotNull()
    counts = {"sound": F.count_if(~refused), "bad": F.count_if(refused), "why": F.min(REFUSED), "unread": F.min(UNREAD)}
    counted = read.agg(*(column.alias(name) for name, column in counts.items())).first()
    if counted["unread"]:
        raise InputError(f"{source.items}: {counted['unread']}; its header is needed and cannot be read: mend it or take the item out")
    if not counted["sound"]:
        raise InputError(f"{source.items}: no item becomes a scene: {counted['why'] or 'none lies in the epochs and the area'}")
    context.figures["scenes"] += counted["sound"]
    context.figures["items_refused"] = context.figures.get("items_refused", 0) + counted["bad"]
    return read.where(~refused).drop(REFUSED, UNREAD)


def quoted(name: str) -> str:
    """A column's name as Spark's SQL has it, whatever it holds."""
    return f"`{name.replace('`', '``')}`"


def _within(items: DataFrame, source: Source, place: Place) -> DataFrame:
    """Items of the source's collections that lie in the area and in an epoch."""
    bounds = search_bounds(place)
    if source.collections:
        items = items.where(F.col("collection").isin(*source.collections))
    moment = F.coalesce(*(F.col(name) for name in ("datetime", "start_datetime") if name in items.columns))
    taken = reduce(lambda one, other: one | other, (F.to_date(moment).between(*span) for span in bounds.spans))
    items = items.where(taken)
    west, south, east, north = source.bbox or bounds.bbox or (-180.0, -90.0, 180.0, 90.0)
    box = {name: F.col(f"bbox.{name}") for name in ("xmin", "ymin", "xmax", "ymax")}
    in_height = (box["ymax"] >= south) & (box["ymin"] <= north)
    # A box whose west is greater than its east lies over 180 degrees: all beside it that is not between the two.
    ends_after, begins_before, over_180 = box["xmax"] >= west, box["xmin"] <= east, box["xmin"] > box["xmax"]
    within = (
        (ends_after & begins_before) | (over_180 & (ends_after | begins_before)) if west <= east else ends_after | begins_before | over_180
    )
    return items.where(in_height & within)
