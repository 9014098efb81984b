"""Labels of the simulated city as others publish them: footprints in Microsoft's file format, with its faults, and sealed surfaces."""

from pathlib import Path

import numpy as np
import shapely

from udfs.files import write_cog, write_gzip, write_text
from udfs.simulation.city import CRS, City
from udfs.simulation.districts import in_degrees
from udfs.simulation.land import shares
from udfs.simulation.quarters import Doubles, Objects
from udfs.simulation.seeds import generator
from udfs.simulation.spectra import SEALED

LEVEL = 9
"""Zoom level of the quadkeys that Microsoft's global footprints are cut by."""
MISSING, SHIFTED_M, MERGE_M = 0.06, 1.2, 1.6
"""Share of buildings left out; deviation of a neighbourhood's shift; buildings closer than this may be traced as one."""


def write_footprints(folder: Path, city: City, year: int) -> None:
    """`dataset-links.csv` (Location,QuadKey,Url,Size) and one `<quadkey>.csv.gz` of GeoJSON lines for each quadkey."""
    shapes = in_degrees(city, noisy_footprints(city, year))
    keys = quadkeys(shapely.get_coordinates(shapely.centroid(shapes)), LEVEL)
    lines = ["Location,QuadKey,Url,Size"]
    for key in sorted(set(keys)):
        size = write_gzip(folder / f"{key}.csv.gz", "".join(_features(shapes[keys == key])))
        lines.append(f"SimulatedCity,{key},{key}.csv.gz,{size / 1024:.1f}KB")
    write_text(folder / "dataset-links.csv", "\n".join(lines) + "\n")


def _features(shapes: Objects) -> list[str]:
    """A GeoJSON feature a line; -1 stands for an unknown height and confidence."""
    head = '{"type":"Feature","properties":{"height":-1.0,"confidence":-1.0},"geometry":'
    return [f"{head}{geometry}}}\n" for geometry in shapely.to_geojson(shapes)]


def noisy_footprints(city: City, year: int) -> Objects:
    """The year's footprints with what goes wrong in traced ones: some missing, neighbourhoods shifted, close ones merged. Local metres."""
    draw = generator("label noise", *city.key, year)
    there = (city.standing.built <= year) & (city.standing.gone > year)
    kept = city.footprints[there & (draw.random(len(there)) > MISSING)]
    cell = (shapely.get_coordinates(shapely.centroid(kept)) // 200).astype(int)
    shifts = draw.normal(0, SHIFTED_M, (64, 64, 2))
    points, owner = shapely.get_coordinates(kept, return_index=True)
    moved = shapely.set_coordinates(kept.copy(), points + shifts[cell[:, 0] % 64, cell[:, 1] % 64][owner])
    close = (draw.random((64, 64)) < 0.1)[cell[:, 0] % 64, cell[:, 1] % 64]
    grown = shapely.union_all(shapely.buffer(moved[close], MERGE_M / 2, join_style="mitre"))
    merged = shapely.buffer(shapely.get_parts(grown), -MERGE_M / 2, join_style="mitre")
    whole = shapely.get_parts(np.concatenate([moved[~close], merged]))
    return np.asarray(whole[shapely.area(whole) > 4])


def quadkeys(lonlat: Doubles, level: int) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Bing Maps quadkeys of points (n, 2) in degrees. Formula: Microsoft, "Bing Maps Tile System"."""
    sine = np.sin(np.radians(lonlat[:, 1]))
    x = ((lonlat[:, 0] + 180) / 360 * 2**level).astype(int)
    y = ((0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)) * 2**level).astype(int)
    digits = [((x >> bit) & 1) + 2 * ((y >> bit) & 1) for bit in range(level - 1, -1, -1)]
    return np.array(["".join(str(digit) for digit in row) for row in np.stack(digits, 1)])


def write_sealed(path: Path, city: City, year: int) -> None:
    """Share of each 10 m pixel sealed by streets and yards, percent, uint8, 255 no data: the second label layer."""
    lit = shares(city, year, 10.0).lit[list(SEALED)].sum(axis=0)
    write_cog(path, [np.rint(lit.clip(0, 1) * 100).astype(np.uint8)], ["sealed_percent"], CRS, city.transform(10.0), 255)
