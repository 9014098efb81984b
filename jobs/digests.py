"""What a table was made from, against what it would be made from now."""

from typing import Any, NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import digest
from conf.table import Table
from jobs.job import Job
from jobs.warehouse import Warehouse


class Origin(NamedTuple):
    """`settings` decide how, `input_digest` covers settings and inputs."""

    settings: dict[str, Any]
    input_digest: str


def origin_now(job: Job, place: Place, decided: dict[str, Any], sources: Any, contents: dict[str, str]) -> Origin:
    """The origin of the job's table if it were made now, with `decided` settings and model versions; `sources` as the job's
    `sources` gives them, `contents` are the digests of the tables it reads."""
    inputs = {"place": _inputs_of(place), "sources": sources, "tables": contents}
    return Origin(decided, digest({"job": job.name, "data_version": job.data_version, "settings": decided, **inputs}))


def _inputs_of(place: Place) -> dict[str, Any]:
    """Epochs, layers and grid. Models are settings of the job that runs them, not inputs of every job."""
    left_out = {"model", "threshold"}
    layers = {name: layer.model_dump(mode="json", exclude=left_out, exclude_none=True) for name, layer in place.layers.items()}
    return {"grid": place.grid, "epochs": [epoch.model_dump(mode="json") for epoch in place.epochs], "layers": layers}


def refuse_changed(job: Job, stored: dict[str, Any], decided: dict[str, Any]) -> None:
    """Raises InputError naming every setting that differs from the table's."""
    before, after = _flat(stored.get("settings", {})), _flat(decided)
    changed = [f"{key} {before.get(key)!r} -> {after.get(key)!r}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    if changed:
        text = ", ".join(f"{job.name}.{item}" for item in changed)
        raise InputError(f"{text}: the table was made with other settings; add --recompute, or another --set warehouse=DIR")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {name: leaf for key, item in values.items() for name, leaf in _flat(item, f"{prefix}.{key}" if prefix else key).items()}


def content_digest(warehouse: Warehouse, table: Table, tilewise: bool) -> str:
    """A digest of what is in a table: its origin's, or for a table kept by tile one over its rows in any order."""
    if not tilewise:
        return str(warehouse.stamp(table.name).get("input_digest", warehouse.version(table.name)))
    # Why a tile failed, and how often, too: what shows that must follow a retry that fails again.
    row = F.xxhash64(*table.key, "input_digest", "status", "error_class", "attempts").cast("decimal(38,0)")
    found = warehouse.read(table.name).agg(F.count(F.lit(1)).alias("rows"), F.sum(row).alias("sum")).first()
    return f"{found['rows']}:{found['sum']}"


def row_digests(tiles: DataFrame, layer_digests: dict[str, str]) -> DataFrame:
    """`tiles` with `settings_digest` of its layer and `input_digest` of the row."""
    by_layer = F.create_map(*(F.lit(part) for pair in sorted(layer_digests.items()) for part in pair))
    with_settings = tiles.withColumn("settings_digest", by_layer[F.col("layer")])
    return with_settings.withColumn("input_digest", F.sha2(F.concat_ws(":", "settings_digest", "scenes_digest"), 256))
