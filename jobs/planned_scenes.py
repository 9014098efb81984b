"""The scenes that planned tiles name, and how their tiles are read: together with their neighbours, ahead where images are remote."""

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.tables import SCENES
from jobs.declared_scenes import rules_of
from jobs.job import Context
from udfs.scenes import Scene, is_remote

PARTITIONS_PER_CORE = 3
READERS_OF_REMOTE = 4
"""An answer takes a while to begin: other tiles' requests are made meanwhile."""


def beside_neighbours(planned: DataFrame, context: Context, partitions: int | None = None) -> DataFrame:
    """Neighbours of one layer and epoch read the same images: they stay together; ranges keep the parts even."""
    parts = partitions or PARTITIONS_PER_CORE * context.spark.sparkContext.defaultParallelism
    return planned.repartitionByRange(parts, "layer", "epoch", "row", "col").sortWithinPartitions("layer", "epoch", "row", "col")


def reading_of(scenes: dict[str, Scene], context: Context, readers: int | None = None) -> dict[str, Any]:
    """What a shell that reads tiles is told by name; `readers`: tiles that a process reads at once."""
    place = context.place
    return {
        "scenes": scenes,
        "sensors": {name: layer.sensor for name, layer in place.layers.items()},
        "references": {epoch.name: epoch.reference for epoch in place.epochs},
        "rules": rules_of(place, context.spark.sparkContext.defaultParallelism),
        "readers": readers or (READERS_OF_REMOTE if any(is_remote(scene) for scene in scenes.values()) else 1),
    }


def images_of(place: Place, scenes: Mapping[str, Scene], layers: Iterable[str]) -> dict[str, list[Scene]]:
    """Of each of the layers the scenes of its sensors."""
    return {name: [scene for scene in scenes.values() if scene.sensor in place.layers[name].sensors] for name in layers}


def scenes_named(scenes: DataFrame, planned: DataFrame) -> dict[str, Scene]:
    """The scenes that the planned tiles name, by id."""
    wanted = planned.select(F.explode("scenes.scene_id").alias("scene_id")).distinct()
    names = [name for name in SCENES.names if name in Scene.__dataclass_fields__ or name == "geometry"]
    rows = scenes.join(wanted, on="scene_id", how="left_semi").select(*names).collect()
    return {row["scene_id"]: _scene(row.asDict()) for row in rows}


def _scene(row: dict[str, Any]) -> Scene:
    moment = row["datetime"].astimezone(None)
    footprint = bytes(row.pop("geometry"))
    return Scene(**{**row, "transform": tuple(row["transform"]), "footprint": footprint, "datetime": moment})
