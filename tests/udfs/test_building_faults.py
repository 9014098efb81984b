"""Faults of outlines and masks: what is self-intersecting, without area or huge, and noise; in our own buildings and in files of others."""

import csv
import datetime as dt
import io
import json
import struct
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from rasterio import features
from scipy import ndimage
from shapely import affinity

from tests.udfs.test_splitting import pieces_frame
from udfs import merging, splitting
from udfs.components import label_components
from udfs.footprint_files import outline_batches, polygons, read_google, read_microsoft
from udfs.footprints import footprint_frames
from udfs.grid import Tile, utm_grid
from udfs.merging import CELL_BITS, COLUMN_BITS, cell_number, piece_frames, pieces_of_tile
from udfs.overlaps import cut_by
from udfs.polygons import Outline, planar_frame
from udfs.rasters import encode_raster
from udfs.regularisation import Outlines, fitted_outlines, outlines_of, regular_polygons
from udfs.tracing import Rings, corners_of_labels, polygons_of_rings, rings_of_corners

PX = 0.5
SQUARE_METRES = (PX, PX)


def buildings_of(built: np.ndarray, depth: np.ndarray | None = None, least_m2: float = 0.0, detail_m: float = 1.2) -> pd.DataFrame:
    """Rows of `buildings` of one tile, without Spark, with `planar`, the outline on the grid."""
    side, day = len(built), dt.datetime(2020, 3, 1)
    grid, tile = utm_grid(32.58, 0.35, PX), Tile(19_922_944 // side, 905_216 // side, side)
    row = {
        "layer": "b", "epoch": "2020", "grid": grid.name, "crs": grid.crs, "tile_px": side, "row": tile.row, "col": tile.col,
        "transform": np.array(grid.transform(tile.pixels.top, tile.pixels.left)[:6]), "threshold": 125,
        "probability": encode_raster(200 * built.astype(np.uint8)), "depth": None if depth is None else encode_raster(depth),
        "first_date": day, "last_date": day, "model_sha256": "ab",
    }  # fmt: skip
    pieces = next(piece_frames(iter([pd.DataFrame([row])]), least_m2))
    first = pieces["piece"].to_numpy()
    cell = cell_number(first >> (COLUMN_BITS + CELL_BITS), (first & (2**COLUMN_BITS - 1)) >> CELL_BITS)
    planar = planar_frame(pieces.assign(component=first, open_edge=False, cell=cell), Outline(least_m2, detail_m, 3.0))
    found = next(footprint_frames(iter([planar.assign(cuts=None)])))
    return found.merge(planar[["building_id", "planar"]], on="building_id", validate="1:1")


def noise(share: float, side: int = 200) -> np.ndarray:
    return np.random.default_rng(9).random((side, side)) < share


def rings_of(built: np.ndarray) -> Rings:
    return rings_of_corners(corners_of_labels(label_components(built)[0]))


@pytest.mark.parametrize(("share", "parted"), [(0.3, False), (0.55, False), (0.62, True)])
def test_every_component_of_noise_is_a_row_and_none_is_invalid(share: float, parted: bool) -> None:
    """Of 1 to 20,000 pixels, with and without a depth that parts them: walls cross over, have no area, or leave nothing."""
    built = noise(share)
    depth = np.random.default_rng(4).integers(0, 120, built.shape).astype(np.uint8) if parted else None
    straight, traced = buildings_of(built, depth), buildings_of(built, depth, detail_m=0)
    assert sorted(straight["building_id"]) == sorted(traced["building_id"]) and traced["building_id"].is_unique
    assert len(traced) >= ndimage.label(built)[1] and set(straight["shape"]) == {"raw", "regularised"}
    both = straight.merge(traced, on="building_id", suffixes=("", "_raw"), validate="1:1")
    shapes, pixels = (shapely.from_wkb(both[name].to_numpy()) for name in ("planar", "planar_raw"))
    for found in (shapes, shapely.from_wkb(both["geometry"].to_numpy())):
        assert shapely.is_valid(found).all() and (shapely.get_type_id(found) == shapely.GeometryType.POLYGON).all()
        assert (shapely.area(found) > 0).all()
    raw = (both["shape"] == "raw").to_numpy()
    assert shapely.equals(shapes[raw], pixels[raw]).all()
    assert (shapely.area(shapely.intersection(shapes, pixels)) > 0.25 * shapely.area(pixels)).all()
    assert shapely.area(pixels).sum() == built.sum()


def test_walls_that_are_no_polygon_are_met_in_that_noise_and_the_outline_stays_raw() -> None:
    """Else nothing was proven above. What is faulty with details and without cannot be mended."""
    rings = rings_of(noise(0.55))
    fits = [no_polygons(fitted_outlines(outlines_of(rings, SQUARE_METRES), PX, detail)) for detail in (1.2, 0.6)]
    raw = ~regular_polygons(rings, SQUARE_METRES, 1.2, 3.0).regular
    for fault in ("too few corners", "crosses itself", "hole meets shell"):
        faulty = np.array([fit == fault for fit in fits])
        assert faulty.any(axis=0).sum() > 10 and raw[faulty.all(axis=0)].all()


def no_polygons(fit: Outlines) -> np.ndarray:
    """Of each, what hinders that it is a polygon, or ''."""
    rings = [fit.xy[start:end] for start, end in pairwise(fit.ring_offsets)]
    found = []
    for start, end in pairwise([*np.flatnonzero(fit.exteriors), len(rings)]):
        own = rings[start:end]
        if min(map(len, own)) < 3:
            found.append("too few corners")
        elif not all(shapely.is_simple(shapely.linearrings(ring)) for ring in own):
            found.append("crosses itself")
        else:
            found.append("" if shapely.Polygon(own[0], own[1:]).is_valid else "hole meets shell")
    return np.array(found)


@pytest.mark.parametrize("angle", [0, 10, 30, 45])
def test_a_block_as_thin_as_a_pixel_keeps_its_yard_or_its_pixels(angle: float) -> None:
    """Its hole is nearly its shell."""
    frame = affinity.rotate(shapely.box(20, 20, 60, 60), angle).exterior
    built = features.rasterize([frame], (90, 90), all_touched=True) > 0
    (row,) = buildings_of(built).itertuples()
    (found,), (pixels,) = (shapely.from_wkb([row.planar]), polygons_of_rings(rings_of(built)))
    assert found.is_valid and len(found.interiors) == 1
    assert found.area == pytest.approx(pixels.area, rel=0.05)


def test_of_one_that_is_cut_in_two_the_larger_part_is_left_and_of_one_cut_away_nothing_invalid() -> None:
    wall, house = shapely.box(0, 0, 20, 3), shapely.box(12, -5, 14, 5)
    assert cut_by(wall, np.array([house])).equals(shapely.box(0, 0, 12, 3))
    assert cut_by(house, np.array([shapely.box(0, -9, 30, 9)])).is_empty


def branches(side: int) -> np.ndarray:
    """One component with one ring of over a million corners: walls, each with a tooth at every other pixel, on one trunk."""
    built = np.zeros((side, side), bool)
    built[:, 0] = built[1::4] = built[0::4, 0::2] = built[2::4, 0::2] = True
    return built


SPECKS = np.random.default_rng(3).random((1024, 1024)) < 0.14
MASKS = {"all": np.ones((1024, 1024), bool), "specks": SPECKS, "branches": branches(1024)}
MEASURED = """
import json, resource, sys
import numpy as np, shapely
from tests.udfs.test_building_faults import MASKS, buildings_of
most_kb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
buildings_of(np.ones((64, 64), bool))
before = most_kb()
for name, least_m2, detail_m in (("all", 4.0, 1.2), ("specks", 0.0, 0.0), ("branches", 4.0, 1.2)):
    rows = buildings_of(MASKS[name], None, least_m2, detail_m)
    shapes, planar = (shapely.from_wkb(rows[column].to_numpy()) for column in ("geometry", "planar"))
    told = {"rows": len(rows), "area_m2": rows["area_m2"].sum(), "valid": bool(shapely.is_valid(shapes).all()),
            "vertices": int(rows["vertices"].max()), "shapes": sorted(set(rows["shape"])), "pixels": float(shapely.area(planar).sum()),
            "megabytes": (most_kb() - before) / 1024}
    print(json.dumps([name, told]))
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    """What tiles of 1024 pixels become, and the most memory that it took beyond a small tile's, in a process of its own."""
    found = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in found.stdout.splitlines())


def test_a_tile_all_built_is_one_square(measured: dict[str, dict[str, Any]]) -> None:
    found = measured["all"]
    assert (found["rows"], found["vertices"], found["pixels"], found["shapes"]) == (1, 4, 1024**2, ["regularised"])
    assert found["area_m2"] == pytest.approx(512**2, rel=2e-3) and found["megabytes"] < 300


def test_a_hundred_thousand_specks_are_as_many_rows_in_bounded_memory(measured: dict[str, dict[str, Any]]) -> None:
    found = measured["specks"]
    assert found["rows"] == ndimage.label(SPECKS)[1] > 100_000
    assert found["valid"] and found["pixels"] == SPECKS.sum() and found["megabytes"] < 1500
    assert found["area_m2"] == pytest.approx(SPECKS.sum() * PX**2, rel=2e-3)


def test_an_outline_of_a_million_corners_stays_raw_in_bounded_memory(measured: dict[str, dict[str, Any]]) -> None:
    found = measured["branches"]
    assert (found["rows"], found["shapes"]) == (1, ["raw"]) and found["vertices"] > 1_000_000
    assert found["valid"] and found["pixels"] == MASKS["branches"].sum() and found["megabytes"] < 2000
    assert found["area_m2"] == pytest.approx(found["pixels"] * PX**2, rel=2e-3)


def test_specks_that_touch_no_border_are_never_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand components some hundreds are: that bounds the time."""
    traced: list[int] = []
    real = merging.corners_of_labels
    monkeypatch.setattr(merging, "corners_of_labels", lambda labels: (traced.append(int(labels.max())), real(labels))[1])
    found = pieces_of_tile(200 * SPECKS.astype(np.uint8), 125, 0, 0, 14.4)
    labels, count = ndimage.label(SPECKS)
    border = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])) - {0}
    large = set(np.flatnonzero(np.bincount(labels.ravel())[1:] >= 14.4) + 1)
    assert traced == [len(border | large)] == [len(found.pixels)] and count > 100_000
    assert len(border - large) > 400 and traced[0] < 0.01 * count


def test_a_component_of_many_pieces_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tiles cut it, or its time would grow with the square of its ground."""
    drawn: list[int] = []
    real = splitting.sums_of_turns
    monkeypatch.setattr(splitting, "sums_of_turns", lambda *rest: (drawn.append(int(np.prod(rest[-1]))), real(*rest))[1])
    built = noise(0.62, 96)
    depth = np.random.default_rng(4).integers(0, 120, built.shape).astype(np.uint8)
    pieces = pieces_frame(200 * built.astype(np.uint8), depth, 32)
    largest = pieces[pieces["component"] == pieces["component"].mode()[0]]
    assert len(largest) > 30 and largest["cores"].sum() > 50
    splitting.split_frame(largest)
    assert len(drawn) == 1 and drawn[0] <= built.size


HOUSE = shapely.Polygon([(32.1, 0.1), (32.1003, 0.1), (32.1003, 0.1001), (32.1, 0.1002)])
YARD = [(32.1001, 0.10003), (32.1002, 0.10003), (32.1002, 0.10006)]
RING = list(HOUSE.exterior.coords)
BOW_TIE = shapely.Polygon([(32.3, 0.1), (32.31, 0.11), (32.31, 0.1), (32.3, 0.11)])
OVERLAPPING = shapely.MultiPolygon([HOUSE, affinity.translate(HOUSE, 1e-4)])
POINT = struct.Struct("<2d")


def corners_at(*xy: tuple[float, float]) -> bytes:
    """WKB of a polygon, as hostile as its corners."""
    return struct.pack("<BIII", 1, 3, 1, len(xy)) + b"".join(POINT.pack(*corner) for corner in xy)


MENDED = {
    "a house": (HOUSE, HOUSE.area),
    "a house of two parts": (shapely.MultiPolygon([HOUSE, affinity.translate(HOUSE, 1)]), 2 * HOUSE.area),
    "crosses itself": (BOW_TIE, 2 * 0.01 * 0.005 / 2),
    "parts overlap": (OVERLAPPING, shapely.union_all(list(OVERLAPPING.geoms)).area),
    "a spike": (shapely.Polygon([*RING[:2], (32.2, 0.1), *RING[1:]]), HOUSE.area),
    "a hole beyond the shell": (shapely.Polygon(RING, [affinity.translate(HOUSE, 1e-4).exterior]), None),
    "a corner drawn twice": (shapely.Polygon([RING[0], RING[0], *RING[1:]]), HOUSE.area),
}
REFUSED = {
    "no area": shapely.Polygon([(32, 0), (32.1, 0.1), (32.2, 0.2), (32, 0)]).wkb,
    "one point": shapely.Polygon([(32, 0)] * 4).wkb,
    "hole is shell": shapely.Polygon(RING, [RING]).wkb,
    "hole around the shell": shapely.Polygon(RING, [affinity.scale(HOUSE, 3, 3).exterior]).wkb,
    "empty": shapely.Polygon().wkb,
    "empty parts": shapely.MultiPolygon().wkb,
    "a corner that is no number": corners_at(RING[0], (np.nan, 0.1), *RING[2:]),
    "a corner at infinity": corners_at(RING[0], (np.inf, 0.1), *RING[2:]),
    "metres": affinity.scale(HOUSE, 1e5, 1e5, origin=(0, 0)).wkb,
    "a line": HOUSE.exterior.wkb,
    "a collection": shapely.GeometryCollection([HOUSE]).wkb,
    "a curve": struct.pack("<BII", 1, 10, 1) + struct.pack("<BII", 1, 8, 3) + POINT.pack(32, 0) + POINT.pack(33, 1) + POINT.pack(32, 0),
    "rings without end": struct.pack("<BII", 1, 3, 2**31 - 1),
    "no geometry": b"house",
    "nothing": b"",
    "null": None,
}


def test_footprints_of_others_are_mended_or_refused_row_by_row() -> None:
    """In columns of WKB, good ones beside bad ones: each row comes out, without geometry where it is no building."""
    wkb = [shape.wkb for shape, _ in MENDED.values()] + list(REFUSED.values())
    frame = pd.DataFrame({"geometry": wkb, "confidence": np.nan, "label_date": None})
    (rows,) = outline_batches([frame], "osm")
    assert rows["geometry"].isna().tolist() == [False] * len(MENDED) + [True] * len(REFUSED)
    shapes = shapely.from_wkb(rows["geometry"][: len(MENDED)].to_numpy())
    assert shapely.is_valid(shapes).all()
    for found, (shape, area) in zip(shapes, MENDED.values(), strict=True):
        wanted = shapely.difference(HOUSE, affinity.translate(HOUSE, 1e-4)).area if area is None else area
        assert found.area == pytest.approx(wanted, rel=1e-6) and shape.convex_hull.buffer(1e-9).covers(found)


def test_lines_of_microsofts_files_and_rows_of_googles_are_mended_or_refused_alike() -> None:
    shapes = [shape for shape, _ in MENDED.values()] + [shapely.from_wkb(REFUSED[name]) for name in ("no area", "hole is shell", "empty")]
    texts = [shapely.to_geojson(shape) for shape in shapes]
    lines = "".join(json.dumps({"type": "Feature", "properties": {}, "geometry": json.loads(text)}) + "\n" for text in texts)
    table = io.StringIO()
    csv.writer(table).writerows([("geometry", "confidence"), *((shapely.to_wkt(shape, 15), 0.8) for shape in shapes)])
    curves = '"CIRCULARSTRING (0 0, 1 1, 2 0)",0.8\n"CURVEPOLYGON ((0 0, 1 0, 1 1, 0 0))",0.8\n,0.8\n'
    (microsoft,), (google,) = (
        read_microsoft(io.BytesIO(lines.encode())),
        read_google(io.BytesIO((table.getvalue() + curves).encode())),
    )
    bad = [False] * len(MENDED) + [True] * 3
    found = polygons(microsoft.shapes)
    assert shapely.is_missing(found).tolist() == bad
    assert shapely.is_missing(polygons(google.shapes)).tolist() == bad + [True] * 3
    assert shapely.equals_exact(found[:5], polygons(google.shapes)[:5], 1e-12, normalize=True).all()
