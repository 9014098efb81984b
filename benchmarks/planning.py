"""Job `tiles` for 10, 1,000 and 100,000 tiles and, with `--all-land`, the land of the earth at 10 m: seconds, memory, what the tiles
would cost, what a further tile costs and, with land, whether it costs the same there."""

import datetime as dt
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import shapely
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.memory import SessionUse, in_own_process
from benchmarks.pairs import Measure
from conf.place import Epoch, Layer, Place
from conf.tables import SCENES, TILES
from jobs.job import Context
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.plan import work_lines
from jobs.session import start_session
from jobs.table_checks import check_rows, in_declared_order, schema_of
from jobs.warehouse import Warehouse
from udfs.grid import Tile
from udfs.land import land_tiles
from udfs.planning import outlines
from udfs.zones import ZONES, Zone, zone_grid

REACH = 1.1
LAND = "land"
STEPS = {10: 5, 1_000: 5, 100_000: 5}
"""Tiles to how often they are planned. What is fixed wavers by seconds, so that a step must bring many tiles to show what one costs."""
MIDDLE, TILE_DEGREES = (21.0, 4.0), 5.12 / 111.0
"""Land on all sides, in the middle of a zone; side of a tile there."""
SQUARE_PX, OVERLAP_PX = 10_000, 490
"""Sentinel-2's tiling: squares of 100 km, images of 109.8 km."""
DATES = (dt.date(2023, 2, 20), dt.date(2023, 6, 5), dt.date(2023, 9, 14))
EPOCH = Epoch(name="2023", start=dt.date(2023, 1, 1), end=dt.date(2023, 12, 31), reference=dt.date(2023, 7, 1))
LAYER, SENSOR = "built_up_10m", "sentinel2_l2a"
STAMP: dict[str, Any] = {}


class Planned(NamedTuple):
    """A step: its tiles, seconds, CPU seconds of JVM and workers, peaks of the driver's JVM and of the largest worker in MiB, and what
    its tiles would cost."""

    tiles: int
    seconds: float
    cpu: float
    jvm: float
    worker: float
    cost: str


def measure() -> list[Measure]:
    """Steps up to 100,000 tiles."""
    return _measured(tuple(STEPS))


def measure_all_land() -> list[Measure]:
    """And the whole land, which takes a while."""
    return _measured((*STEPS, LAND))


def _measured(steps: tuple[int | str, ...]) -> list[Measure]:
    with tempfile.TemporaryDirectory() as folder:
        place = _planet(folder)
        in_own_process(write_scenes, place)
        found = in_own_process(_planned, place, steps)
    named = {f"{step:,} tiles" if isinstance(step, int) else "all land": runs for step, runs in found.items()}
    seconds = [Measure(f"planning: {name}", "s", tuple(run.seconds for run in runs), note=_note(runs)) for name, runs in named.items()]
    rates = further_seconds([runs for step, runs in found.items() if step != min(STEPS)])
    further = [Measure(f"planning: to {name}", "ms a tile", (1e3 * rate,)) for name, rate in zip(list(named)[2:], rates, strict=True)]
    growth = [
        Measure("planning: growth", "x", (rate / rates[0],), REACH, at_most=True, note="of a further tile's seconds") for rate in rates[1:]
    ]
    return [*seconds, *further, *growth]


def further_seconds(steps: list[list[Planned]]) -> list[float]:
    """Seconds of each additional tile between steps, medians of their runs."""
    sizes = [(runs[0].tiles, statistics.median(run.seconds for run in runs)) for runs in steps]
    return [(later - sooner) / (more - fewer) for (fewer, sooner), (more, later) in pairwise(sizes)]


def _note(runs: list[Planned]) -> str:
    jvm, worker = max(run.jvm for run in runs), max(run.worker for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    return f"{runs[0].tiles} tiles; CPU {cpu:.1f} s; peak JVM {jvm:.0f} MiB, worker {worker:.0f} MiB; to do: {runs[0].cost}"


def _planet(folder: str) -> Place:
    return Place(name="planet", warehouse=folder, epochs=(EPOCH,), layers={LAYER: Layer(sensor=SENSOR, resolution=10)})


def _planned(place: Place, steps: tuple[int | str, ...]) -> dict[int | str, list[Planned]]:
    """Each step's runs, after a warm-up; the steps take turns, so that a busy minute does not fall on one of them. Land comes last."""
    spark = start_session("local[2]", {})
    context = Context(spark, place, "benchmark", place.folder)
    plan = partial(_plan, Warehouse(spark, place.folder), context)
    plan(min(STEPS))
    found: dict[int | str, list[Planned]] = {step: [] for step in steps}
    turns = [step for turn in range(max(STEPS.values())) for step in steps if turn < STEPS.get(step, 0)]
    for step in [*turns, *(step for step in steps if step == LAND)]:
        found[step].append(plan(step))
        print(found[step][-1], file=sys.stderr, flush=True)
    spark.stop()
    return found


def _plan(warehouse: Warehouse, context: Context, step: int | str) -> Planned:
    """One run as the runner does it: computed, checked, written in one commit."""
    settings = TilesSettings(tile_px=512, area=LAND if step == LAND else around(int(step)))
    started = time.perf_counter()
    with SessionUse() as use:
        rows = in_declared_order(tiles.run({"scenes": warehouse.read("scenes")}, settings, context), TILES).persist()
        count = check_rows(rows, TILES)
        warehouse.overwrite(TILES, rows, STAMP)
    seconds = time.perf_counter() - started
    rows.unpersist()
    context.spark.catalog.clearCache()  # the cells, which the job keeps for its run
    cost = "; ".join(line.strip() for line in work_lines(context.place, warehouse.read("tiles")))
    return Planned(count, seconds, use.cpu, use.jvm, use.worker, cost)


def around(count: int) -> tuple[float, float, float, float]:
    """A square of about `count` tiles, degrees."""
    half = max(count**0.5 - 1, 1) * TILE_DEGREES / 2
    return MIDDLE[0] - half, MIDDLE[1] - half, MIDDLE[0] + half, MIDDLE[1] + half


def write_scenes(place: Place, zones: tuple[Zone, ...] = ZONES) -> None:
    """Table `scenes` of the place: Sentinel-2's images over land, one each date, of the zones of UTM."""
    spark = start_session("local[2]", {})
    images = pa.Table.from_pylist(scene_rows(zones), schema=to_arrow_schema(schema_of(SCENES)))
    Warehouse(spark, place.folder).overwrite(SCENES, spark.createDataFrame(images, SCENES.ddl), STAMP)
    spark.stop()


def scene_rows(zones: tuple[Zone, ...]) -> list[dict[str, Any]]:
    """Rows of `scenes`, null columns left out."""
    return [row for zone in zones if not zone.polar for row in _images(zone)]


def _images(zone: Zone) -> Iterator[dict[str, Any]]:
    grid = zone_grid(zone, 10.0)
    squares = [Tile(int(row), int(col), SQUARE_PX) for row, col in land_tiles(zone, 10.0, SQUARE_PX)]
    footprints = outlines(grid, squares, OVERLAP_PX) if squares else []
    for square, footprint in zip(squares, footprints, strict=True):
        bounds = square.pixels.grown(OVERLAP_PX)
        for date in DATES:
            yield _image(f"{zone.name}_{square.row}_{square.col}", date, footprint) | {
                "crs": grid.crs, "transform": list(grid.transform(bounds.top, bounds.left))[:6],
                "width": bounds.shape_yx[1], "height": bounds.shape_yx[0],
            }  # fmt: skip


def _image(square: str, date: dt.date, footprint: Any) -> dict[str, Any]:
    name = f"{square}_{date:%Y%m%d}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    west, south, east, north = map(float, shapely.bounds(footprint))
    return {
        "scene_id": name, "sensor": SENSOR, "datetime": dt.datetime.combine(date, dt.time(10, 30), dt.UTC),
        "hrefs": {"B04": f"https://images.invalid/{name}/B04.tif"}, "band_indexes": {"B04": 1}, "nodata": 0.0,
        "cloud": int(digest[:4], 16) / 2**16, "baseline": "05.09", "geometry": shapely.to_wkb(footprint), "xmin": west, "ymin": south,
        "xmax": east, "ymax": north, "versions": {}, "content_digest": digest,
    }  # fmt: skip
