"""The scenes that planned tiles name."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.tables import SCENES
from udfs.scenes import Scene


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
