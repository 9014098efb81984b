"""Rows of `tiles` and `built_up` made by hand: two epochs of two by two tiles without symmetry, one of each state."""

import datetime as dt
import itertools
from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer

from conf.place import Epoch, Layer, Place
from conf.table import Table
from udfs.rasters import NO_DATA, encode_raster

CRS = "EPSG:32736"
PIXEL, TILE = 10.0, 256
WEST, NORTH = 300_000.0, 9_990_400.0
EPOCHS = tuple(
    Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1)) for year in (2018, 2021)
)
PLACE = Place(
    name="made", title="Made by hand", attribution="Drawn for a test", epochs=EPOCHS,
    layers={"a": Layer(sensor="sentinel2_l2a", model="models:/m@champion", resolution=PIXEL, feeds="built_m2")},
)  # fmt: skip
_BLANK: dict[str, Any] = {
    "string": "",
    "double": 0.0,
    "int": 0,
    "bigint": 0,
    "boolean": False,
    "binary": b"",
    "timestamp": dt.datetime(2020, 1, 1),
}


def filled(table: Table, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows with every column that they do not name null, or 0, '' and the like where the table wants a value."""
    blank = {column.name: {} if column.type.startswith("map") else _BLANK.get(column.type, []) for column in table.columns}
    none = {column.name: None if column.nullable else blank[column.name] for column in table.columns}
    return [tuple({**none, **row}[name] for name in table.names) for row in rows]


def tile_id(row: int, col: int) -> str:
    return f"utm36s_10_256_r{row}_c{col}"


def transform(row: int, col: int) -> Affine:
    return Affine(PIXEL, 0, WEST + col * TILE * PIXEL, 0, -PIXEL, NORTH - row * TILE * PIXEL)


def pixels(epoch: str, row: int, col: int) -> Any:
    """0-250 by chance, no data in a corner; another picture for each tile and epoch."""
    values = np.random.default_rng([int(epoch), row, col]).integers(0, 251, (TILE, TILE)).astype(np.uint8)
    values[: 40 + 10 * row, : 91 + col] = NO_DATA
    return values


def placed(epoch: str, row: int, col: int) -> dict[str, Any]:
    """Where a tile lies."""
    corner = transform(row, col)
    square = shapely.box(corner.c, corner.f - TILE * PIXEL, corner.c + TILE * PIXEL, corner.f)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    outline = shapely.transform(square, to_degrees.transform, interleaved=False)
    return {
        "layer": "a", "epoch": epoch, "tile_id": tile_id(row, col), "grid": "utm36s", "crs": CRS, "tile_px": TILE, "row": row, "col": col,
        "transform": list(corner)[:6], "geometry": shapely.to_wkb(outline),
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), outline.bounds, strict=True)),
    }  # fmt: skip


def done(epoch: str, row: int, col: int) -> dict[str, Any]:
    """A mapped tile, of two scenes in the first row and one in the second; a third could not be read."""
    values, year = pixels(epoch, row, col), int(epoch)
    used = [f"{epoch}_x", f"{epoch}_y"][: 2 - row]
    return {
        **placed(epoch, row, col), "status": "done", "probability": encode_raster(values), "threshold": 100,
        "valid_share": float((values != NO_DATA).mean()), "attempts": 1, "first_date": dt.datetime(year, 3, 2, 8, 30),
        "last_date": dt.datetime(year, 9, 1 + col, 8, 30), "scenes_used": used, "scenes_failed": [f"{epoch}_bad"],
        "model_name": "m", "model_version": "3", "model_sha256": "ab" * 32, "run_id": "run-7",
    }  # fmt: skip


def other(epoch: str, row: int, col: int, status: str, **more: Any) -> dict[str, Any]:
    """A tile without result."""
    return {**placed(epoch, row, col), "status": status, "threshold": 100, "attempts": 3, "run_id": "run-7", **more}


def built_up_rows() -> list[dict[str, Any]]:
    """2018: four done. 2021: one done, one quarantined, two without data."""
    broken = {"error_class": "not_a_tiff", "message": "scene 2021_bad: no TIFF <b>", "scenes_failed": ["2021_bad"]}
    return [
        *(done("2018", row, col) for row, col in itertools.product((0, 1), (0, 1))),
        done("2021", 0, 0), other("2021", 0, 1, "quarantined", **broken), other("2021", 1, 0, "nodata"), other("2021", 1, 1, "nodata"),
    ]  # fmt: skip


def tile_rows() -> list[dict[str, Any]]:
    """The plan of these tiles, and of one more in 2021 that is not mapped yet and another that its scene hardly covers."""
    scenes = {
        ("2021", 1, 0): [],
        ("2021", 1, 1): [
            ("2021_x", 0.6, "covers 60 %, 3 days from reference", None),
            ("2021_y", 0.001, "covers 0 %, 9 days from reference", None),
        ],
    }
    squares = [(row["epoch"], row["row"], row["col"]) for row in built_up_rows()]
    squares += [("2021", 2, 0)]
    none = [("2021_x", 0.9, "covers 90 %, 3 days from reference", None)]
    return [{**placed(*square), "scenes": scenes.get(square, none), "predicted_seconds": 1.0} for square in squares]


def scene_rows() -> list[dict[str, Any]]:
    """The scenes that tiles name."""
    owners = {"x": ("CC-BY-4.0", "Mapper é"), "y": ("Copernicus terms", "ESA"), "bad": (None, None)}
    return [
        {"scene_id": f"{epoch.name}_{name}", "sensor": "sentinel2_l2a", "licence": licence, "attribution": attribution}
        for epoch in EPOCHS
        for name, (licence, attribution) in owners.items()
    ]
