"""Training tiles: planned tiles with the footprints on them as labels, ready to be learned from.
Parallel over tiles. Run: ./spark-submit.sh training_tiles --place mumbai"""

from functools import partial
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Layer, Place
from conf.sensors import SENSORS
from conf.settings import UNLESS_USUAL, Settings
from conf.tables import TRAINING_TILES
from jobs.job import Context, Tables, job
from jobs.leaks import check_leaks
from jobs.planned_scenes import beside_neighbours, reading_of, scenes_named
from udfs.areas import named_areas
from udfs.channels import BESIDE_COMPOSITE, Channels
from udfs.composites import MapCompositeName
from udfs.compositing import suited
from udfs.labels import Rule
from udfs.sealed import check_sealed
from udfs.speckle import LOOKS
from udfs.splits import SPLITS_DDL, Splitting, split_batches
from udfs.training_tiles import Labelling, training_tile_batches
from udfs.versions import content_digest


class Regions(Settings):
    """World regions, by name."""

    path: str = Field(description="vector file; {storage} is the place's folder")
    column: str = Field(description="that holds the names")


class TrainingTilesSettings(Settings):
    """What is learned from, and how it is labelled."""

    bands: tuple[str, ...] = Field((), description="default: all bands of the layer's sensors")
    composite: MapCompositeName = Field("median", description="as built_up.composite")
    beside_composite: MapCompositeName = Field(
        BESIDE_COMPOSITE, json_schema_extra={"matters": UNLESS_USUAL}, description="as built_up.beside_composite"
    )
    dates: int = Field(1, ge=1, le=12, description="with composite dates: images one upon the other, for a network that sees so many")
    looks: float = Field(LOOKS, ge=1, description="as built_up.looks")
    rule: Rule = Field(
        "fraction", description="label of a pixel: share covered by footprints, or whole where they hold its centre or touch it"
    )
    sealed_path: str | None = Field(
        None, description="GeoTIFF, percent of a pixel sealed: counts as built in the layer that feeds built_m2; {storage}: place's folder"
    )
    unsure_px: int = Field(
        5, ge=0, le=50, description="in that layer, without sealed_path: so near a footprint, ground that none covers has no label"
    )
    least_footprints: int = Field(1, ge=0, description="on a tile; with fewer it may be ground that nobody labelled")
    most_shift_px: int = Field(3, ge=1, le=16, description="labels that fit best so far beside the image, or further, are not used")
    least_fit: float = Field(0.05, ge=0, le=1, description="R2 that the labels of 30 footprints or more must have on the image")
    least_valid: float = Field(0.5, ge=0, le=1, description="share of a tile that must have data")
    regions: Regions | None = Field(None, description="world regions; the middle of a tile tells which")
    judge_regions: tuple[str, ...] = Field((), description="regions that are only judged on")
    block_km: float = Field(20.0, gt=0, description="side of the squares of ground that go to one split together")
    gap_m: float = Field(1000.0, ge=0, description="ground this near to another split's is dropped")
    choose: float = Field(0.15, ge=0, le=1, description="share of squares to choose thresholds and checkpoints on")
    judge: float = Field(0.15, ge=0, le=1, description="share of squares to judge on")
    seed: int = Field(1, description="of the splits")
    like_bits: int = Field(3, ge=0, le=3, description="two splits' images whose 64-bit hashes differ in so many bits are one image: a leak")


def training_sources(place: Place, settings: TrainingTilesSettings) -> dict[str, str]:
    """The digest of the regions' file; raises InputError where bands, composite or regions do not suit."""
    channels = _channels(place, settings)
    suited(settings.composite, {layer.sensor for layer in place.layers.values()})
    suited(settings.beside_composite, {parts[1].sensor for parts in channels.values() if len(parts) > 1}, "training_tiles.beside_composite")
    regions = _regions(place, settings)
    unknown = sorted(set(settings.judge_regions) - set(regions))
    if unknown:
        known = ", ".join(list(regions)[:10]) or "none, set training_tiles.regions"
        raise InputError(f"training_tiles.judge_regions: no region {unknown[0]}; there are: {known}")
    files = {"regions": settings.regions.path if settings.regions else None, "sealed": _sealed(place, settings)}
    return {name: content_digest(place.located(path)) for name, path in files.items() if path}


@job(
    reads=("tiles", "scenes", "footprints"), writes="training_tiles", settings=TrainingTilesSettings, parallel_over="tiles",
    in_flow=False, sources=training_sources,
)  # fmt: skip
def training_tiles(tables: Tables, settings: TrainingTilesSettings, context: Context) -> DataFrame:
    """Every planned tile once, also those that are dropped, with the reason. Raises LeakError where splits share ground or images."""
    planned = _split(tables["tiles"], settings, context.place)
    given = _with_footprints(planned, tables["footprints"], settings)
    rows = beside_neighbours(given, context).mapInPandas(_shell(tables, settings, context), _ddl())
    made = rows.select(*TRAINING_TILES.names).persist()
    check_leaks(made, settings.gap_m, settings.like_bits)
    for row in made.groupBy("split").count().collect():
        context.figures[f"tiles_{row['split']}"] = row["count"]
    return made


def _channels(place: Place, settings: TrainingTilesSettings) -> dict[str, tuple[Channels, ...]]:
    """By layer, of each of its sensors. Raises InputError."""
    return {name: _channels_of(layer, settings) for name, layer in place.layers.items()}


def _channels_of(layer: Layer, settings: TrainingTilesSettings) -> tuple[Channels, ...]:
    """A band that is named is that of the first sensor that has it."""
    left, parts = settings.bands, list[Channels]()
    for key, composite in zip(layer.sensors, (settings.composite, settings.beside_composite), strict=False):
        sensor = SENSORS[key]
        own = tuple(band for band in left if sensor.band_called(band)) if settings.bands else sensor.band_names
        left = tuple(band for band in left if band not in own)
        parts.append(Channels(key, own, composite, settings.dates if composite == "dates" else 1))
    _check_names(layer, parts, left)
    return tuple(parts)


def _check_names(layer: Layer, parts: list[Channels], left: tuple[str, ...]) -> None:
    known = ", ".join(band for key in layer.sensors for band in SENSORS[key].band_names)
    if left:
        raise InputError(f"training_tiles.bands: {' and '.join(layer.sensors)} have no band {left[0]}; there are {known}")
    if without := [part.sensor for part in parts if not part.bands]:
        raise InputError(f"training_tiles.bands: none of sensor {without[0]}; add some of it, or leave bands out for all of {known}")
    if len(parts) > 1 and (both := sorted(set(parts[0].bands) & set(parts[1].bands))):
        raise InputError(f"training_tiles.bands: both sensors have a band {both[0]}; name those to use, e.g. by their common names")


def _sealed(place: Place, settings: TrainingTilesSettings) -> str | None:
    """The path of the sealed surfaces. Raises InputError where they suit no layer or cannot be read."""
    if settings.sealed_path is None:
        return None
    if place.fed_layer is None or settings.rule != "fraction":
        needs = "needs a layer that feeds built_m2, and rule fraction"
        raise InputError(f"training_tiles.sealed_path {needs}; the layer is {place.fed_layer}, the rule {settings.rule}")
    path = str(place.located(settings.sealed_path))
    check_sealed(path)
    return path


def _regions(place: Place, settings: TrainingTilesSettings) -> dict[str, Any]:
    declared = settings.regions
    return {} if declared is None else named_areas(place.located(declared.path), declared.column, "training_tiles.regions")


def _split(planned: DataFrame, settings: TrainingTilesSettings, place: Place) -> DataFrame:
    """Tiles with region, split and reason."""
    how = Splitting(settings.block_km * 1000, settings.gap_m, settings.choose, settings.judge, settings.seed, judged=settings.judge_regions)
    shell = partial(split_batches, regions=_regions(place, settings), how=how)
    squares = planned.select("tile_id", "geometry").dropDuplicates(["tile_id"])
    return planned.join(squares.mapInPandas(shell, SPLITS_DDL), on="tile_id")


def _with_footprints(planned: DataFrame, footprints: DataFrame, settings: TrainingTilesSettings) -> DataFrame:
    """Tiles with `footprints`, also of those that a shift would move onto them, and dropped where there are too few."""
    reach = "ST_Expand(ST_GeomFromWKB(geometry), {0} * (xmax - xmin) / tile_px, {0} * (ymax - ymin) / tile_px) AS square"
    squares = planned.dropDuplicates(["tile_id"]).selectExpr("tile_id", reach.format(settings.most_shift_px + 1))
    outlines = footprints.selectExpr(
        "ST_GeomFromWKB(geometry) AS outline",
        "named_struct('geometry', geometry, 'confidence', confidence, 'label_date', label_date) AS footprint",
    )
    pairs = squares.join(outlines, F.expr("ST_Intersects(square, outline)"), how="inner")
    lists = pairs.groupBy("tile_id").agg(F.collect_list("footprint").alias("footprints"), F.count("footprint").alias("count"))
    given = planned.join(lists, on="tile_id", how="left")
    count = F.coalesce("count", F.lit(0))
    few = (F.col("split") != "dropped") & (count < settings.least_footprints)
    wanted = F.concat(count, F.lit(f" footprints, {settings.least_footprints} wanted"))
    reason, split = (F.when(few, instead).otherwise(F.col(name)) for name, instead in (("reason", wanted), ("split", F.lit("dropped"))))
    return given.withColumns({"reason": reason, "split": split})


def _shell(tables: Tables, settings: TrainingTilesSettings, context: Context) -> Any:
    how = Labelling(
        _channels(context.place, settings), settings.looks, settings.rule, settings.most_shift_px, settings.least_fit, settings.least_valid,
        context.place.fed_layer, _sealed(context.place, settings), settings.unsure_px,
    )  # fmt: skip
    scenes = scenes_named(tables["scenes"], tables["tiles"])
    return partial(training_tile_batches, how=how, **reading_of(scenes, context))


def _ddl() -> str:
    return ", ".join(f"{column.name} {column.type}" for column in TRAINING_TILES.columns)
