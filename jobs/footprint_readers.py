"""Footprints of one declared source as rows: files that Microsoft and Google list, GeoParquet, vector files."""

import datetime as dt
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urljoin

import shapely
from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import InputError, ReadError
from conf.place import Place
from conf.settings import Settings
from conf.table import BBOX
from jobs.job import Context
from udfs.addresses import Allowed, address_of, pattern_of
from udfs.footprint_files import (
    FILES_DDL,
    FOOTPRINTS_DDL,
    MOST_INDEX_BYTES,
    File,
    file_batches,
    google_files,
    microsoft_files,
    outline_batches,
    vector_footprints,
)
from udfs.image_files import files_like, fixed_folder, located
from udfs.images import Opener, OpeningRules
from udfs.versions import content_digest

INDEXES = {"microsoft": ".csv", "google": ".geojson"}
"""How the name of a publisher's index ends."""


class FootprintSource(Settings):
    """Where footprints come from."""

    kind: Literal["microsoft", "google", "overture", "osm", "vector"]
    path: str = Field(
        description="microsoft: dataset-links.csv, its index; google: tiles.geojson, its index; of both also files, with *; overture, osm: "
        "a GeoParquet file or folder; vector: a vector file. {storage} is the place's folder"
    )
    locations: tuple[str, ...] = Field((), description="of Microsoft's index, e.g. [Uganda]; default: all that meet the tiles")
    least_confidence: float = Field(0.0, ge=0, le=1, description="footprints that their publisher is less sure of are left out")
    date: dt.date | None = Field(None, description="day by which the buildings stood, where the files tell none")
    date_column: str | None = Field(None, description="of a vector file: the day or year by which each building stood")
    licence: str | None = None
    attribution: str | None = None

    @model_validator(mode="after")
    def suited(self) -> "FootprintSource":
        for name, kind in (("locations", "microsoft"), ("date_column", "vector")):
            if getattr(self, name) and self.kind != kind:
                raise ValueError(f"{name} is for kind {kind}, not {self.kind}")
        return self

    @property
    def is_index(self) -> bool:
        return self.path.lower().endswith(INDEXES.get(self.kind, " "))


def digests_of(source: FootprintSource, place: Place) -> dict[str, str]:
    """File to the digest of its content, of a remote one to its name: what it holds shows when it is read. Raises InputError."""
    path = located(source.path, place.folder)
    if address_of(path).is_remote:
        return {path: "remote"}
    try:
        return {Path(file).name: content_digest(Path(file)) for file in _local_files(path, source)}
    except ReadError as error:
        raise InputError(f"footprints: {error}") from None


def read_source(source: FootprintSource, ground: DataFrame, context: Context) -> DataFrame:
    """Rows of `footprints`, and rows without a geometry for what is no polygon. `ground`: tiles with their boxes. Raises InputError."""
    if source.kind == "vector":
        found = _from_vector(source, context)
    elif source.kind in ("overture", "osm"):
        found = _from_parquet(source, ground, context.place)
    else:
        found = _from_files(source, ground, context)
    sure = F.col("confidence").isNull() | (F.col("confidence") >= source.least_confidence)
    return found.where(sure).withColumns(
        {
            "label_date": F.coalesce("label_date", F.lit(source.date)),
            "licence": F.lit(source.licence).cast("string"),
            "attribution": F.lit(source.attribution).cast("string"),
        }
    )


def _local_files(path: str, source: FootprintSource) -> list[str]:
    """Raises InputError where there is none."""
    found = [str(file) for file in sorted(Path(path).rglob("*.parquet"))] if Path(path).is_dir() else files_like(path)
    if not found or not all(Path(file).is_file() for file in found):
        raise InputError(f"footprints: no file {source.path}; fetch it or correct footprints.sources")
    return found


def _from_vector(source: FootprintSource, context: Context) -> DataFrame:
    path = Path(located(source.path, context.place.folder))
    frame = vector_footprints(path, source.date_column, source.date, path.stem)
    return context.spark.createDataFrame(frame.astype(object).where(frame.notna(), None).to_numpy().tolist(), FOOTPRINTS_DDL)


def _from_files(source: FootprintSource, ground: DataFrame, context: Context) -> DataFrame:
    rules = _rules(source, context)
    files = _near(_listed(source, rules, context.place), ground)
    if not files:
        raise InputError(f"footprints: no file of {source.path} lies on a tile; check the place's area, or locations")
    rows = [(source.kind, file.href, file.label_date) for file in files]
    listed = context.spark.createDataFrame(rows, FILES_DDL).repartition(len(rows))
    return listed.mapInPandas(partial(file_batches, rules=rules), FOOTPRINTS_DDL)


def _rules(source: FootprintSource, context: Context) -> OpeningRules:
    """The folder, or the host, that the source names, and what `access` adds."""
    place, path = context.place, located(source.path, context.place.folder)
    address = address_of(path)
    hosts = (*place.access.hosts, *((pattern_of(address),) if address.is_remote else ()))
    roots = (*([] if address.is_remote else [str(Path(fixed_folder(path)).resolve())]), *place.access.roots)
    at_once = max(1, place.access.requests_per_host // context.spark.sparkContext.defaultParallelism)
    return OpeningRules(Allowed(roots, hosts), place.access, at_once)


def _listed(source: FootprintSource, rules: OpeningRules, place: Place) -> list[File]:
    path = located(source.path, place.folder)
    if not source.is_index:
        return [File(path)] if address_of(path).is_remote else [File(file) for file in _local_files(path, source)]
    try:
        with Opener(rules) as opener:
            index = opener.text(path, MOST_INDEX_BYTES)
    except ReadError as error:
        raise InputError(f"footprints: {error}") from None
    found = microsoft_files(index, source.locations) if source.kind == "microsoft" else google_files(index)
    return [file._replace(href=file.href if "://" in file.href else urljoin(path, file.href)) for file in found]


def _near(files: list[File], ground: DataFrame) -> list[File]:
    """Those that may hold footprints of the ground."""
    told = [number for number, file in enumerate(files) if file.ground is not None]
    spark = ground.sparkSession
    rows = [(number, bytes(shapely.to_wkb(files[number].ground))) for number in told]
    squares = spark.createDataFrame(rows, "number int, ground binary").selectExpr("number", "ST_GeomFromWKB(ground) AS ground")
    tiles = ground.selectExpr("ST_GeomFromWKB(geometry) AS tile")
    met = squares.join(tiles, F.expr("ST_Intersects(ground, tile)"), how="inner").select("number").distinct().collect() if told else []
    kept = {row["number"] for row in met} | set(range(len(files))) - set(told)
    return [file for number, file in enumerate(files) if number in kept]


def _from_parquet(source: FootprintSource, ground: DataFrame, place: Place) -> DataFrame:
    """Raises InputError where the table has not the columns of its kind."""
    table = ground.sparkSession.read.parquet(located(source.path, place.folder))
    columns = _of_overture(table, source.path) if source.kind == "overture" else _of_osm(table, source.path)
    near, boxes = (_boxed(table, ground), [F.col("bbox")[name].alias(name) for name in BBOX]) if _has_boxes(table) else (table, [])
    told = near.where(columns.is_building)
    chosen = told.select("geometry", columns.confidence.alias("confidence"), columns.label_date.alias("label_date"), *boxes)
    return chosen.mapInPandas(partial(outline_batches, source=source.kind), FOOTPRINTS_DDL)


class _Columns(NamedTuple):
    """What rows of a table of buildings say."""

    is_building: Column
    confidence: Column
    label_date: Column


def _of_overture(table: DataFrame, path: str) -> _Columns:
    """Theme buildings: the first of `sources` is that of the outline."""
    _check_columns(table, ("geometry", "sources"), path)
    first = F.col("sources")[0]
    return _Columns(F.lit(True), first["confidence"], F.to_date(F.substring(first["update_time"], 1, 10)))


def _of_osm(table: DataFrame, path: str) -> _Columns:
    """Elements with `tags`, or with a column for the tag building; `timestamp`, where it is there, is that of the last edit."""
    _check_columns(table, ("geometry",), path)
    if not {"tags", "building"} & set(table.columns):
        raise InputError(f"footprints: {path} has neither column tags nor column building; it is no table of OpenStreetMap's buildings")
    tag = F.col("building") if "building" in table.columns else F.col("tags")["building"]
    edited = F.to_date("timestamp") if "timestamp" in table.columns else F.lit(None).cast("date")
    return _Columns(F.coalesce(tag != "no", F.lit(False)), F.lit(None).cast("double"), edited)


def _check_columns(table: DataFrame, names: tuple[str, ...], path: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(f"footprints: {path} has no column {', '.join(missing)}; it has {', '.join(table.columns[:12])}")
    if (kind := dict(table.dtypes)["geometry"]) != "binary":
        raise InputError(
            f"footprints: column geometry of {path} is of type {kind[:40]}; WKB is expected, so write the file with encoding WKB"
        )


def _has_boxes(table: DataFrame) -> bool:
    """Whether column bbox is one of Overture's kind."""
    kind = table.schema["bbox"].dataType if "bbox" in table.columns else None
    return isinstance(kind, StructType) and set(BBOX) <= set(kind.names)


def _boxed(table: DataFrame, ground: DataFrame) -> DataFrame:
    """Rows whose box meets the box of the ground, or is null: Parquet passes over the others unread."""
    west, south, east, north = ground.agg(F.min("xmin"), F.min("ymin"), F.max("xmax"), F.max("ymax")).first()
    xmin, ymin, xmax, ymax = (F.col("bbox")[name] for name in BBOX)
    meets = (xmax >= west) & (xmin <= east) & (ymax >= south) & (ymin <= north)
    return table.where(meets | xmin.isNull() | ymin.isNull() | xmax.isNull() | ymax.isNull())
