"""Job `report` on a small invented place: one page that loads nothing, names that stay text, the same bytes again."""

import base64
import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from pyspark.sql import functions as F

from conf.place import Epoch, Layer, Place
from conf.tables import BUILT_UP, INDICATORS, SCENES, TILES, TRUTH_UNIT_STATISTICS, UNIT_STATISTICS, UNITS
from conf.tables_buildings import BUILDINGS
from jobs.job import Context
from jobs.sdg11.indicators import IndicatorsSettings, indicators
from jobs.sdg11.report import ReportSettings, report
from tests.done_tiles import filled
from udfs.rasters import NO_DATA, encode_raster
from udfs.simulation.catalog import PRODUCER

EVIL = "<script>alert('1')</script>\"&"
CRS = "EPSG:32636"
WEST, NORTH, PIXEL, TILE = 452_000.0, 38_000.0, 10.0, 256
TO_DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
YEARS = (2016, 2018, 2021)


def epoch(year):
    return Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1))


PLACE = Place(
    name="invented", title=f"Invented {EVIL}", attribution=f"Drawn for a test {EVIL}", epochs=tuple(epoch(year) for year in YEARS),
    layers={"built_up_10m": Layer(sensor="sentinel2_l2a", model="models:/m@champion", resolution=10, feeds="built_m2")},
    sections={"scenes": {"stac": "https://user:key@host/c.json?token=SECRET"}},
)  # fmt: skip


def box(left, top, right, bottom):
    """Pixels of the place's grid as WKB in degrees."""
    outline = shapely.box(WEST + left * PIXEL, NORTH - bottom * PIXEL, WEST + right * PIXEL, NORTH - top * PIXEL)
    return shapely.to_wkb(shapely.transform(outline, TO_DEGREES.transform, interleaved=False))


def city(year):
    """Probability (256, 512): a settlement in the upper left that grows eastwards; no data along the right edge."""
    rows, cols = np.mgrid[:TILE, : 2 * TILE]
    inside = np.hypot((rows - 90) / 60, (cols - 120) / (60 + 30 * (year - 2016))) < 1
    return np.where(cols > 490, NO_DATA, np.where(inside & ((rows // 7 + cols // 9) % 5 > 0), 230, 8)).astype(np.uint8)


def built_up_rows():
    for year in YEARS:
        for col in (0, 1):
            part = city(year)[:, col * TILE : (col + 1) * TILE]
            yield {
                "layer": "built_up_10m", "epoch": str(year), "tile_id": f"c{col}", "grid": "utm36n", "crs": CRS, "tile_px": TILE,
                "col": col, "transform": [PIXEL, 0.0, WEST + col * TILE * PIXEL, 0.0, -PIXEL, NORTH], "status": "done",
                "probability": encode_raster(part), "threshold": 125, "valid_share": float((part != NO_DATA).mean()),
                "scenes_used": [f"S2_{year}"], "scenes_failed": [],
                "model_name": "built_up_10m", "model_version": "1", "model_sha256": "ab" * 32,
            }  # fmt: skip
    yield {
        "layer": "built_up_10m", "epoch": "2021", "tile_id": "c2", "grid": "utm36n", "crs": CRS, "tile_px": TILE, "status": "quarantined",
        "col": 2, "transform": [PIXEL, 0.0, WEST + 2 * TILE * PIXEL, 0.0, -PIXEL, NORTH], "error_class": "read_failed",
        "message": f"cut off {EVIL}", "scenes_used": [],
        "scenes_failed": ["S2_bad"], "threshold": 125, "model_name": "built_up_10m", "model_version": "1", "model_sha256": "ab" * 32,
    }  # fmt: skip


def tile_rows():
    """The plan of those tiles, and of one in 2016 that is not mapped yet."""
    for row in [*built_up_rows(), {**next(built_up_rows()), "tile_id": "c2", "col": 2}]:
        placed = {name: row[name] for name in ("layer", "epoch", "tile_id", "grid", "crs", "tile_px", "col", "transform")}
        yield {**placed, "scenes": [(f"S2_{row['epoch']}", 0.9, "covers 90 %, 30 days from reference", None)]}


def scene_rows(folder):
    for year in YEARS:
        bands = {}
        for index, band in enumerate(("B02", "B03", "B04")):
            bands[band] = str(folder / f"{year}_{band}.tif")
            noise = np.random.default_rng(year + index).integers(0, 90, (TILE, 2 * TILE))
            light = 600 + 400 * index + 4 * city(year).astype(np.uint16) + noise
            profile = {"driver": "GTiff", "transform": Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), "dtype": "uint16"}
            profile |= {"count": 1, "width": 2 * TILE, "height": TILE, "crs": CRS, "nodata": 0}
            with rasterio.open(bands[band], "w", **profile) as image:
                image.write(light.astype(np.uint16), 1)
        yield {
            "scene_id": f"S2_{year}", "sensor": "sentinel2_l2a", "datetime": dt.datetime(year, 6, 1), "hrefs": bands, "transform": [],
            "band_indexes": dict.fromkeys(bands, 1), "crs": CRS, "licence": f"open {EVIL}", "attribution": "nobody",
        }  # fmt: skip


def statistic_rows(people=(90e3, 99e3, 120e3)):
    areas = {"west": (0, 256), "east": (256, 512)}
    for unit, (left, right) in areas.items():
        for year, count in zip(YEARS, people, strict=True):
            part = city(year)[:, left:right]
            sums = {"built_m2": float(((part >= 125) & (part < 255)).sum() * 100), "valid_m2": float((part < 255).sum() * 100)}
            yield {"unit_id": unit, "epoch": str(year), **sums, "total_m2": part.size * 100.0, "people": count, "people_year": str(year)}


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    parts = pd.DataFrame(statistic_rows())
    whole = parts.groupby(["epoch", "people_year"], as_index=False).sum(numeric_only=True).assign(unit_id="all")
    statistics = [*parts.to_dict("records"), *whole.to_dict("records")]
    outlines = {"all": (None, 0, box(0, 0, 512, 256)), "west": ("all", 1, box(0, 0, 256, 256)), "east": ("all", 1, box(256, 0, 512, 256))}
    units = [{"unit_id": u, "parent_id": p, "level": n, "name": f"{u} {EVIL}", "geometry": g} for u, (p, n, g) in outlines.items()]
    houses = [
        {"layer": "built_up_10m", "epoch": "2021", "building_id": str(i), "geometry": box(60 + 9 * i, 80, 66 + 9 * i, 86)} for i in range(9)
    ]
    truth = [{**row, "built_m2": row["built_m2"] * 1.07} for row in statistics]
    rows = {
        SCENES: scene_rows(folder), TILES: tile_rows(), BUILT_UP: built_up_rows(), UNITS: units, UNIT_STATISTICS: statistics,
        BUILDINGS: houses,
        TRUTH_UNIT_STATISTICS: [{name: row[name] for name in TRUTH_UNIT_STATISTICS.names if name in row} for row in truth],
    }  # fmt: skip
    made = {table.name: spark.createDataFrame(filled(table, found), table.ddl) for table, found in rows.items()}
    context = Context(spark, PLACE, "run", folder)
    return {**made, "indicators": indicators.run(made, IndicatorsSettings(), context).select(*INDICATORS.names)}


@pytest.fixture(scope="module")
def written(spark, tables, tmp_path_factory):
    """Files of the report by name."""

    def write(**settings):
        folder = tmp_path_factory.mktemp("place")
        report.run(tables, ReportSettings(**settings), Context(spark, PLACE, "run", folder))
        return {path.name: path.read_bytes() for path in sorted((folder / "report").iterdir())}

    return write


@pytest.fixture(scope="module")
def files(written):
    return written()


def test_the_page_loads_nothing_and_runs_no_name(files):
    text = files["index.html"].decode()
    assert not re.search(r"<(?:link|iframe|object|embed|img[^>]+src=\"(?!data:))", text)
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", text) and "@import" not in text and "url(" not in text
    assert "default-src 'none'" in text
    assert text.count("<script") == 1 and "&lt;script&gt;alert(" in text
    assert "SECRET" not in text and "user:key" not in text


def test_every_picture_is_beside_the_page_and_in_it(files):
    text = files["index.html"].decode()
    names = {"built_up_built_up_10m_2016", "built_up_built_up_10m_2021", "first_built_built_up_10m", "buildings_built_up_10m_2021"}
    names |= {"change_over_time", "built_share", "land_consumption", "against_truth", "coverage_built_up_10m"}
    assert set(files) == {"index.html", *(f"{name}.png" for name in names)}
    for name, data in files.items():
        assert name == "index.html" or (data.startswith(b"\x89PNG") and base64.b64encode(data).decode() in text)
    assert all(re.search(r'alt="[^"]{10,}', image) for image in re.findall(r"<img[^>]+>", text))


def test_tables_show_both_formulas_regimes_and_coverage(files, tables):
    text = files["index.html"].decode()
    ratio = tables["indicators"].where("unit_id = 'all' and indicator = '11.3.1' and period_end = '2021' and period_start = '2016'")
    for row in ratio.collect():
        assert f'data-value="{row.value!r}"' in text
        assert f"{row.regime}, " in text
    assert "ab" * 32 in text
    assert "no built-up area at 2016" in text


def test_holes_are_counted_explained_and_drawn(files):
    section = re.search(r'<section id="coverage">.*?</section>', files["index.html"].decode(), re.DOTALL)[0]
    cells = [re.findall(r"<t[dh][^>]*>(?:<button>)?([^<]*)", line) for line in re.findall(r"<tr>(.*?)</tr>", section)]
    assert cells[1][:7] == ["built_up_10m", "2016", "3", "2", "0", "1", "0"]
    assert cells[3][:7] == ["built_up_10m", "2021", "3", "2", "0", "0", "1"] and cells[3][8] == "1"
    assert ["built_up_10m", "2016", "pending", "1", "not mapped yet", "run ./spark-submit.sh flow"] in cells
    assert any(line[2] == "read_failed" and "./spark-submit.sh retry" in line[5] for line in cells)
    assert "read_failed: cut off &lt;script&gt;" in section and 'alt="Map of tiles by status, layer built_up_10m"' in section


def test_a_network_that_knows_no_real_place_is_told(files, tables, spark, tmp_path):
    note = "Layer built_up_10m: model built_up_10m version 1 learned from labels of unknown origin and was not adapted to this place"
    assert note in files["index.html"].decode()
    simulated = {**tables, "scenes": tables["scenes"].withColumn("attribution", F.lit(PRODUCER))}
    adapted = {**tables, "built_up": tables["built_up"].withColumn("model_labels", F.lit("footprints"))}
    for name, other in (("simulated", simulated), ("adapted", adapted)):
        report.run(other, ReportSettings(), Context(spark, PLACE, "run", tmp_path / name))
        assert "was not adapted" not in (tmp_path / name / "report" / "index.html").read_text()


def test_the_same_again(files, written):
    assert written() == files


def test_smaller_limits_show_less(written, files):
    small = written(map_px=200, max_units=1, max_buildings=2, max_scenes=1)
    text = small["index.html"].decode()
    assert "2 of 9 buildings" in text and "1 of 3 images are listed" in text and "(west)" not in text
    assert len(small["first_built_built_up_10m.png"]) != len(files["first_built_built_up_10m.png"])
