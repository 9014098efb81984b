"""Buildings for web maps: FlatGeobuf, of which clients fetch what a box holds, and PMTiles, which they draw; no server is needed.
Run: ./spark-submit.sh buildings_web --place kampala
Parallel over layers and epochs."""

import shutil
from functools import partial
from typing import Any

from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.table import BBOX
from conf.tables import TABLES
from jobs.hilbert_order import ORDER, with_hilbert
from jobs.job import Context, Tables, job
from jobs.within_world import within_world
from udfs.files import replace_folder
from udfs.stac_export import PRODUCER
from udfs.web_files import MAP, WRITTEN_DDL, Tiling, WebMap, web_batches

FOLDER = "buildings_web"
IN_METADATA = (*MAP, "model_sha256")


class BuildingsWebSettings(Settings):
    """What tiles show."""

    min_zoom: int = Field(14, ge=0, le=22, description="level from which buildings are shown; dense cities are too much for coarser ones")
    max_zoom: int = Field(16, ge=0, le=22, description="last level, which web maps enlarge; its tiles know places to 0.15 m at the equator")
    max_tile_kb: int = Field(
        2000, ge=1, description="a tile that would be larger, compressed, gets coarser outlines, then loses its smallest buildings"
    )
    licence: str | None = Field(None, pattern=r"^[\w.+-]+$", description="of the results, an SPDX name; the images' own is told, too")

    @model_validator(mode="after")
    def ordered(self) -> "BuildingsWebSettings":
        if self.min_zoom > self.max_zoom:
            raise ValueError(f"min_zoom {self.min_zoom} is over max_zoom {self.max_zoom}; lower it")
        return self


@job(
    reads=("buildings", "built_up", "scenes"), writes=(), settings=BuildingsWebSettings, parallel_over="layers and epochs", in_flow=False,
)  # fmt: skip
def buildings_web(tables: Tables, settings: BuildingsWebSettings, context: Context) -> None:
    """Every building once in `buildings_web/<layer>/<epoch>/buildings.fgb` of the place, and in `buildings.pmtiles` beside it."""
    folder = context.storage / FOLDER
    fresh = folder.with_name(f".{FOLDER}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of a run that was cut off
    placed = within_world(with_hilbert(tables["buildings"]))
    maps = _maps(placed, images_credits(tables["built_up"], tables["scenes"]), context.place, settings.licence)
    columns = (name for name in TABLES["buildings"].names if name not in (*BBOX, "model_sha256"))
    ordered = placed.repartition(len(maps), *MAP).sortWithinPartitions(*MAP, *ORDER).select(*columns)
    tiling = Tiling(settings.min_zoom, settings.max_zoom, 1000 * settings.max_tile_kb)
    shell = partial(web_batches, folder=str((fresh / "whole").absolute()), maps=maps, tiling=tiling)
    written = ordered.mapInArrow(shell, WRITTEN_DDL).collect()
    replace_folder(folder, fresh)
    _note_hidden(written, settings, context)


def _maps(placed: DataFrame, credits: dict[tuple[str, str], dict[str, str]], place: Place, licence: str | None) -> dict[Any, WebMap]:
    """By layer and epoch."""
    simple = F.bool_and(F.expr("substring(geometry, 2, 4) = X'03000000'")).alias("simple")
    rows = placed.groupBy(*MAP).agg(simple, F.sort_array(F.collect_set("model_sha256")).alias("models")).collect()
    maps = {}
    for layer, epoch, simple_ones, models in rows:
        told = {
            "name": f"{place.title or place.name}: {layer}, {epoch}", "place": place.name, "layer": layer, "epoch": epoch,
            "description": f"Buildings of {place.name}, {layer}, {epoch}, mapped by {PRODUCER}", "model_sha256": ", ".join(models),
            "licence": licence or "", **credits.get((layer, epoch), {"attribution": place.attribution}),
        }  # fmt: skip
        maps[layer, epoch] = WebMap({key: value for key, value in told.items() if value}, simple_ones)
    return maps


def images_credits(built_up: DataFrame, scenes: DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """Layer and epoch to `attribution` and `image_licences` of the images that it was mapped from, each once, by name."""
    used = built_up.where("status = 'done'").select(*MAP, F.explode("scenes_used").alias("scene_id")).distinct()
    names = {"attribution": "attribution", "image_licences": "licence"}
    each = (F.array_join(F.array_sort(F.collect_set(column)), "; ").alias(name) for name, column in names.items())
    rows = used.join(scenes.select("scene_id", *names.values()), "scene_id").groupBy(*MAP).agg(*each).collect()
    return {(row["layer"], row["epoch"]): {name: row[name] for name in names} for row in rows}


def _note_hidden(written: list[Any], settings: BuildingsWebSettings, context: Context) -> None:
    context.figures["files"] = sum(2 if row["in_tiles"] else 1 for row in written)
    context.figures["buildings"] = sum(row["buildings"] for row in written)
    hidden = context.figures["buildings"] - sum(row["in_tiles"] for row in written)
    context.figures["buildings_not_in_tiles"] = hidden
    if hidden:
        context.say_once(
            f"{hidden} buildings are in buildings.fgb and not in buildings.pmtiles: their tiles are full, or they lie beyond 85 degrees; "
            f"raise buildings_web.max_zoom {settings.max_zoom} or buildings_web.max_tile_kb {settings.max_tile_kb}"
        )
