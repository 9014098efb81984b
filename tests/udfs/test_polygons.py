"""Footprints: measured, named and sieved as wholes; the shell without Spark."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from pyproj import Geod, Transformer

from udfs.components import label_components
from udfs.earth import GridOrigin
from udfs.footprints import FOOTPRINTS_DDL, Footprints, footprint_frames, footprints_on_earth
from udfs.grid import Tile, utm_grid
from udfs.merging import CELL_BITS, COLUMN_BITS, PIECES_DDL, cell_number, piece_frames
from udfs.polygons import PLANAR_DDL, Outline, building_id, planar_frame
from udfs.rasters import encode_raster
from udfs.tracing import Corners, corners_of_labels, polygons_of_rings, rings_of_corners

DATE = dt.datetime(2020, 3, 1)


def corners(mask: np.ndarray, top: int, left: int) -> Corners:
    found = corners_of_labels(label_components(mask)[0])
    return Corners(found.owner, found.y + top, found.x + left, found.turn)


def footprints_of_corners(found: Corners, origin: GridOrigin, crs: str) -> Footprints:
    return footprints_on_earth(polygons_of_rings(rings_of_corners(found)), origin, crs)


def built_up_frame(pixels: np.ndarray) -> pd.DataFrame:
    grid, tile = utm_grid(32.58, 0.35, 0.5), Tile(77_824, 3_536, 256)
    transform = np.array(grid.transform(tile.pixels.top, tile.pixels.left)[:6])
    row = {
        "layer": "b", "epoch": "2020", "grid": grid.name, "crs": grid.crs, "tile_px": 256, "row": tile.row, "col": tile.col,
        "transform": transform, "probability": encode_raster(pixels), "depth": None,
        "threshold": 125, "first_date": DATE, "last_date": DATE,
        "model_sha256": "ab",
    }  # fmt: skip
    return pd.DataFrame([row])


def test_area_with_holes_is_the_geodesic_one() -> None:
    mask = np.ones((40, 31), bool)
    mask[5:9, 4:20] = mask[9, 20] = False
    prints = footprints_of_corners(corners(mask, 19_000_000, 900_000), GridOrigin(0.0, 1e7, 0.5, 0.5), "EPSG:32636")
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(prints.polygons[0])
    assert prints.area_m2 == pytest.approx([area], rel=1e-9)
    assert prints.vertices.tolist() == [12]
    assert shapely.is_valid(prints.polygons).all()


@pytest.mark.parametrize(("crs", "origin_x"), [("EPSG:32660", 833_978.5), ("EPSG:3832", 3_339_577.5)])
def test_a_footprint_across_180_degrees_is_not_world_wide(crs: str, origin_x: float) -> None:
    origin = GridOrigin(origin_x, 100.0, 1.0, 1.0)
    prints = footprints_of_corners(corners(np.ones((20, 1000), bool), 0, -500), origin, crs)
    west, _, east, _ = shapely.bounds(prints.polygons[0])
    assert west < 180 < east < west + 0.1
    assert prints.area_m2 == pytest.approx([20_000], rel=0.01)


def about_a_pole(shape: str) -> tuple[np.ndarray, int, int]:
    """A mask of 0.5 m pixels, and how many rows above and columns left of the pole it begins."""
    mask = np.ones((40, 60), bool)
    if shape == "around":  # a yard that holds the pole
        mask[10:30, 15:50] = False
    if shape == "horseshoe":  # open to one side
        mask[10:30, 15:] = False
    return mask, {"edge": 0, "corner": 0, "beside": -4}.get(shape, 20), {"corner": 0}.get(shape, 31)


@pytest.mark.parametrize("shape", ["over", "around", "horseshoe", "edge", "corner", "beside"])
@pytest.mark.parametrize("crs", ["EPSG:5041", "EPSG:5042", "EPSG:3031"])
def test_a_footprint_about_a_pole_is_valid_and_measured(crs: str, shape: str) -> None:
    """Taken back to the plane it is what it was, point by point; UPS makes lengths 0.994 of what they are, EPSG:3031 0.972769."""
    mask, above, left = about_a_pole(shape)
    centre, scale = (0.0, 0.972769) if crs == "EPSG:3031" else (2e6, 0.994)
    prints = footprints_of_corners(corners(mask, -above, -left), GridOrigin(centre, centre, 0.5, 0.5), crs)
    (polygon,) = prints.polygons
    area = mask.sum() * 0.25 / scale**2
    assert prints.area_m2 == pytest.approx([area], rel=1e-6 if scale == 0.994 else 1e-5)
    assert shapely.is_valid(polygon)
    west, south, east, north = polygon.bounds
    assert west >= -180 and east <= (270 if shape == "beside" else 180) and 0 < north - south < 1e-3
    back = shapely.transform(polygon, Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform, interleaved=False)
    assert shapely.area(back) == pytest.approx(mask.sum() * 0.25, rel=1e-6)
    points = shapely.points(np.random.default_rng(3).uniform(centre - 40, centre + 40, (4000, 2)))
    pixel = np.floor((shapely.get_coordinates(points) - centre) * [2, -2] + (left, above)).astype(int)
    inside = ((pixel >= 0) & (pixel < [60, 40])).all(axis=1)
    inside[inside] = mask[tuple(pixel[inside].T[::-1])]
    assert (shapely.intersects(shapely.make_valid(back), points) == inside).mean() > 0.999


def test_pieces_and_footprints_have_the_declared_columns_and_no_raw_noise() -> None:
    pixels = np.zeros((256, 256), np.uint8)
    pixels[10:20, 30:37], pixels[50, 50], pixels[0, 200] = 200, 250, 250
    pieces = next(piece_frames(iter([built_up_frame(pixels)]), 4.0))
    assert list(pieces.columns) == [column.split()[0] for column in PIECES_DDL.split(", ")]
    assert sorted(pieces["pixels"]) == [1, 70]
    first = pieces["piece"]
    number = first.to_numpy()
    cell = cell_number(number >> (COLUMN_BITS + CELL_BITS), (number & (2**COLUMN_BITS - 1)) >> CELL_BITS)
    whole = pieces.assign(component=first, open_edge=False, cell=cell)
    rows = planar_frame(whole, Outline(4.0, 0, 0))
    assert list(rows.columns) == [column.split()[0] for column in PLANAR_DDL.split(", ")]
    none = planar_frame(whole, Outline(4000.0, 0, 0))
    assert not len(none) and isinstance(pa.Array.from_pandas(none["building_id"], type=pa.string()), pa.Array)  # as Spark makes them
    rows = next(footprint_frames(iter([rows.assign(cuts=None)])))
    assert list(rows.columns) == [column.split()[0] for column in FOOTPRINTS_DDL.split(", ")]
    assert rows["confidence"].tolist() == [0.8]
    assert rows["area_m2"].tolist() == pytest.approx([17.5], rel=1e-3)
    assert not list(piece_frames(iter([built_up_frame(np.zeros_like(pixels))]), 4.0))


def test_an_id_tells_layer_epoch_grid_and_place_on_the_grid_apart() -> None:
    ids = {building_id(field, content) for field in ("a\n2020\ng\n0.5", "a\n2021\ng\n0.5") for content in (b"1", b"2")}
    assert len(ids) == 4
    assert {len(name) for name in ids} == {20}
