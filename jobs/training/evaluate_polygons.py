"""Evaluate polygons: buildings beside known ones, by unit. Figures and JSON. Parallel over squares of ground.
Run: ./spark-submit.sh evaluate_polygons --place simulated --set evaluate_polygons.known=truth_buildings"""

import json
import logging
from pathlib import Path
from typing import Any, Literal

import shapely
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.fine_layers import chosen_epoch, chosen_layer
from jobs.job import Context, Tables, job
from jobs.mapped_ground import mapped_ground
from jobs.matched_polygons import faults_of, on_squares, pairs_of, with_quarters
from udfs.areas import file_area
from udfs.average_precision import CONFIDENCE_BINS
from udfs.files import write_whole
from udfs.image_files import located
from udfs.polygon_figures import COUNTS, EVERYWHERE, figures_by_region
from udfs.polygon_matching import FOUND, KNOWN
from udfs.versions import content_digest

LOG = logging.getLogger(__name__)
POLYGON = ("id", "confidence", "geometry", "xmin", "ymin", "xmax", "ymax")


class EvaluatePolygonsSettings(Settings):
    """What is compared with what, and where."""

    known: Literal["footprints", "truth_buildings"] = Field("footprints", description="table of the buildings that are right")
    source: str | None = Field(None, description="of table footprints; needed where it holds several")
    layer: str | None = Field(None, description="default: the finest")
    epoch: str | None = Field(None, description="default: the last one")
    ground: str | None = Field(None, description="vector file of the ground that is judged; {storage} is the place's folder")
    level: int | None = Field(None, ge=0, description="of the units that figures are told by, too")
    kinds: bool = Field(False, description="figures by kind of true buildings, too: a found one counts with the nearest true one")
    min_area_m2: float = Field(4.0, ge=0, description="smaller ones, m2, count neither as known nor as found, nor does their match")
    band_m: float = Field(1.0, gt=0, description="width of the boundary whose IoU is told, m")


def polygon_sources(place: Place, settings: EvaluatePolygonsSettings) -> Any:
    """The layer, the epoch and the ground's digest. Raises InputError."""
    if settings.kinds and (settings.known != "truth_buildings" or settings.level is not None):
        raise InputError("evaluate_polygons.kinds: only truth_buildings tell kinds, and units of a level cannot be told with them")
    layer, epoch = _chosen(place, settings)
    return [layer, epoch, content_digest(Path(path)) if (path := _ground_path(place, settings)) and _area(path) else None]


@job(
    reads=("buildings", "built_up"), optional=("footprints", "truth_buildings", "units"), writes=(), settings=EvaluatePolygonsSettings,
    parallel_over="squares of ground", in_flow=False, sources=polygon_sources,
)  # fmt: skip
def evaluate_polygons(tables: Tables, settings: EvaluatePolygonsSettings, context: Context) -> None:
    """Figures of all ground, and of each unit of `level`, in `evaluation/polygons.json` of the place."""
    layer, epoch = _chosen(context.place, settings)
    found = tables["buildings"].where((F.col("layer") == layer) & (F.col("epoch") == epoch)).withColumnRenamed("building_id", "id")
    known, untold = _known(tables, settings, context.place, epoch), F.lit(None).cast("string")
    both = _kind(found, FOUND, untold).unionByName(_kind(known, KNOWN, F.col("kind") if settings.kinds else untold))
    done = tables["built_up"].where((F.col("layer") == layer) & (F.col("epoch") == epoch) & (F.col("status") == "done"))
    judged = _mapped(_judged(both, context.place, settings), mapped_ground(done))
    polygons = _with_regions(judged, tables, settings).persist()
    squares = on_squares(polygons).persist()
    pairs = pairs_of(squares, settings.band_m)
    figures = figures_by_region(_counts(polygons, pairs).toPandas(), faults_of(squares).toPandas())
    if not figures:
        raise InputError("no building, found or known, lies on the judged ground; check ground, layer and epoch")
    path = context.storage / "evaluation" / "polygons.json"
    text = json.dumps({"layer": layer, "epoch": epoch, "regions": figures}, indent=1, sort_keys=True) + "\n"
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))
    LOG.info("%s", text)
    context.figures.update(figures[EVERYWHERE])


def _chosen(place: Place, settings: EvaluatePolygonsSettings) -> tuple[str, str]:
    section = "evaluate_polygons"
    return chosen_layer(place, section, settings.layer), chosen_epoch(place, f"{section}.epoch", settings.epoch)


def _ground_path(place: Place, settings: EvaluatePolygonsSettings) -> str | None:
    return located(settings.ground, place.folder) if settings.ground else None


def _area(path: str) -> Any:
    return file_area(Path(path), None, ())


def _known(tables: Tables, settings: EvaluatePolygonsSettings, place: Place, epoch: str) -> DataFrame:
    """Of truth_buildings those that stand in the epoch's reference year. Raises InputError where the place has no such table."""
    if settings.known not in tables:
        raise InputError(
            f"the place has no table {settings.known}; run {settings.known.replace('truth_buildings', 'simulated_city')} first"
        )
    if settings.known == "footprints":
        return _of_source(tables["footprints"], settings.source).withColumnRenamed("footprint_id", "id")
    year = next(each.reference.year for each in place.epochs if each.name == epoch)
    stands = (F.col("year_built") <= year) & (F.col("year_gone").isNull() | (F.col("year_gone") > year))
    return tables["truth_buildings"].where(stands).withColumnRenamed("building_id", "id").withColumn("confidence", F.lit(1.0))


def _of_source(footprints: DataFrame, source: str | None) -> DataFrame:
    """Of one source: of two, each building would be known twice. Raises InputError."""
    held = sorted(row["source"] for row in footprints.select("source").distinct().collect())
    if (source is None and len(held) > 1) or (source is not None and source not in held):
        raise InputError(f"evaluate_polygons.source {source}: table footprints holds {', '.join(held) or 'nothing'}; name one of them")
    return footprints.where(F.col("source") == source) if source else footprints


def _kind(polygons: DataFrame, kind: str, quarter: Column) -> DataFrame:
    return polygons.select(F.lit(kind).alias("kind"), quarter.alias("quarter"), *POLYGON)


def _judged(polygons: DataFrame, place: Place, settings: EvaluatePolygonsSettings) -> DataFrame:
    """Those with a point inside on judged ground, `point`; `small`: under min_area_m2."""
    shape = "ST_GeomFromWKB(geometry)"
    small = F.expr(f"ST_AreaSpheroid({shape})") < settings.min_area_m2
    pointed = polygons.withColumn("small", small).withColumn("point", F.expr(f"ST_PointOnSurface({shape})"))
    path = _ground_path(place, settings)
    return pointed.where(F.expr(f"ST_Intersects(ST_GeomFromWKB(X'{shapely.to_wkb(_area(path), hex=True)}'), point)")) if path else pointed


def _mapped(polygons: DataFrame, ground: DataFrame) -> DataFrame:
    """Those on ground of which the layer has data: what lies elsewhere could not be found."""
    seen = polygons.alias("p").join(ground.select("shape").alias("g"), F.expr("ST_Intersects(g.shape, p.point)"), "inner")
    return polygons.join(seen.select("kind", "id").distinct(), ["kind", "id"], "left_semi")


def _with_regions(polygons: DataFrame, tables: Tables, settings: EvaluatePolygonsSettings) -> DataFrame:
    """Adds `region`: the unit of `level` that the point lies in, or the kind of building; "" outside of all."""
    if settings.kinds:
        return with_quarters(polygons.drop("point")).withColumnRenamed("quarter", "region").fillna("", ["region"])
    if settings.level is None:
        return polygons.drop("point").withColumn("region", F.lit(""))
    if "units" not in tables:
        raise InputError(f"evaluate_polygons.level {settings.level}: the place has no table units; declare its units, or leave level out")
    units = tables["units"].where(F.col("level") == settings.level).selectExpr("unit_id", "ST_GeomFromWKB(geometry) AS unit")
    inside = polygons.alias("p").join(units.alias("u"), F.expr("ST_Intersects(u.unit, p.point)"), "inner")
    regions = inside.groupBy("kind", "id").agg(F.min("unit_id").alias("region"))
    return polygons.drop("point").join(regions, ["kind", "id"], "left").fillna("", ["region"])


def _counts(polygons: DataFrame, pairs: DataFrame) -> DataFrame:
    """Rows (region, bin, found, known, *COUNTS): by region and bin of confidence. A pair counts in the region of the known one. Small ones
    count nowhere, and a pair as its known one (as in COCO's figures by size)."""
    matched = pairs.select(F.lit(FOUND).alias("kind"), F.col("found_id").alias("id"))
    large = polygons.where(~F.col("small"))
    lonely = large.where(F.col("kind") == FOUND).join(matched, ["kind", "id"], "left_anti")
    alone = lonely.groupBy("region", _bin()).agg(F.count("id").alias("found"))
    known = large.where(F.col("kind") == KNOWN)
    meant = pairs.join(known.select(F.col("id").alias("known_id")), "known_id", "left_semi")
    known = known.groupBy("region", F.lit(0).cast("bigint").alias("bin")).agg(F.count("id").alias("known"))
    right = meant.groupBy("region", _bin()).agg(
        F.count("found_id").alias("found"), *(F.expr(sql).alias(name) for name, sql in COUNTS.items())
    )
    every = alone.unionByName(known, allowMissingColumns=True).unionByName(right, allowMissingColumns=True)
    return every.groupBy("region", "bin").agg(*(F.sum(name).alias(name) for name in ("found", "known", *COUNTS)))


def _bin() -> Column:
    number = F.floor(F.col("confidence") * CONFIDENCE_BINS)
    return F.least(number, F.lit(CONFIDENCE_BINS - 1)).cast("bigint").alias("bin")
