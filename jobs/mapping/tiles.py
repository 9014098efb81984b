"""Tiles: the plan of work, a row per square x epoch x layer, with the scenes for it. Parallel over scenes, then cells of the grid.
Run: ./spark-submit.sh tiles --place mumbai"""

import datetime as dt
import logging
from functools import partial, reduce
from typing import Any, NamedTuple

import shapely
from pydantic import Field, field_validator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Epoch, Place
from conf.settings import Settings
from conf.tables import TILES
from jobs.declared_area import Area, AreaFile, area_polygon
from jobs.job import Context, Tables, job
from udfs.areas import WORLD_LAND
from udfs.cells import CELLS_DDL, TILE_COLUMNS, Work, area_cells, planned_cells, touched_cells
from udfs.grid import TILE_SIDES, Grid
from udfs.planning import layer_grid, place_zones
from udfs.scenes import Scene
from udfs.versions import content_digest
from udfs.zones import ZONES, zone_grid

LOG = logging.getLogger(__name__)


class TilesSettings(Settings):
    """How the work is cut. Results are the same for every `tile_px`, but for how much ground is mapped around an `area`."""

    tile_px: int = Field(512, description="side of a tile, pixels: 256, 512 or 1024")
    area: Area | None = Field(
        None,
        description="[west, south, east, north] in degrees (west > east: over 180), {path, column, names} of a vector file, or `land`: "
        "the land of the earth; every tile that touches it is planned whole, also without an image; default: all that scenes cover",
    )
    most_scenes: int = Field(
        24,
        ge=1,
        description="an epoch's scenes of a sensor for a block of 256 pixels, best by clear share, overlap and date; more where they leave "
        "gaps",
    )

    @field_validator("tile_px")
    @classmethod
    def known_side(cls, tile_px: int) -> int:
        if tile_px not in TILE_SIDES:
            raise ValueError(f"use one of {', '.join(map(str, TILE_SIDES))}")
        return tile_px


def area_sources(place: Place, settings: TilesSettings) -> dict[str, str]:
    """The digest of the area's file; raises InputError where the area cannot be had."""
    area_polygon(place, settings.area)
    return {"area": content_digest(place.located(settings.area.path))} if isinstance(settings.area, AreaFile) else {}


class _Layer(NamedTuple):
    name: str
    work: Work


@job(
    reads=("scenes",), writes="tiles", settings=TilesSettings, parallel_over="scenes, then cells of the grid", data_version=3,
    sources=area_sources,
)  # fmt: skip
def tiles(tables: Tables, settings: TilesSettings, context: Context) -> DataFrame:
    """All tiles of the area, or that a layer's scenes touch in any epoch, times every epoch, with the scenes chosen for them."""
    place = context.place
    area = area_polygon(place, settings.area)
    scenes = tables["scenes"].where(F.size(_epochs_of_image(place.epochs)) > 0)
    planned = [_of_layer(scenes, layer, area, settings, context) for layer in _layers(scenes, area, settings, place)]
    return reduce(DataFrame.unionAll, planned).select(*TILES.names)


def _within(epoch: Epoch) -> Column:
    end = epoch.end + dt.timedelta(days=1)
    return (F.col("datetime") >= F.lit(epoch.start).cast("timestamp")) & (F.col("datetime") < F.lit(end).cast("timestamp"))


def _epochs_of_image(epochs: tuple[Epoch, ...]) -> Column:
    return F.array_compact(F.array(*(F.when(_within(epoch), F.lit(epoch.name)) for epoch in epochs)))


def _layers(scenes: DataFrame, area: Any, settings: TilesSettings, place: Place) -> list[_Layer]:
    """Raises InputError when no scene lies in any epoch, or a layer has none."""
    covered = _covered(scenes)
    if covered.is_empty:
        spans = ", ".join(f"{epoch.name} {epoch.start}..{epoch.end}" for epoch in place.epochs)
        raise InputError(f"no scene is dated within an epoch ({spans}); correct the epochs or add scenes")
    ground = covered if area is None else area
    return [_layer(scenes, name, ground, settings, place) for name in place.layers]


def _covered(scenes: DataFrame) -> Any:
    """A polygon, EPSG:4326, that holds all images: a box for each six degrees of longitude that they begin in."""
    crosses = F.col("xmax") - F.col("xmin") > 180
    bounds = (F.min("xmin"), F.min("ymin"), F.max("xmax"), F.max("ymax"))
    boxes = scenes.where(~crosses).groupBy(F.floor(F.col("xmin") / 6)).agg(*bounds).collect()
    halves = scenes.where(crosses).select("geometry").distinct().collect()
    return shapely.union_all([*(shapely.box(*row[1:]) for row in boxes), *(shapely.from_wkb(bytes(row["geometry"])) for row in halves)])


def _layer(scenes: DataFrame, name: str, ground: Any, settings: TilesSettings, place: Place) -> _Layer:
    sensors = place.layers[name].sensors
    if len(sensors) > 1:
        _say_missing(scenes, name, place)
    grids, cut = _grids(scenes.where(F.col("sensor").isin(*sensors)), name, ground, settings, place)
    every = settings.area is not None
    return _Layer(name, Work(sensors, grids, cut, every, settings.tile_px, settings.most_scenes, place.epochs))


def _say_missing(scenes: DataFrame, name: str, place: Place) -> None:
    """Epochs that a layer of two sensors maps from one of them, or from none, are no fault, but nobody should find out later."""
    taken = scenes.select("sensor", F.explode(_epochs_of_image(place.epochs)).alias("epoch")).distinct().collect()
    there = {(row["sensor"], row["epoch"]) for row in taken}
    for sensor in place.layers[name].sensors:
        if without := [epoch.name for epoch in place.epochs if (sensor, epoch.name) not in there]:
            LOG.warning("layer %s: no scene of %s in epoch %s; what there is of its other sensor is used", name, sensor, ", ".join(without))


def _grids(scenes: DataFrame, name: str, ground: Any, settings: TilesSettings, place: Place) -> tuple[dict[str, Grid], bool]:
    """The layer's grids by name, and whether strips cut them. A native grid is that of its own sensor's scenes."""
    resolution, sensor = place.layers[name].resolution, place.layers[name].sensor
    if place.grid == "native":
        if settings.area == WORLD_LAND:
            raise InputError("tiles.area land needs `grid: utm`; set grid, or give the area as a box or a file")
        columns = ("scene_id", "sensor", "datetime", "crs", "transform", "width", "height", "geometry")
        headers = [_header(row.asDict()) for row in scenes.where(F.col("sensor") == sensor).select(*columns).collect()]
        grid = layer_grid(name, resolution, headers)
        return {grid.name: grid}, False
    if scenes.isEmpty():
        raise InputError(f"layer {name}: no scene of its sensor; add one to scenes.sources or remove the layer")
    if settings.area == WORLD_LAND:
        return {zone.name: zone_grid(zone, resolution) for zone in ZONES}, True
    return place_zones(ground, resolution)


def _header(row: dict[str, Any]) -> Scene:
    footprint = bytes(row.pop("geometry"))
    return Scene(**{**row, "transform": tuple(row["transform"])}, footprint=footprint, hrefs={}, band_indexes={})


def _of_layer(scenes: DataFrame, layer: _Layer, area: Any, settings: TilesSettings, context: Context) -> DataFrame:
    # One layer at a time: an equality beside the spatial condition would cost Sedona's join.
    mine = scenes.where(F.col("sensor").isin(*layer.work.sensors)).withColumnRenamed("geometry", "footprint")
    cells = _cells(mine, layer.work, area, settings, context).persist()
    epoch = F.explode(_epochs_of_image(layer.work.epochs)).alias("epoch")
    images = mine.select("scene_id", "sensor", "datetime", "cloud", "content_digest", "footprint", epoch)
    candidates = _candidates(cells, images)
    known = cells.join(candidates, on=["grid", "cell_row", "cell_col"], how="left").drop("reach")
    planned = known.mapInPandas(partial(planned_cells, work=layer.work), _ddl())
    return planned.withColumns({"layer": F.lit(layer.name), "tile_px": F.lit(settings.tile_px)}).select(*TILES.names)


def _cells(scenes: DataFrame, work: Work, area: Any, settings: TilesSettings, context: Context) -> DataFrame:
    """Rows of CELLS_DDL, each cell once."""
    key = ("grid", "cell_row", "cell_col")
    if settings.area is None:
        # Images of one footprint go to one worker, so that few cells come twice.
        found = scenes.select("footprint").repartition("footprint").mapInPandas(partial(touched_cells, work=work), CELLS_DDL)
    else:
        names = context.spark.createDataFrame([(name,) for name in sorted(work.grids)], "grid string").repartition(len(work.grids), "grid")
        wkb = None if area is None else bytes(shapely.to_wkb(area))
        found = names.mapInPandas(partial(area_cells, work=work, area=wkb), CELLS_DDL)
    return found.groupBy(*key).agg(F.array_distinct(F.flatten(F.collect_list("inside"))).alias("inside"), F.first("reach").alias("reach"))


def _candidates(cells: DataFrame, images: DataFrame) -> DataFrame:
    """Rows of cells with `candidates`: the images that come within reach."""
    left = cells.selectExpr("grid", "cell_row", "cell_col", "ST_GeomFromWKB(reach) AS reach")
    right = images.selectExpr(
        "ST_GeomFromWKB(footprint) AS ground", "named_struct('scene_id', scene_id, 'sensor', sensor, 'epoch', epoch, 'datetime', datetime, "
        "'cloud', cloud, 'content_digest', content_digest, 'footprint', footprint) AS image",
    )  # fmt: skip
    pairs = left.join(right, F.expr("ST_Intersects(reach, ground)"), how="inner")
    return pairs.groupBy("grid", "cell_row", "cell_col").agg(F.collect_list("image").alias("candidates"))


def _ddl() -> str:
    types = {column.name: column.type for column in TILES.columns}
    return ", ".join(f"{name} {types[name]}" for name in TILE_COLUMNS)
