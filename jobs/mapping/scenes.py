"""Scenes: the images of a place, with what their headers say. Parallel over scenes.
Run: ./spark-submit.sh scenes --place mumbai"""

from typing import Any

import shapely
from pydantic import Field
from pyspark.sql import DataFrame

from conf.place import STORAGE, Place, Source
from conf.settings import Settings
from conf.tables import SCENES
from jobs.job import Context, Tables, job
from udfs.catalogs import scenes_of
from udfs.scenes import Scene


class ScenesSettings(Settings):
    """Where the images are."""

    # The content of the images, not where they lie, decides results; that is digested by `scene_sources`.
    sources: tuple[Source, ...] = Field(
        min_length=1, json_schema_extra={"matters": False}, description="STAC catalogs, or files by pattern"
    )


def scene_sources(place: Place, settings: ScenesSettings) -> dict[str, Any]:
    """Digests of all scenes and their bounds; a catalog that `simulated_city` has yet to write is pending."""
    if _is_pending(place, settings):
        return {"pending": True}
    scenes = scenes_of(settings.sources, place.folder)
    bounds = shapely.total_bounds(shapely.from_wkb([scene.footprint for scene in scenes]))
    described = {scene.scene_id: [scene.content_digest, scene.cloud, scene.licence, scene.attribution] for scene in scenes}
    return {"scenes": described, "bounds": [float(value) for value in bounds]}


def _is_pending(place: Place, settings: ScenesSettings) -> bool:
    catalogs = [source.stac for source in settings.sources if source.stac and STORAGE in source.stac]
    return any(not place.located(path).exists() for path in catalogs)


@job(writes="scenes", settings=ScenesSettings, parallel_over="scenes", after=("simulated_city",), sources=scene_sources)
def scenes(tables: Tables, settings: ScenesSettings, context: Context) -> DataFrame:
    """One row an image. Only headers travel, so the driver's threads read them."""
    found = scenes_of(settings.sources, context.place.folder)
    context.figures["scenes"] = len(found)
    context.figures["scenes_unreadable"] = sum(scene.fault is not None for scene in found)
    return context.spark.createDataFrame([_row(scene, context.place) for scene in found], SCENES.ddl).select(*SCENES.names)


def _row(scene: Scene, place: Place) -> tuple[Any, ...]:
    west, south, east, north = (float(value) for value in shapely.bounds(shapely.from_wkb(scene.footprint)))
    values = {
        **{name: getattr(scene, name, None) for name in SCENES.names},
        "transform": [float(value) for value in scene.transform],
        "nodata": None if scene.nodata is None else float(scene.nodata),
        "geometry": bytearray(scene.footprint),
        "attribution": scene.attribution or place.attribution or None,
        "xmin": west,
        "ymin": south,
        "xmax": east,
        "ymax": north,
    }
    return tuple(values[name] for name in SCENES.names)
