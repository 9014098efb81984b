"""Faults of buildings, through the job, and which test proves what is right then.

| fault | clause | test; elsewhere if a module is named |
|---|---|---|
| 40 | over 2, 3, 4 tiles; a ring around a tile; contact by a corner | `whole_over_tiles`; udfs/test_merging `seams_by_hand` |
| 40 | a neighbour in quarantine: kept, `open_edge` | `whole_over_tiles`; test_buildings `a_quarantined_neighbour` |
| 40 | a tile in a later run: as in one run | `come_in_a_later_run` |
| 41 | walls cross or leave no area, a hole meets its shell: raw | udfs/test_building_faults `no_polygon`, `as_thin_as_a_pixel` |
| 41 | nothing is dropped, no WKB invalid, nothing without area | udfs/test_building_faults `every_component_of_noise` |
| 41 | in two parts, or nothing, after a cut | udfs/test_building_faults `cut_in_two`; test_buildings `share_no_ground` |
| 41 | over a million corners | udfs/test_building_faults `million_corners` |
| 41 | files of others: the same faults, corners nowhere, curves | udfs/test_building_faults `footprints_of_others`, `lines_of_microsofts` |
| 42 | a tile all built | udfs/test_building_faults `all_built`; test_merging `seams_by_hand` |
| 42 | 100,000 specks: memory, area; what is small is never traced | udfs/test_building_faults `specks`; test_tracing `large_noise` |
| 42 | small pieces at borders: sieved as wholes | `whole_over_tiles` (one grows, one is dropped); test_merging `sieved` |
| 42 | a component of many pieces: time by its ground | udfs/test_building_faults `drawn_once` |
| 47 | `geo`, PROJJSON, boxes, types, axes; the validator finds each fault | test_geoparquet_faults |
| 47 | opens in GeoPandas and DuckDB | test_geoparquet_faults `no_ground_is_lost`; test_buildings_geoparquet |
| 47 | files of others: mixed types, boxes that lie or lack, no WKB, metres | test_geoparquet_faults |
| 48 | delta-rs, DuckDB, Spark without Sedona; no feature that readers must know | `opens_in`, `ask_no_feature` |
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import duckdb_extensions
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod, Transformer
from pyspark.sql import DataFrame, SparkSession
from rasterio import features
from scipy import ndimage

from conf.place import Place
from conf.settings import Settings
from conf.tables import TABLES
from jobs.fingerprint import table_fingerprint
from jobs.job import Context, Job, Tables
from jobs.job import job as declare
from jobs.mapping.buildings import buildings
from jobs.runner import Runner, prepare
from jobs.session import jars_folder
from jobs.tilewise import ALL, Wanted
from jobs.warehouse import Warehouse
from tests.done_tiles import filled
from tests.jobs.mapping.test_buildings import GRID, LEFT, TOP, built_up_row, built_up_rows, place, run, tile_part
from udfs.grid import Tile, tile_id

SIDE, TILE = 512, 128
CORNER = {"top": TOP - SIDE // 2, "left": LEFT - SIDE // 2}
"""So that the corner of four cells, where buildings are finished, lies in the middle."""
TO_LONLAT = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
FOUR, THREE, TWO = (np.s_[376:396, 370:400],), (np.s_[110:120, 370:400], np.s_[110:150, 390:400]), (np.s_[300:312, 120:140],)
YARD, IN_THE_YARD = np.s_[128:256, 128:256], np.s_[150:170, 160:185]
BY_A_CORNER = (np.s_[364:384, 236:256], np.s_[384:404, 256:280])
GROWN, AT_A_BORDER, INSIDE = np.s_[200:205, 382:386], np.s_[230:233, 381:384], np.s_[330:333, 331:334]
"""Of 20 pixels, of which 16 are four square metres; and two of nine."""


def town() -> np.ndarray:
    """Pixels built on 4 x 4 tiles: buildings over two, three and four of them; a block around a whole one, with a house in its yard; two
    houses that touch by a corner where four tiles meet; pieces too small."""
    built = np.zeros((SIDE, SIDE), bool)
    built[122:262, 122:262] = True
    built[YARD] = False
    for part in (*FOUR, *THREE, *TWO, IN_THE_YARD, *BY_A_CORNER, GROWN, AT_A_BORDER, INSIDE):
        built[part] = True
    return built


def absolute(row: int, col: int) -> tuple[int, int]:
    """Of a tile of the town on the grid."""
    return CORNER["top"] // TILE + row, CORNER["left"] // TILE + col


def without(built: np.ndarray, *tiles: tuple[int, int]) -> np.ndarray:
    left = built.copy()
    for row, col in tiles:
        left[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE] = False
    return left


def known(built: np.ndarray, *open_tiles: tuple[int, int]) -> pd.DataFrame:
    """The oracle: GDAL's polygons of the whole picture, EPSG:4326, of 4 m2 or more, and which have pixels side by side with a tile."""
    labels, _ = ndimage.label(built)
    beside = ndimage.binary_dilation(~without(np.ones(built.shape, bool), *open_tiles))
    found = list(features.shapes(labels.astype(np.int32), mask=built, connectivity=4, transform=GRID.transform(*CORNER.values())))
    shapes = [shapely.transform(shapely.geometry.shape(outline), TO_LONLAT.transform, interleaved=False) for outline, _ in found]
    area = [abs(Geod(ellps="WGS84").geometry_area_perimeter(shape)[0]) for shape in shapes]
    is_open = [bool(np.isin(label, labels[beside])) for _, label in found]
    frame = pd.DataFrame({"shape": shapes, "area_m2": area, "open_edge": is_open})
    return in_order(frame[frame["area_m2"] >= 4])


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    shapes = shapely.normalize(frame["shape"].to_numpy())
    order = np.lexsort(np.round(shapely.bounds(shapes), 8).T)
    return frame.assign(shape=shapes).iloc[order].reset_index(drop=True)


def assert_are(rows: pd.DataFrame, expected: pd.DataFrame) -> None:
    found = in_order(rows.assign(shape=shapely.from_wkb(rows["geometry"].to_numpy())))
    assert len(found) == len(expected) and found["building_id"].is_unique
    assert shapely.is_valid(found["shape"]).all()
    assert shapely.equals_exact(found["shape"].to_numpy(), expected["shape"].to_numpy(), 1e-10).all()
    assert found["area_m2"].to_numpy() == pytest.approx(expected["area_m2"].to_numpy(), rel=1e-6)
    assert found["open_edge"].tolist() == expected["open_edge"].tolist()


GONE = {
    "none": ((), 0),
    "a corner of four": (((3, 3),), 1),
    "two across a corner of four": (((3, 2), (2, 3)), 2),
    "the yard": (((1, 1),), 1),
    "tiles that the block goes through": (((0, 1), (2, 2)), 5),
    "the home of one of two that touch by a corner": (((3, 2),), 1),
}


@pytest.fixture(scope="module")
def all_cases(spark: SparkSession) -> pd.DataFrame:
    """Buildings of each case, as an epoch of its own: one run of the job for all."""
    pixels = 200 * town().astype(np.uint8)
    rows = [
        built_up_rows(pixels, TILE, frozenset(absolute(*tile) for tile in gone), **CORNER).assign(epoch=case)
        for case, (gone, _) in GONE.items()
    ]
    return run(spark, pd.concat(rows), 3, detail_m=0)


@pytest.mark.parametrize("case", GONE)
def test_buildings_are_whole_over_tiles_and_kept_beside_those_without_result(all_cases: pd.DataFrame, case: str) -> None:
    gone, opened = GONE[case]
    expected = known(without(town(), *gone), *gone)
    assert expected["open_edge"].sum() == opened
    assert_are(all_cases[all_cases["epoch"] == case], expected)


def test_the_parts_of_the_town_are_what_they_are_called() -> None:
    """A picture drawn wrong would prove nothing: eight buildings, of which one has a yard of a whole tile."""
    rings = [shape.interiors for shape in known(town())["shape"]]
    assert sorted(map(len, rings)) == [0] * 7 + [1]
    (yard,) = max(rings, key=len)
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shapely.Polygon(yard))
    assert abs(area) == pytest.approx(TILE**2 / 4, rel=2e-3)
    assert [len({(y // TILE, x // TILE) for y, x in np.argwhere(drawn(*part))}) for part in (FOUR, THREE, TWO)] == [4, 3, 2]


def drawn(*parts: tuple[slice, slice]) -> np.ndarray:
    picture = np.zeros((SIDE, SIDE), bool)
    for part in parts:
        picture[part] = True
    return picture


def placed(tile: Tile) -> dict[str, Any]:
    """What `tiles` and `built_up` say of where a tile lies."""
    bounds = tile.pixels
    corners = [GRID.transform(0, 0) * (x, y) for x, y in ((bounds.left, bounds.bottom), (bounds.right, bounds.top))]
    square = shapely.transform(shapely.box(*corners[0], *corners[1]), TO_LONLAT.transform, interleaved=False)
    return {**built_up_row(tile, np.zeros(0), True), "tile_id": tile_id(GRID, tile), "geometry": shapely.to_wkb(square)}


def jobs_over(picture: np.ndarray, states: dict[tuple[int, int], str], seen: list[list[str]]) -> dict[str, Job]:
    """The job buildings, behind jobs that plan the tiles in `states` and map them to `picture`, or quarantine them; a state that changes
    is another image."""

    class NoSettings(Settings):
        pass

    tile_at = {absolute(*place): state for place, state in states.items()}

    def tiles(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        planned = [Tile(*place, TILE) for place in tile_at]
        rows = [{**placed(tile), "scenes_digest": tile_at[tile[:2]].partition(":")[2]} for tile in planned]
        return context.spark.createDataFrame(filled(TABLES["tiles"], rows), TABLES["tiles"].ddl)

    def built_up(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        wanted = [Tile(row["row"], row["col"], TILE) for row in tables["planned"].collect()]
        seen.append(sorted(tile_id(GRID, tile) for tile in wanted))
        rows = [result(tile, tile_at[tile[:2]].startswith("broken")) for tile in wanted]
        frame = context.spark.createDataFrame(filled(TABLES["built_up"], rows), TABLES["built_up"].ddl)
        return frame.drop("input_digest", "run_id")

    def result(tile: Tile, broken: bool) -> dict[str, Any]:
        part = tile_part(200 * picture.astype(np.uint8), tile, CORNER["top"], CORNER["left"], 255)
        error = {"error_class": "truncated", "message": "cut off"} if broken else {}
        return {**placed(tile), **built_up_row(tile, part, broken), "attempts": 1, **error}

    return {
        "tiles": declare(writes="tiles", settings=NoSettings, parallel_over="tiles", sources=lambda *_: repr(states))(tiles),
        "built_up": declare(
            reads=("tiles",), writes="built_up", settings=NoSettings, parallel_over="tiles", tilewise=True,
            layer_digests=lambda *_: {"buildings_50cm": "one model"},
        )(built_up),
        "buildings": buildings,
    }  # fmt: skip


def flow(spark: SparkSession, at: Place, jobs: dict[str, Job], wanted: Wanted = ALL) -> pd.DataFrame:
    Runner(spark, at, jobs, wanted=wanted).run([prepare(each, at) for each in jobs.values()])
    return Warehouse(spark, at.folder).read("buildings").toPandas()


def at_warehouse(folder: Path) -> Place:
    return place().model_copy(update={"warehouse": str(folder), "sections": {"buildings": {"detail_m": 0}}})


EVERY = {(row, col): "done:s" for row in range(4) for col in range(4)}
LATE, BROKEN, CHANGED = (0, 1), (3, 3), (0, 3)


@pytest.fixture(scope="module")
def in_parts(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place after two runs: one tile not planned and one in quarantine; both of them, and another image of a third."""
    at, seen, full = at_warehouse(tmp_path_factory.mktemp("parts")), [], town()
    first = {tile: state for tile, state in EVERY.items() if tile != LATE} | {BROKEN: "broken:s"}
    assert_are(flow(spark, at, jobs_over(full, first, seen)), known(without(full, LATE, BROKEN), LATE, BROKEN))
    second = jobs_over(without(full, CHANGED), EVERY | {CHANGED: "done:t"}, seen)
    assert_are(flow(spark, at, second, Wanted(retry=True)), known(without(full, CHANGED)))
    came = sorted(tile_id(GRID, Tile(*absolute(*tile), TILE)) for tile in (LATE, BROKEN, CHANGED))
    assert len(seen[0]) == 15 and seen[1:] == [came]  # the others' rows are of the first run
    return at.folder


def test_tiles_that_come_in_a_later_run_end_in_the_table_of_one_run(spark: SparkSession, in_parts: Path, tmp_path: Path) -> None:
    at = at_warehouse(tmp_path)
    flow(spark, at, jobs_over(without(town(), CHANGED), EVERY, []))
    one, other = (table_fingerprint(Warehouse(spark, folder).read("buildings"), TABLES["buildings"]) for folder in (in_parts, at.folder))
    assert one == other


def by_delta_rs(table: Path) -> pd.DataFrame:
    return deltalake.DeltaTable(str(table)).to_pandas()


def by_duckdb(table: Path, scratch: Path) -> pd.DataFrame:
    con = duckdb.connect(config={"extension_directory": str(scratch)})
    duckdb_extensions.import_extension("delta", con=con)
    con.load_extension("delta")
    return con.sql(f"FROM delta_scan('{table}')").df()


PLAIN_SPARK = """
import sys
from pyspark.sql import SparkSession
table, written, jars = sys.argv[1:]
conf = {"jars": jars, "sql.extensions": "io.delta.sql.DeltaSparkSessionExtension", "ui.enabled": "false", "driver.host": "127.0.0.1",
        "sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog", "sql.session.timeZone": "UTC"}
builder = SparkSession.builder.master("local[1]")
for name, value in conf.items():
    builder = builder.config(f"spark.{name}", value)
spark = builder.getOrCreate()
assert "sedona" not in sys.modules and not any(row.function.startswith("st_") for row in spark.sql("SHOW FUNCTIONS").collect())
spark.read.format("delta").load(table).toPandas().to_pickle(written)
"""


def by_spark_without_sedona(table: Path, scratch: Path) -> pd.DataFrame:
    jars = ",".join(str(jar) for jar in sorted(jars_folder().glob("*delta*.jar")) + sorted(jars_folder().glob("*antlr*.jar")))
    subprocess.run([sys.executable, "-c", PLAIN_SPARK, str(table), str(scratch / "read"), jars], check=True, capture_output=True)
    return pd.read_pickle(scratch / "read")


def test_the_table_opens_in_delta_rs_in_duckdb_and_in_spark_without_sedona(spark: SparkSession, in_parts: Path, tmp_path: Path) -> None:
    """Its folder holds files of an earlier version, too."""
    table = in_parts / "buildings"
    assert len(list(table.glob("*.parquet"))) > len(deltalake.DeltaTable(str(table)).file_uris())
    for found in (by_delta_rs(table), by_duckdb(table, tmp_path), by_spark_without_sedona(table, tmp_path)):
        assert list(found.columns) == list(TABLES["buildings"].names)
        assert_are(found.assign(geometry=found["geometry"].map(bytes)), known(without(town(), CHANGED)))


@pytest.mark.parametrize("name", ["buildings", "built_up", "tiles", "runs"])
def test_tables_ask_no_feature_of_their_readers(in_parts: Path, name: str) -> None:
    """Also those that were merged into, with columns that may grow."""
    protocol = deltalake.DeltaTable(str(in_parts / name)).protocol()
    assert (protocol.min_reader_version, protocol.reader_features) == (1, None)
