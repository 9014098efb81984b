"""Bridge: which building of one release or epoch is which of another, by the ground that they share. Parallel over squares of ground.
Run: ./spark-submit.sh bridge --place kampala --set bridge.before=/data/last_year/kampala/buildings
Between two epochs of a place: --set bridge.from_epoch=2017 --set bridge.to_epoch=2022"""

from pathlib import Path
from typing import Any

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.table import BBOX
from conf.tables_buildings import BRIDGE
from jobs.fine_layers import chosen_epoch, chosen_layer
from jobs.job import Context, Tables, job
from jobs.matched_polygons import SQUARE, on_squares
from udfs.bridging import EARLIER, LATER, LINKS_DDL, MOVED_IOU, SAME_IOU, link_frame
from udfs.image_files import located


class BridgeSettings(Settings):
    """What is linked with what."""

    before: str | None = Field(None, description="local folder of the earlier release's table `buildings`; default: this one")
    layer: str | None = Field(None, description="default: the finest")
    from_epoch: str | None = Field(None, description="default: of an earlier release that of to_epoch, else the place's first")
    to_epoch: str | None = Field(None, description="default: the place's last")


def bridge_sources(place: Place, settings: BridgeSettings) -> Any:
    """Layer, epochs and the earlier release's version. Raises InputError."""
    before = _before(place, settings)
    if before and not (before / "_delta_log").is_dir():
        raise InputError(f"bridge.before {before}: no Delta table lies there; give the folder of an earlier release's table buildings")
    return [*_chosen(place, settings), sorted(path.name for path in (before / "_delta_log").glob("*.json")) if before else None]


@job(
    reads=("buildings",), writes="bridge", settings=BridgeSettings, parallel_over="squares of ground", in_flow=False,
    sources=bridge_sources,
)  # fmt: skip
def bridge(tables: Tables, settings: BridgeSettings, context: Context) -> DataFrame:
    """A row for each pair of an earlier and a later building that share ground, for each new one and each that is gone."""
    layer, from_epoch, to_epoch = _chosen(context.place, settings)
    path = _before(context.place, settings)
    earlier = context.spark.read.format("delta").load(str(path)) if path else tables["buildings"]
    if path:
        _check_holds(earlier, layer, from_epoch, path)
    before = _of(earlier, layer, from_epoch, EARLIER).persist()
    after = _of(tables["buildings"], layer, to_epoch, LATER).persist()
    squares = on_squares(before.unionByName(after))
    links = squares.groupBy(*SQUARE).applyInPandas(link_frame, LINKS_DDL).persist()
    rows = _kinds(links).unionByName(_without(after, links, "to_id", "new"), allowMissingColumns=True)
    rows = rows.unionByName(_without(before, links, "from_id", "gone"), allowMissingColumns=True)
    told = {"layer": F.lit(layer), "from_epoch": F.lit(from_epoch), "to_epoch": F.lit(to_epoch)}
    return rows.withColumns(told).select(*BRIDGE.names)


def _chosen(place: Place, settings: BridgeSettings) -> tuple[str, str, str]:
    """Layer and both epochs. Raises InputError where the place has none of the name, or both are the same buildings."""
    epochs = [epoch.name for epoch in place.epochs]
    layer, to_epoch = chosen_layer(place, "bridge", settings.layer), chosen_epoch(place, "bridge.to_epoch", settings.to_epoch)
    from_epoch = settings.from_epoch or (to_epoch if settings.before else epochs[0])
    if not settings.before and (from_epoch not in epochs or epochs.index(from_epoch) >= epochs.index(to_epoch)):
        raise InputError(f"bridge.from_epoch {from_epoch}: give an earlier epoch than {to_epoch} of {', '.join(epochs)}, or bridge.before")
    return layer, from_epoch, to_epoch


def _before(place: Place, settings: BridgeSettings) -> Path | None:
    return Path(located(settings.before, place.folder)) if settings.before else None


def _check_holds(earlier: DataFrame, layer: str, epoch: str, path: Path) -> None:
    """Raises InputError where the earlier release has buildings, but none of this layer and epoch: all of ours would be new."""
    held = sorted((row["layer"], row["epoch"]) for row in earlier.select("layer", "epoch").distinct().collect())
    if held and (layer, epoch) not in held:
        told = ", ".join(" ".join(pair) for pair in held)
        raise InputError(f"bridge.before {path}: none of layer {layer}, epoch {epoch}, but of {told}; set bridge.layer or from_epoch")


def _of(buildings: DataFrame, layer: str, epoch: str, kind: str) -> DataFrame:
    own = buildings.where((F.col("layer") == layer) & (F.col("epoch") == epoch))
    return own.select(F.lit(kind).alias("kind"), F.col("building_id").alias("id"), "geometry", *BBOX)


def _kinds(links: DataFrame) -> DataFrame:
    """Adds `kind`, by how many partners both have: one each, one and several, several and several."""
    counted = links.withColumn("of_from", _partners("from_id")).withColumn("of_to", _partners("to_id"))
    most = counted.withColumn("most_to", _most("of_to", "from_id")).withColumn("most_from", _most("of_from", "to_id"))
    return most.withColumn("kind", _kind()).drop("of_from", "of_to", "most_to", "most_from", "iou_unmoved")


def _kind() -> Column:
    one_each = (F.col("of_from") == 1) & (F.col("of_to") == 1)
    alone = (
        F.when((F.col("iou_unmoved") >= MOVED_IOU) & (F.col("iou") < MOVED_IOU), "moved")
        .when(F.col("iou") >= SAME_IOU, "same")
        .otherwise("changed")
    )
    return (
        F.when(one_each, alone)
        .when((F.col("of_from") > 1) & (F.col("most_to") == 1), "split")
        .when((F.col("of_to") > 1) & (F.col("most_from") == 1), "merged")
        .otherwise("regrouped")
    )


def _partners(of: str) -> Column:
    return F.count(F.lit(1)).over(Window.partitionBy(of))


def _most(name: str, of: str) -> Column:
    return F.max(name).over(Window.partitionBy(of))


def _without(buildings: DataFrame, links: DataFrame, name: str, kind: str) -> DataFrame:
    """Those that no link names."""
    own = buildings.select(F.col("id").alias(name))
    return own.join(links.select(name), name, "left_anti").withColumn("kind", F.lit(kind))
