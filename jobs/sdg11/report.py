"""Report: one HTML page that loads nothing, and its pictures, in the place's folder `report`. Parallel over tiles.
Run: ./spark-submit.sh report --place mumbai"""

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from jobs.coverage_rows import coverage_rows
from jobs.job import Context, Tables, job
from jobs.map_frames import building_counts, grid_of, map_pixels, polygons_of, rows_of_units, scenes_of, states_of
from jobs.unadapted import unadapted_notes
from udfs.files import write_bytes
from udfs.map_pixels import MapGrid, pictures
from udfs.report_coverage import coverage_picture, coverage_table, reason_table, state_maps
from udfs.report_page import figure, page, paragraph
from udfs.report_pictures import Drawn, Scene, building_picture, built_pictures, change_picture, layer_scene, truth_picture, value_picture
from udfs.report_provenance import limits, model_table, scene_table, settings_text
from udfs.report_sections import indicator_table, regime_table, summary, unit_table

FOLDER = "report"
Sections = list[tuple[str, str, str]]


class ReportSettings(Settings):
    """How much the page holds: the driver's memory follows from it."""

    map_px: int = Field(1600, ge=200, le=8000, description="longest side of a map, pixels")
    max_units: int = Field(3000, ge=1, description="units in tables and maps: whole levels from the coarsest, or the first by id")
    max_buildings: int = Field(30000, ge=0, description="building outlines drawn")
    coverage_px: int = Field(400, ge=10, le=2000, description="longest side of the map of tiles, squares")
    max_scenes: int = Field(200, ge=1, description="images listed")


@job(
    reads=("scenes", "tiles", "built_up"),
    optional=("buildings", "units", "unit_statistics", "indicators", "truth_unit_statistics"),
    writes=(),
    settings=ReportSettings,
    parallel_over="tiles",
)
def report(tables: Tables, settings: ReportSettings, context: Context) -> None:
    """Draws the maps, fills the tables, writes each file whole and the page last."""
    units = shown_units(tables["units"], settings.max_units) if "units" in tables else pd.DataFrame()
    drawn, sections = _maps(tables, settings, context.place, units)
    if "indicators" in tables and len(units):
        more, texts = _units(tables, context.place, units, _fed_grid(tables, context.place, settings))
        # The summary, then the maps, then the numbers.
        drawn, sections = drawn + more, texts[:1] + sections + texts[1:]
    holes, covered = _coverage(tables, settings, context.place)
    drawn += holes
    sections += covered + _origin(tables, settings, context.place)
    lead = f"{context.place.attribution} Made by UrbanTrace from satellite images; every number is in the place's SQL tables."
    folder = context.storage / FOLDER
    for item in drawn:
        write_bytes(folder / f"{item.name}.png", item.png)
    write_bytes(folder / "index.html", page(context.place.title or context.place.name, lead.strip(), sections).encode())


def shown_units(units: DataFrame, most: int) -> pd.DataFrame:
    """Whole levels from the coarsest while they fit; of the coarsest alone, the first by id."""
    counts = {row["level"]: row["count"] for row in units.groupBy("level").count().collect()}
    levels = [level for level in sorted(counts) if sum(counts[k] for k in counts if k <= level) <= most] or [min(counts)]
    chosen = units.where(F.col("level").isin(levels)).orderBy("level", "unit_id").limit(most)
    return chosen.select("unit_id", "parent_id", "level", "name", "geometry").toPandas()


def _maps(tables: Tables, settings: ReportSettings, place: Place, units: pd.DataFrame) -> tuple[list[Drawn], Sections]:
    drawn: list[Drawn] = []
    outlines = list(units["geometry"]) if len(units) else []
    counts = building_counts(tables["buildings"]) if "buildings" in tables else {}
    for layer in place.layers:
        scene = _scene(tables, settings, place, layer)
        if scene is not None:
            drawn += built_pictures(scene, outlines, place.attribution)
            for epoch in (epoch for epoch in scene.images if (layer, epoch) in counts):
                polygons = polygons_of(tables["buildings"], layer, epoch, settings.max_buildings)
                drawn.append(building_picture(scene, epoch, polygons, counts[layer, epoch], place.attribution))
    empty = paragraph("No tile of any layer has data.")
    return drawn, [("maps", "Maps", "".join(_figure(item) for item in drawn) or empty)]


def _scene(tables: Tables, settings: ReportSettings, place: Place, layer: str) -> Scene | None:
    grid = grid_of(tables["built_up"], layer, settings.map_px)
    if grid is None:
        return None
    found = pictures(map_pixels(tables["built_up"], layer, grid), grid)
    shares = {epoch.name: found[epoch.name] for epoch in place.epochs if epoch.name in found}
    ends = dict.fromkeys((next(iter(shares)), next(reversed(shares))))
    return layer_scene(layer, grid, shares, {epoch: scenes_of(tables["scenes"], tables["built_up"], layer, epoch) for epoch in ends})


def _fed_grid(tables: Tables, place: Place, settings: ReportSettings) -> MapGrid | None:
    return grid_of(tables["built_up"], place.fed_layer, settings.map_px) if place.fed_layer else None


def _units(tables: Tables, place: Place, units: pd.DataFrame, grid: MapGrid | None) -> tuple[list[Drawn], Sections]:
    epochs = [epoch.name for epoch in place.epochs]
    names = {row["unit_id"]: row["name"] or row["unit_id"] for row in units.to_dict("records")}
    top = list(units[units["level"] == units["level"].min()]["unit_id"])
    statistics = rows_of_units(tables["unit_statistics"], names)
    rows = rows_of_units(tables["indicators"].where("boundary = 'unit'"), names)
    whole = rows[(rows["period_start"] == epochs[0]) & (rows["period_end"] == epochs[-1]) & (epochs[0] != epochs[-1])]
    grid_unit = "m" if place.grid == "utm" else "grid units"
    layers = {name: f"{layer.resolution:g} {grid_unit} ({' and '.join(layer.sensors)})" for name, layer in place.layers.items()}
    drawn = _unit_pictures(tables, place, units, statistics, whole, grid)
    sections = [("summary", "In short", summary(statistics, whole, top, epochs, layers))]
    if len(whole):
        steps = rows[rows["unit_id"].isin(top) & (rows["period_start"] != rows["period_end"])]
        caption = f"SDG 11.3.1, {epochs[0]} to {epochs[-1]}"
        sections.append(("indicators", caption, indicator_table(whole, names, caption)))
        sections.append(("periods", "Every period of the coarsest units", indicator_table(steps, names, "SDG 11.3.1 by period")))
    sections.append(("change", "Units in pictures", "".join(_figure(item) for item in drawn)))
    per_person = rows[rows["indicator"] == "11.3.1-built-per-person"]
    sections.append(("units", "Sums and coverage of units", unit_table(statistics, per_person, names)))
    return drawn, sections


def _unit_pictures(
    tables: Tables, place: Place, units: pd.DataFrame, statistics: pd.DataFrame, whole: pd.DataFrame, grid: MapGrid | None
) -> list[Drawn]:
    finest = units[units["level"] == units["level"].max()]
    names = dict(zip(units["unit_id"], units["name"].fillna(units["unit_id"]), strict=True))
    dates = {epoch.name: epoch.reference.year + epoch.reference.timetuple().tm_yday / 366 for epoch in place.epochs}
    last = statistics[(statistics["epoch"] == place.epochs[-1].name) & (statistics["valid_m2"] > 0)].set_index("unit_id")
    drawn = [change_picture(statistics, names, dates)] if len(dates) > 1 else []
    if grid is not None:
        share, label = last["built_m2"] / last["valid_m2"] * 100, f"Built-up share of the ground with data, {place.epochs[-1].name}, %"
        drawn.append(value_picture("built_share", grid, finest, share, label, False))
        rate = whole[(whole["indicator"] == "11.3.1-lcr") & (whole["formula_id"] == "un-2021")].set_index("unit_id")["value"]
        if len(rate):
            drawn.append(value_picture("land_consumption", grid, finest, rate * 100, "Land consumption rate (un-2021), % a year", True))
    if "truth_unit_statistics" in tables:
        drawn.append(_against_truth(tables["truth_unit_statistics"], statistics))
    return drawn


def _against_truth(truth: DataFrame, statistics: pd.DataFrame) -> Drawn:
    true = truth.select("unit_id", "epoch", F.col("built_m2").alias("truth_m2")).toPandas()
    compared = statistics.rename(columns={"built_m2": "mapped_m2"}).merge(true, on=["unit_id", "epoch"]).sort_values(["unit_id", "epoch"])
    return truth_picture(compared)


def _coverage(tables: Tables, settings: ReportSettings, place: Place) -> tuple[list[Drawn], Sections]:
    rows, key = coverage_rows(tables["tiles"], tables["built_up"]).persist(), ["layer", "epoch"]
    tiles = [F.count(F.lit(1)).alias("tiles"), F.sum("valid_share").alias("valid")]
    example = [F.min("reason").alias("reason"), F.min("next_step").alias("next_step")]
    counts = rows.groupBy(*key, "status", "kind").agg(*tiles, *example).toPandas()
    failed = tables["built_up"].select(*key, F.explode("scenes_failed").alias("scene_id"))
    text = coverage_table(counts, failed.groupBy(*key).agg(F.countDistinct("scene_id").alias("scenes")).toPandas())
    drawn, epochs = [], [epoch.name for epoch in place.epochs]
    for layer in place.layers:
        found = states_of(rows, layer, settings.coverage_px)
        if found is not None:
            drawn.append(coverage_picture(layer, found[0], state_maps(found[1], found[0], epochs), place.attribution))
    rows.unpersist()
    return drawn, [("coverage", "Coverage", text + reason_table(counts) + "".join(_figure(item) for item in drawn))]


def _origin(tables: Tables, settings: ReportSettings, place: Place) -> Sections:
    built_up = tables["built_up"]
    key = ["layer", "model_name", "model_version", "model_labels", "model_sha256", "threshold"]
    used = built_up.select(F.explode("scenes_used").alias("scene_id")).distinct()
    images = tables["scenes"].join(used, on="scene_id", how="left_semi").orderBy("datetime", "scene_id")
    listed = images.select("scene_id", "sensor", "datetime", "licence", "attribution").limit(settings.max_scenes).toPandas()
    text = paragraph(f"Attribution: {place.attribution or 'none declared'}")
    models = built_up.select(*key).distinct().orderBy(*key).toPandas()
    text += model_table(models)
    text += "".join(paragraph(note) for note in unadapted_notes(models, images))
    text += paragraph(f"{len(listed)} of {images.count()} images are listed.", note=True) + scene_table(listed)
    chosen = place.model_dump(mode="json", exclude={"warehouse", "tracking_uri"})
    origin = ("origin", "Where it comes from", text + settings_text(chosen))
    regimes = ("regimes", "How to read the regimes", regime_table())
    return [regimes, origin, ("limits", "Limits", limits())]


def _figure(item: Drawn) -> str:
    return figure(item.png, item.alt, item.caption)
