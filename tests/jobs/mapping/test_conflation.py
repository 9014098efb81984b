"""Job `conflation`: every building once, by a loop over shapely's polygons, and on Kampala's real footprints."""

import datetime as dt
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod, Transformer
from pyspark.sql import DataFrame, SparkSession
from shapely import affinity

from conf.errors import InputError
from conf.place import Epoch, Layer, Place
from conf.tables_buildings import CONFLATION
from jobs.job import Context
from jobs.mapping.conflation import ConflationSettings, conflation
from jobs.sdg11.units import UnitsSettings, units
from jobs.table_checks import check_rows, check_schema
from jobs.training.footprints import FootprintsSettings, footprints
from tests.jobs.training.test_evaluate_polygons import SOUTH, WEST, degrees, mapped

EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
TO_METRES = Transformer.from_crs("EPSG:4326", "EPSG:32636", always_xy=True)
BBOX = "xmin double, ymin double, xmax double, ymax double"
FOOTPRINTS = (
    f"footprint_id string, source string, geometry binary, {BBOX}, confidence double, label_date date, licence string, attribution string"
)
BUILDINGS = f"layer string, epoch string, building_id string, geometry binary, {BBOX}, confidence double, last_date timestamp"
PREFER = ("osm", "urbantrace", "google", "microsoft")


def place(tmp_path: Path, resolution: float = 0.5) -> Place:
    layers = {"b": Layer(sensor="rgb", resolution=resolution)}
    return Place(name="test", warehouse=str(tmp_path / "w"), epochs=(EPOCH,), layers=layers, attribution="Drone, CC BY 4.0")


def town(seed: int, size: int = 11) -> dict[str, tuple[str, Any]]:
    """Houses close together, each told by some of four sources: moved, turned, in two halves or with its neighbour as one."""
    random = np.random.default_rng(seed)
    found: dict[str, tuple[str, Any]] = {}
    for number in range(size**2):
        x, y = WEST + 300 + 23 * (number % size), SOUTH + 330 + 19 * (number // size)
        house = affinity.rotate(shapely.box(x, y, x + 18, y + 12 + number % 5), float(random.uniform(-20, 20)))
        for source in PREFER:
            told = affinity.translate(house, *random.normal(0, 2, 2))
            kind = random.random()
            if kind < 0.3:
                continue
            if kind < 0.45:
                west, south, east, north = told.bounds
                for half, box in enumerate(((west, south, (west + east) / 2, north), ((west + east) / 2, south, east, north))):
                    found[f"{source[0]}{number:03}{half}"] = source, told & shapely.box(*box)
            else:
                wide = shapely.box(x, y, x + 40 + number % 7 + random.random(), y + 12) if kind > 0.93 else told
                found[f"{source[0]}{number:03}"] = source, wide
    return found


def metres(wkb: bytes) -> Any:
    return shapely.transform(shapely.from_wkb(wkb), TO_METRES.transform, interleaved=False)


def tables(spark: SparkSession, told: dict[str, tuple[str, Any]]) -> dict[str, DataFrame]:
    """Ours as `buildings`, the others as `footprints`; the map has data in the west only."""
    shapes = {name: (source, degrees(shape)) for name, (source, shape) in told.items()}
    noon = dt.datetime(2020, 5, 1, 12)
    ours = [("b", "2020", n, bytearray(s.wkb), *s.bounds, 0.8, noon) for n, (source, s) in shapes.items() if source == "urbantrace"]
    other = [("b", "2017", "old", bytearray(degrees(shapely.box(WEST, SOUTH, WEST + 9, SOUTH + 9)).wkb), 0.0, 0.0, 0.1, 0.1, 0.8, noon)]
    rows = [
        (n, source, bytearray(s.wkb), *s.bounds, None, None, "ODbL", None) for n, (source, s) in shapes.items() if source != "urbantrace"
    ]
    return {
        "buildings": spark.createDataFrame(ours + other, BUILDINGS),
        "footprints": spark.createDataFrame(rows, FOOTPRINTS),
        "built_up": mapped(spark, WEST + 420),
    }


def run(spark: SparkSession, given: dict[str, DataFrame], at: Place, **settings: Any) -> pd.DataFrame:
    found = conflation.run(given, ConflationSettings(**settings), Context(spark, at, "run", Path()))
    check_schema(found, CONFLATION)
    check_rows(found, CONFLATION)
    rows = found.toPandas()
    assert rows["feature_id"].is_unique
    return rows.sort_values("feature_id", ignore_index=True)


def by_loop(told: dict[str, tuple[str, Any]]) -> dict[str, tuple[Any, set[str], str]]:
    """What stands: outline, what is left out for it, and whether others agree."""
    order = sorted(told, key=lambda name: (PREFER.index(told[name][0]), -told[name][1].area, name))
    shape = {name: told[name][1] for name in order}
    left: dict[str, Any] = {}

    def share(one: str, of: str) -> float:
        return float((shape[one] & shape[of]).area / shape[of].area)

    for name in order:
        outline = shape[name] - shapely.union_all([shape[one] for one in left])
        if outline.area >= 0.5 * shape[name].area and all(share(one, name) < 0.3 or share(name, one) >= 0.7 for one in left):
            left[name] = outline
    found = {}
    for name, outline in left.items():
        behind = set(order[order.index(name) + 1 :])
        others = {
            one for one in order if max(share(name, one), share(one, name)) >= 0.3 and one != name and (one not in left or one in behind)
        }
        ious = [(shape[name] & shape[o]).area / (shape[name] | shape[o]).area for o in others if told[o][0] != told[name][0]]
        found[name] = outline, others, "alone" if not ious else "agreed" if max(ious) >= 0.5 else "overlapped"
    return found


def sketch(told: dict[str, tuple[str, tuple[float, ...]]]) -> dict[str, tuple[str, Any]]:
    """Boxes in metres from a corner."""
    x, y = WEST + 300, SOUTH + 330
    return {name: (source, shapely.box(x + w, y + s, x + e, y + n)) for name, (source, (w, s, e, n)) in told.items()}


def test_each_building_stands_once_and_others_are_told(spark: SparkSession, tmp_path: Path) -> None:
    told = town(3)
    rows = run(spark, tables(spark, told), place(tmp_path), prefer=PREFER)
    right = by_loop(told)
    assert list(rows["feature_id"]) == sorted(right)
    assert set(rows["agreement"]) == {"agreed", "overlapped", "alone"} and rows["trimmed"].any() and not rows["trimmed"].all()
    everywhere = set(rows["feature_id"])
    for row in rows.itertuples():
        outline, others, agreement = right[row.feature_id]
        assert (row.source, row.agreement) == (told[row.feature_id][0], agreement)
        assert {other["feature_id"] for other in row.others} >= others
        everywhere |= {other["feature_id"] for other in row.others}
        assert metres(row.geometry).symmetric_difference(outline).area < 0.12 * outline.area  # crumbs
        assert row.mapped == (metres(row.geometry).representative_point().x < WEST + 420)
    assert everywhere == set(told)
    shapes = shapely.from_wkb(rows["geometry"].to_numpy())
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert shapely.area(shapely.intersection(shapes[one], shapes[other]))[one != other].max() < 1e-16
    assert shapely.is_valid(shapes).all()


def test_the_same_rows_for_any_partitions(spark: SparkSession, tmp_path: Path) -> None:
    given = tables(spark, town(4, 6))
    one = run(spark, given, place(tmp_path), prefer=PREFER)
    other = run(spark, {name: table.repartition(5) for name, table in given.items()}, place(tmp_path), prefer=PREFER)
    pd.testing.assert_frame_equal(one, other)


def test_a_building_in_conflict_with_one_that_gives_way_stands(spark: SparkSession, tmp_path: Path) -> None:
    """Three in a row: the middle one gives way to the first, so the last does not give way to it. A fourth is covered by four."""
    x, y = WEST + 300, SOUTH + 330
    told = {
        "o1": ("osm", shapely.box(x, y, x + 20, y + 10)),
        "g1": ("google", shapely.box(x + 12, y, x + 32, y + 10)),
        "m1": ("microsoft", shapely.box(x + 25, y, x + 45, y + 10)),
        "m2": ("microsoft", shapely.box(x + 100, y, x + 110, y + 10)),
    }
    told |= {f"o{k + 2}": ("osm", shapely.box(x + 80 + 10 * k, y + 2.6 * k, x + 120 + 10 * k, y + 2.6 * k + 2.5)) for k in range(4)}
    rows = run(spark, {"footprints": tables(spark, told)["footprints"]}, place(tmp_path, 10.0), prefer=PREFER).set_index("feature_id")
    assert sorted(rows.index) == ["m1", "o1", "o2", "o3", "o4", "o5"]
    assert [other["feature_id"] for other in rows.loc["m1", "others"]] == ["g1"] and rows.loc["m1", "agreement"] == "overlapped"
    assert rows.loc["o1", "agreement"] == "overlapped" and not rows.loc["m1", "trimmed"]
    assert all([other["feature_id"] for other in rows.loc[f"o{k}", "others"]] == ["m2"] for k in (2, 3, 4))
    assert rows["mapped"].isna().all()


def test_a_small_outline_of_a_trusted_source_takes_no_larger_building_away(spark: SparkSession, tmp_path: Path) -> None:
    """A speck of ours in a hall, a house of a row of five and one of a pair; one house told twice."""
    told = sketch(
        {
            "u": ("urbantrace", (10, 10, 12, 12)), "g hall": ("google", (0, 0, 60, 40)),
            "o five": ("osm", (0, 100, 8, 110)), "m row": ("microsoft", (0, 100, 40, 110)),
            "o two": ("osm", (100, 0, 107, 7)), "m pair": ("microsoft", (100, 0, 107, 16)),
            "o same": ("osm", (100, 100, 110, 110)), "g same": ("google", (106, 100, 116, 110)),
        }
    )  # fmt: skip
    rows = run(spark, tables(spark, told), place(tmp_path), prefer=PREFER).set_index("feature_id")
    assert set(rows.index) == set(told) - {"g same"}
    assert rows.loc[["g hall", "m row", "m pair"], "area_m2"].to_numpy() == pytest.approx([2396, 320, 63], rel=2e-3)
    assert rows.loc[["g hall", "m row", "m pair"], "trimmed"].all()
    assert [other["feature_id"] for other in rows.loc["u", "others"]] == ["g hall"] and rows.loc["u", "agreement"] == "overlapped"


def test_what_falls_takes_nothing_with_it(spark: SparkSession, tmp_path: Path) -> None:
    """Two cover most of a third: what it would have dropped stands, and what it would have trimmed is whole."""
    told = sketch(
        {
            "o1": ("osm", (-10, 0, 2.9, 10)), "o2": ("osm", (7.1, 0, 20, 10)), "u1": ("urbantrace", (0, 0, 10, 10)),
            "g1": ("google", (3, 0, 7, 8)), "m1": ("microsoft", (4, 9, 6, 15)),
        }
    )  # fmt: skip
    rows = run(spark, tables(spark, told), place(tmp_path), prefer=PREFER).set_index("feature_id")
    assert sorted(rows.index) == ["g1", "m1", "o1", "o2"] and not rows["trimmed"].any()
    assert {name: [other["feature_id"] for other in others] for name, others in rows["others"].items()} == {
        "o1": [], "o2": [], "g1": ["u1"], "m1": [],
    }  # fmt: skip


def test_a_place_without_its_buildings_is_told(spark: SparkSession, tmp_path: Path) -> None:
    """No table is an error, no row of the epoch a note; a place that maps no buildings takes published ones."""
    given = tables(spark, town(4, 2))
    published = {"footprints": given["footprints"]}
    with pytest.raises(InputError, match=r"^[^\n]* no table buildings[^\n]* run buildings first$"):
        run(spark, published, place(tmp_path))
    epochs = (Epoch(name="2017", start=dt.date(2017, 1, 1), end=dt.date(2017, 12, 31), reference=dt.date(2017, 7, 1)), EPOCH)
    both = place(tmp_path).model_copy(update={"epochs": (*epochs, EPOCH.model_copy(update={"name": "2023"}))})
    notes = {}
    for epoch in ("2020", "2023"):
        context = Context(spark, both, "run", Path())
        found = conflation.run(given, ConflationSettings(epoch=epoch), context).toPandas()
        notes[epoch] = context.notes
        assert ("urbantrace" in set(found["source"])) == (epoch == "2020")
    assert notes["2020"] == [] and len(notes["2023"]) == 1
    assert "layer b, epoch 2023" in notes["2023"][0] and "run buildings" in notes["2023"][0]
    context = Context(spark, place(tmp_path, 10.0), "run", Path())
    assert conflation.run(published, ConflationSettings(), context).count() > 0 and context.notes == []


def test_a_source_that_no_building_has_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    given = tables(spark, town(4, 2))
    with pytest.raises(InputError, match=r"conflation\.prefer cadastre: .* osm"):
        run(spark, given, place(tmp_path), prefer=("cadastre", "osm"))


def equal_area_m2(shape: Any) -> float:
    """On an equal-area plane about its middle."""
    plane = f"+proj=laea +lat_0={shape.centroid.y} +lon_0={shape.centroid.x} +datum=WGS84"
    flat = Transformer.from_crs("EPSG:4326", plane, always_xy=True)
    return float(shapely.transform(shape, flat.transform, interleaved=False).area)


def test_microsofts_kampala_with_openstreetmap_by_zone(spark: SparkSession, tmp_path: Path, real_data: Path) -> None:
    """Each building of both files once, its area geodesic, and in the zones that geopandas finds."""
    folder = real_data / "kampala"
    paths = {"microsoft": folder / "ms_buildings.geojson", "osm": folder / "kyebando_osm_buildings.geojson"}
    published = pd.concat([geopandas.read_file(path)[["geometry"]] for path in paths.values()], ignore_index=True)
    at, context = place(tmp_path, 10.0), Context(spark, place(tmp_path), "run", tmp_path)
    square = shapely.box(*published.total_bounds)
    tile = [("t", bytearray(square.wkb), *square.bounds)]
    sources = [{"kind": "vector", "path": str(path)} for path in paths.values()]
    given = {
        "footprints": footprints.run(
            {"tiles": spark.createDataFrame(tile, f"tile_id string, geometry binary, {BBOX}")},
            FootprintsSettings.model_validate({"sources": sources}), context,
        ),
        "units": units.run({}, UnitsSettings(path=str(folder / "artificial_zones.geojson"), id="Id"), context),
    }  # fmt: skip
    rows = run(spark, given, at, prefer=("kyebando_osm_buildings", "ms_buildings"))
    seen = set(rows["feature_id"]) | {other["feature_id"] for others in rows["others"] for other in others}
    assert seen == {row["footprint_id"] for row in given["footprints"].collect()}
    shapes = shapely.from_wkb(rows["geometry"].to_numpy())
    np.testing.assert_allclose(rows["area_m2"][::25], [equal_area_m2(shape) for shape in shapes[::25]], rtol=1e-6)
    geodesic = [abs(Geod(ellps="WGS84").geometry_area_perimeter(shape)[0]) for shape in shapes]
    np.testing.assert_allclose(rows["area_m2"], geodesic, rtol=1e-6, atol=2e-4)  # PROJ's sums end at 1e-4 m2
    zones = geopandas.read_file(folder / "artificial_zones.geojson")
    points = geopandas.GeoDataFrame(geometry=shapely.point_on_surface(shapes), crs=4326)
    counted = geopandas.sjoin(points, zones, predicate="intersects").groupby("Id").size()
    assert rows.groupby("unit_id").size().to_dict() == {str(zone): number for zone, number in counted.items()}
