"""Footprints: measured, named and sieved as wholes; the shell without Spark."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from udfs.components import label_components
from udfs.earth import GridOrigin
from udfs.grid import Tile, utm_grid
from udfs.merging import PIECES_DDL, piece_frames
from udfs.polygons import FOOTPRINTS_DDL, building_id, footprint_frame, footprints_of_corners
from udfs.rasters import encode_raster
from udfs.tracing import Corners, corners_of_labels

DATE = dt.datetime(2020, 3, 1)


def corners(mask: np.ndarray, top: int, left: int) -> Corners:
    found = corners_of_labels(label_components(mask)[0])
    return Corners(found.owner, found.y + top, found.x + left, found.turn)


def built_up_frame(pixels: np.ndarray) -> pd.DataFrame:
    grid, tile = utm_grid(32.58, 0.35, 0.5), Tile(77_824, 3_536, 256)
    transform = np.array(grid.transform(tile.pixels.top, tile.pixels.left)[:6])
    row = {
        "layer": "b", "epoch": "2020", "grid": grid.name, "crs": grid.crs, "tile_px": 256, "row": tile.row, "col": tile.col,
        "transform": transform, "probability": encode_raster(pixels), "threshold": 125, "first_date": DATE, "last_date": DATE,
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


def test_pieces_and_footprints_have_the_declared_columns_and_no_raw_noise() -> None:
    pixels = np.zeros((256, 256), np.uint8)
    pixels[10:20, 30:37], pixels[50, 50], pixels[0, 200] = 200, 250, 250
    pieces = next(piece_frames(iter([built_up_frame(pixels)]), 4.0))
    assert list(pieces.columns) == [column.split()[0] for column in PIECES_DDL.split(", ")]
    assert sorted(pieces["pixels"]) == [1, 70]
    rows = footprint_frame(pieces.assign(component=pieces["piece"], open_edge=False), 4.0)
    assert list(rows.columns) == [column.split()[0] for column in FOOTPRINTS_DDL.split(", ")]
    assert rows["confidence"].tolist() == [0.8]
    assert rows["area_m2"].tolist() == pytest.approx([17.5], rel=1e-3)
    assert not list(piece_frames(iter([built_up_frame(np.zeros_like(pixels))]), 4.0))


def test_an_id_tells_layer_epoch_grid_and_place_on_the_grid_apart() -> None:
    ids = {building_id(field, content) for field in ("a\n2020\ng\n0.5", "a\n2021\ng\n0.5") for content in (b"1", b"2")}
    assert len(ids) == 4
    assert {len(name) for name in ids} == {20}
