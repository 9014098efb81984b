"""Urban extent: cities as UN-Habitat delineates them, from built-up pixels, whole across tiles, with the areas of their parts.
Parallel over fixed squares of 1,024 pixels. Run: ./spark-submit.sh urban_extent --place mumbai

A pixel's class follows from the pixels around it; open land enclosed by a city from the whole of it, however it winds."""

from functools import partial
from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import URBAN_EXTENT
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.connecting import FIELD
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.series_maps import declared_source, fed_maps, summed_source
from jobs.whole_components import cell_of_component, touching, with_blank_beyond, with_components, with_open_edges
from udfs.extent_squares import (
    AREA_NAMES,
    AREAS_DDL,
    BLANKS_DDL,
    CITY_DDL,
    PARTS_DDL,
    REST_DDL,
    SQUARES_DDL,
    area_frames,
    blank_frames,
    city_frames,
    part_frames,
    rest_frames,
    square_frame,
)
from udfs.footprints import FOOTPRINTS_DDL, footprint_frames
from udfs.merging import PIECES_DDL, piece_frames
from udfs.pixel_areas import MM2_PER_M2
from udfs.polygons import PLANAR_DDL, Outline, planar_frame
from udfs.urban_extent import DEFINITION, TRENDS_EARTH

HECTARE_MM2 = 10**10
_MAP = ("layer", "epoch", "grid", "crs", "tile_px", "row", "col", "transform", "threshold", "probability")


class UrbanExtentSettings(Settings):
    """By which rules a city ends."""

    method: Literal["definition", "trends_earth"] = Field(
        DEFINITION, description="trends_earth: a fringe of three pixels, and open land that ends with the data counts as enclosed"
    )
    most_captured_ha: int = Field(200, ge=0, description="enclosed open land up to this area is part of the city")
    one_task_pairs: int = Field(
        500_000, ge=0, description="graphs of more touching pieces are solved by Spark rounds", json_schema_extra={"matters": False}
    )


def no_fed_layer(place: Place, settings: UrbanExtentSettings) -> str | None:
    """Why the place does not run the job."""
    return None if place.fed_layer else "no layer feeds built_m2"


@job(
    reads=("built_up",), optional=("urban_series",), writes="urban_extent", settings=UrbanExtentSettings,
    parallel_over="fixed squares of 1,024 pixels", absent=no_fed_layer, sources=summed_source,
)  # fmt: skip
def urban_extent(tables: Tables, settings: UrbanExtentSettings, context: Context) -> DataFrame:
    """One row for each city of each epoch."""
    maps = fed_maps(tables, declared_source(context.place), context.place).where("status = 'done'").select(*_MAP)
    squares = _squares(maps, settings.method)
    blanks = kept(squares.mapInPandas(blank_frames, BLANKS_DDL))
    cities = _cities(squares, blanks, settings)
    with rows_per_batch(context.spark, ROWS_WITH_RASTERS):
        pieces = kept(cities.mapInPandas(partial(piece_frames, min_area_m2=0.0), PIECES_DDL))
        areas = kept(cities.mapInPandas(area_frames, AREAS_DDL))
    told = with_open_edges(with_blank_beyond(pieces, blanks), squares)
    whole = kept(with_components(told, touching(pieces), settings.one_task_pairs))
    sums = kept(_sums(areas, whole))
    planar = kept(_outlines(whole.join(sums, [*FIELD, "component"], "left_semi")))
    uncut = planar.withColumn("cuts", F.lit(None).cast("array<binary>"))
    outlines = uncut.mapInPandas(footprint_frames, FOOTPRINTS_DDL).withColumnRenamed("building_id", "extent_id")
    named = planar.select(*FIELD, "component", F.col("building_id").alias("extent_id")).join(sums, [*FIELD, "component"], "inner")
    extents = outlines.join(named.drop("grid", "component"), ["layer", "epoch", "extent_id"], "inner")
    return extents.withColumn("method", F.lit(settings.method)).select(*URBAN_EXTENT.names)


def _squares(maps: DataFrame, method: str) -> DataFrame:
    """Rows of SQUARES_DDL, kept."""
    with rows_per_batch(maps.sparkSession, ROWS_WITH_RASTERS):
        parts = maps.mapInPandas(partial(part_frames, method=method), PARTS_DDL)
        return kept(parts.groupBy(*FIELD, "row", "col").applyInPandas(partial(square_frame, method=method), SQUARES_DDL))


def _cities(squares: DataFrame, blanks: DataFrame, settings: UrbanExtentSettings) -> DataFrame:
    """Rows of CITY_DDL, kept: with the open land that whole components of what no city holds enclose."""
    with rows_per_batch(squares.sparkSession, ROWS_WITH_RASTERS):
        rest = kept(squares.mapInPandas(rest_frames, REST_DDL))
        told = with_open_edges(with_blank_beyond(rest, blanks), squares)
        whole = kept(with_components(told, touching(rest), settings.one_task_pairs))
        enclosed = ~F.max("open_edge") if settings.method != TRENDS_EARTH else F.lit(True)
        small = F.sum(F.col("open_mm2").cast("decimal(38,0)")) <= settings.most_captured_ha * HECTARE_MM2
        captured = whole.groupBy(*FIELD, "component").agg((enclosed & small).alias("captured")).where("captured")
        chosen = whole.join(captured, [*FIELD, "component"], "left_semi")
        listed = chosen.groupBy(*FIELD, "row", "col").agg(F.collect_list("piece").alias("captured"))
        return kept(squares.join(listed, [*FIELD, "row", "col"], "left").mapInPandas(city_frames, CITY_DDL))


def _outlines(whole: DataFrame) -> DataFrame:
    outline = Outline(min_area_m2=0, detail_m=0, tolerance_m=0)
    return (
        whole.withColumn("cell", cell_of_component())
        .groupBy(*FIELD, "cell")
        .applyInPandas(partial(planar_frame, outline=outline), PLANAR_DDL)
    )


def _sums(areas: DataFrame, whole: DataFrame) -> DataFrame:
    """Rows *FIELD, component and the areas of its classes, m2. Fringe that rural built pixels cut off from its town is nobody's."""
    of_pieces = areas.join(whole.select(*FIELD, "piece", "component"), [*FIELD, "piece"], "inner")
    sums = {name: F.sum(F.col(name).cast("decimal(38,0)")) for name in AREA_NAMES}
    m2 = [(total.cast("double") / MM2_PER_M2).alias(name.replace("_mm2", "_m2")) for name, total in sums.items()]
    return of_pieces.groupBy(*FIELD, "component").agg(*m2).where("urban_m2 + suburban_m2 > 0")
