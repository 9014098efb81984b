"""Tiles: the plan of work, a row per square x epoch x layer, with the scenes for it. Parallel over scenes, then tiles.
Run: ./spark-submit.sh tiles --place mumbai"""

import datetime as dt
from functools import partial, reduce
from typing import Any, NamedTuple

from pydantic import Field, field_validator
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Epoch, Place
from conf.settings import Settings
from conf.tables import TILES
from jobs.job import Context, Tables, job
from udfs.grid import TILE_SIDES, Grid
from udfs.planning import layer_grid, place_point, planned_batches, predicted_seconds
from udfs.scenes import Scene

OUTLINED = (
    "tile_id string, row int, col int, transform array<double>, geometry binary, reach binary, "
    "xmin double, ymin double, xmax double, ymax double"
)


class TilesSettings(Settings):
    """How the work is cut. Results are the same for every `tile_px`, but for how much ground is mapped around an `area`."""

    tile_px: int = Field(512, description="side of a tile, pixels: 256, 512 or 1024")
    area: tuple[float, float, float, float] | None = Field(
        None,
        description="west, south, east, north, degrees; tiles that touch it are mapped whole: larger ones reach further; "
        "default: all that scenes cover",
    )

    @field_validator("tile_px")
    @classmethod
    def known_side(cls, tile_px: int) -> int:
        if tile_px not in TILE_SIDES:
            raise ValueError(f"use one of {', '.join(map(str, TILE_SIDES))}")
        return tile_px

    @field_validator("area")
    @classmethod
    def ordered_area(cls, area: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if area is not None and not (area[0] < area[2] and area[1] < area[3]):
            raise ValueError("west < east and south < north must hold")
        return area


class _Layer(NamedTuple):
    name: str
    sensor: str
    grid: Grid


@job(reads=("scenes",), writes="tiles", settings=TilesSettings, parallel_over="scenes, then tiles")
def tiles(tables: Tables, settings: TilesSettings, context: Context) -> DataFrame:
    """All tiles that a layer's scenes touch in any epoch, times every epoch; the scenes of a tile are those that reach it."""
    place = context.place
    scenes = tables["scenes"].where(F.size(_epochs_of_image(place.epochs)) > 0)
    planned = [_of_layer(scenes, layer, settings, place.epochs) for layer in _layers(scenes, place)]
    return reduce(DataFrame.unionAll, planned).select(*TILES.names)


def _within(epoch: Epoch) -> Column:
    end = epoch.end + dt.timedelta(days=1)
    return (F.col("datetime") >= F.lit(epoch.start).cast("timestamp")) & (F.col("datetime") < F.lit(end).cast("timestamp"))


def _layers(scenes: DataFrame, place: Place) -> list[_Layer]:
    """Raises InputError when no scene lies in any epoch, or a layer has none."""
    grids = [
        row.asDict() for row in scenes.select("scene_id", "sensor", "datetime", "crs", "transform", "width", "height", "geometry").collect()
    ]
    if not grids:
        spans = ", ".join(f"{epoch.name} {epoch.start}..{epoch.end}" for epoch in place.epochs)
        raise InputError(f"no scene is dated within an epoch ({spans}); correct the epochs or add scenes")
    headers = [_header(row) for row in grids]
    point = place_point(header.footprint for header in headers)
    chosen = {name: [header for header in headers if header.sensor == layer.sensor] for name, layer in place.layers.items()}
    return [
        _Layer(name, layer.sensor, layer_grid(place.grid, name, layer.resolution, chosen[name], point))
        for name, layer in place.layers.items()
    ]  # fmt: skip


def _header(row: dict[str, Any]) -> Scene:
    footprint = bytes(row.pop("geometry"))
    return Scene(**{**row, "transform": tuple(row["transform"])}, footprint=footprint, hrefs={}, band_indexes={})


def _of_layer(scenes: DataFrame, layer: _Layer, settings: TilesSettings, epochs: tuple[Epoch, ...]) -> DataFrame:
    # One sensor at a time: an equality beside the spatial condition would cost Sedona's join.
    mine = scenes.where(F.col("sensor") == layer.sensor).withColumnRenamed("geometry", "footprint")
    images = mine.select("scene_id", "datetime", "content_digest", "footprint", F.explode(_epochs_of_image(epochs)).alias("epoch"))
    shell = partial(planned_batches, grid=layer.grid, tile_px=settings.tile_px)
    # Images of one footprint go to one worker, so that few tiles come twice; one Python stage, for its start costs more than its work.
    touched = mine.select("footprint").repartition("footprint").mapInPandas(shell, OUTLINED).dropDuplicates(["row", "col"])
    squares = _inside(touched, settings).persist()
    return _described(_with_scenes(squares, _chosen(_reached(squares, images), epochs), epochs), layer, settings)


def _epochs_of_image(epochs: tuple[Epoch, ...]) -> Column:
    return F.array_compact(F.array(*(F.when(_within(epoch), F.lit(epoch.name)) for epoch in epochs)))


def _inside(squares: DataFrame, settings: TilesSettings) -> DataFrame:
    if settings.area is None:
        return squares
    west, south, east, north = settings.area
    return squares.where((F.col("xmax") > west) & (F.col("xmin") < east) & (F.col("ymax") > south) & (F.col("ymin") < north))


def _reached(squares: DataFrame, images: DataFrame) -> DataFrame:
    """Pairs of tile and scene that come within reach, with the share of the tile that the scene covers, 0-1."""
    left = squares.selectExpr("tile_id", "ST_GeomFromWKB(geometry) AS square", "ST_GeomFromWKB(reach) AS reach")
    right = images.selectExpr("scene_id", "epoch", "datetime", "content_digest", "ST_GeomFromWKB(footprint) AS ground")
    pairs = left.join(right, F.expr("ST_Intersects(reach, ground)"), how="inner")
    share = "least(1.0, ST_Area(ST_Intersection(square, ground)) / ST_Area(square)) AS share"
    return pairs.selectExpr("tile_id", "scene_id", "epoch", "datetime", "content_digest", share)


def _chosen(reached: DataFrame, epochs: tuple[Epoch, ...]) -> DataFrame:
    """One row per tile and epoch that has scenes."""
    reference = F.create_map(*(F.lit(part) for epoch in epochs for part in (epoch.name, epoch.reference)))
    days = F.abs(F.datediff(F.col("datetime"), reference[F.col("epoch")]))
    why = F.format_string("covers %d %%, %d days from reference", F.round(F.col("share") * 100).cast("int"), days)
    return reached.groupBy("tile_id", "epoch").agg(
        F.sort_array(F.collect_list(F.struct(F.col("scene_id"), why.alias("why")))).alias("scenes"),
        F.sha2(F.concat_ws(",", F.sort_array(F.collect_list("content_digest"))), 256).alias("scenes_digest"),
        # Rounded, so that the order of addition cannot show.
        F.round(F.sum("share"), 6).alias("covered"),
        F.max("share").alias("most"),
    )


def _with_scenes(squares: DataFrame, chosen: DataFrame, epochs: tuple[Epoch, ...]) -> DataFrame:
    """Every tile that a scene of any epoch covers in part, times every epoch."""
    every = squares.withColumn("epoch", F.explode(F.array(*(F.lit(epoch.name) for epoch in epochs))))
    found = every.join(chosen, on=["tile_id", "epoch"], how="left")
    ever = F.max("most").over(Window.partitionBy("tile_id"))
    return found.withColumn("ever", ever).where(F.col("ever") > 0)


def _described(found: DataFrame, layer: _Layer, settings: TilesSettings) -> DataFrame:
    none = F.array().cast("array<struct<scene_id:string,why:string>>")
    at_least, per_cover, per_ground = _seconds(layer.sensor, settings.tile_px)
    covered = F.coalesce("covered", F.lit(0.0))
    added = {
        "layer": F.lit(layer.name),
        "grid": F.lit(layer.grid.name),
        "crs": F.lit(layer.grid.crs),
        "tile_px": F.lit(settings.tile_px),
        "scenes": F.coalesce("scenes", none),
        "predicted_seconds": at_least + per_cover * covered + per_ground * F.least(covered, F.lit(1.0)),
        "scenes_digest": F.coalesce("scenes_digest", F.sha2(F.lit(""), 256)),
    }
    return found.withColumns(added).select(*TILES.names)


def _seconds(sensor: str, tile_px: int) -> tuple[float, float, float]:
    """The cost of an empty tile, of each full cover by a scene, and of running the network over all of it."""
    empty, one, two = (predicted_seconds(sensor, tile_px, covered) for covered in (0.0, 1.0, 2.0))
    return empty, two - one, one - empty - (two - one)
