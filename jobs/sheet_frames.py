"""What a country sheet needs from the tables, brought to the driver: the rows of one unit and of those it is made of."""

from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from jobs.job import Tables
from jobs.map_frames import rows_of_units
from udfs.indicator_rows import built_of_whole
from udfs.sheet_unit import SheetUnit

OWN = "boundary = 'unit' AND basis = 'built_up' AND disaggregation = 'all' AND indicator LIKE '11.3.1%'"
MODEL = ("layer", "model_name", "model_version", "model_sha256", "model_labels", "threshold")
RUN = ("job", "started", "code_version", "input_versions", "settings")


def sheet_unit(tables: Tables, place: Place, unit: dict[str, Any], images: pd.DataFrame) -> SheetUnit:
    """`unit`: its row of `units`; `images` as `epoch_images` gives them."""
    children = tables["units"].where(F.col("parent_id") == unit["unit_id"]).select("unit_id", "name", "geometry").toPandas()
    ids = [unit["unit_id"], *children["unit_id"]]
    statistics = rows_of_units(tables["unit_statistics"], ids)
    areas = (statistics[name].to_numpy(float) for name in ("built_m2", "valid_m2", "total_m2"))
    statistics = statistics.assign(built_m2=built_of_whole(*areas), people=statistics["people"].astype(float))
    own = statistics[statistics["unit_id"] == unit["unit_id"]].set_index("epoch")
    own = own.reindex([epoch.name for epoch in place.epochs if epoch.name in own.index]).drop(columns=["unit_id", "buildings"])
    last = statistics[statistics["epoch"] == own.index[-1]]
    return SheetUnit(unit, children, own.join(images), last, rows_of_units(tables["indicators"].where(OWN), ids))


def epoch_images(near: DataFrame, scenes: DataFrame) -> pd.DataFrame:
    """By epoch, of rows of `built_up`: images (distinct ones), sensors (their names), first_date, last_date."""
    dates = near.groupBy("epoch").agg(F.min("first_date").alias("first_date"), F.max("last_date").alias("last_date"))
    used = near.select("epoch", F.explode("scenes_used").alias("scene_id")).distinct().join(scenes, "scene_id", "inner")
    named = F.concat_ws(", ", F.sort_array(F.collect_set("sensor"))).alias("sensors")
    counted = used.groupBy("epoch").agg(F.count(F.lit(1)).alias("images"), named)
    return dates.join(counted, "epoch", "left").toPandas().set_index("epoch")


def used_scenes(near: DataFrame, scenes: DataFrame) -> DataFrame:
    """Rows of `scenes` that rows of `built_up` come from."""
    used = near.select(F.explode("scenes_used").alias("scene_id")).distinct()
    return scenes.join(used, "scene_id", "left_semi")


def used_models(near: DataFrame) -> pd.DataFrame:
    """Models of rows of `built_up`, each once."""
    return near.where("status = 'done'").select(*MODEL).distinct().orderBy(*MODEL).toPandas()


def last_runs(runs: DataFrame, jobs: tuple[str, ...]) -> pd.DataFrame:
    """The last run of each job that wrote rows, in the order of `jobs`: columns RUN."""
    done = runs.where("state = 'done' AND rows > 0").where(F.col("job").isin(*jobs))
    last = done.groupBy("job").agg(F.max_by(F.struct(*RUN), "started").alias("run")).select("run.*").toPandas()
    return last.sort_values("job", key=lambda names: names.map(jobs.index), ignore_index=True)


def adjusted_of(tables: Tables, unit_id: str) -> pd.DataFrame:
    """Rows of `adjusted_areas` of a unit by epoch; none where there is no such table."""
    columns = ["epoch", "adjusted_m2", "lower_m2", "upper_m2", "points", "sample"]
    if "adjusted_areas" not in tables:
        return pd.DataFrame(columns=columns).set_index("epoch")
    return tables["adjusted_areas"].where(F.col("unit_id") == unit_id).select(*columns).toPandas().set_index("epoch")
