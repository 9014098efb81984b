"""No ground belongs to two buildings: walls are straightened building by building, and of two that meet one gives way."""

from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

Shapes = NDArray[np.object_]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

REGULARISED, RAW = "regularised", "raw"
"""Of an outline: walls, or pixels."""
GRID_PX = 2.0**-20
"""Overlays are snapped to it: where walls lie one last bit apart, GEOS 3.13 may else lose a polygon, or keep what is cut off."""
STRAIGHT_PX = 2 * GRID_PX
"""Corners that lie off a straight wall by less come from the last bits of a cut."""
INSIDES_MEET = "2********"
"""DE-9IM: the common part has an area."""
CUTS_DDL = "layer string, epoch string, grid string, component bigint, cut binary"


def precedence(regular: Mask, pixels: Ints, component: Ints) -> Ints:
    """Ranks (n,): of two that overlap, the one of the lower rank keeps its shape. Raw ones first, for they are what the map shows, then
    small ones, which may lie in a yard."""
    rank = np.empty(len(pixels), np.int64)
    rank[np.lexsort((component, pixels, regular))] = np.arange(len(pixels))
    return rank


def overlapping(polygons: Shapes, rank: Ints, regular: Mask) -> tuple[Ints, Ints]:
    """Pairs of polygons that share ground: numbers of those that keep it, and of those that give way, in order of both. Raw ones never
    share any."""
    kept, cut = shapely.STRtree(polygons).query(polygons)
    asked = (rank[kept] < rank[cut]) & regular[cut]
    kept, cut = kept[asked], cut[asked]
    # The one with more vertices is prepared: a block may have a hundred thousand, and thousands of neighbours in its box.
    shapely.prepare(polygons)
    first = shapely.get_num_coordinates(polygons[kept]) >= shapely.get_num_coordinates(polygons[cut])
    meeting = shapely.intersects(polygons[np.where(first, kept, cut)], polygons[np.where(first, cut, kept)])
    kept, cut = kept[meeting], cut[meeting]
    shared = shapely.relate_pattern(polygons[kept], polygons[cut], INSIDES_MEET)
    order = np.lexsort((kept[shared], cut[shared]))
    return kept[shared][order], cut[shared][order]


def without_overlaps(polygons: Shapes, rank: Ints, regular: Mask) -> Shapes:
    """Polygons (n,) of one plane, none of which shares ground with another; one whose ground is all another's is empty. The order of the
    polygons changes nothing."""
    kept, cut = overlapping(polygons, rank, regular)
    apart = polygons.copy()
    for number in np.unique(cut):
        apart[number] = cut_by(polygons[number], polygons[kept[cut == number]])
    return apart


def cut_by(polygon: Any, others: Shapes) -> Any:
    """The largest part that others leave of a polygon, or an empty one; its exterior turns as that of a traced one, y southwards."""
    (together,) = areas_of(np.array([shapely.union_all(others, grid_size=GRID_PX)]))
    left = shapely.difference(polygon, together, grid_size=GRID_PX)
    return shapely.orient_polygons(largest_part(shapely.simplify(left, STRAIGHT_PX)), exterior_cw=True)


def largest_part(shape: Any) -> Any:
    """By area, of what has several."""
    parts = shapely.get_parts(shape)
    return parts[np.argmax(shapely.area(parts))]


def areas_of(shapes: Shapes) -> Shapes:
    """Without the lines that snapping leaves of slivers."""
    polygonal = shapes.copy()
    for number in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(shapes[number])
        polygonal[number] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return polygonal


def cut_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Of polygons (`planar`, grid pixels) that touch one cell, each with the cell it comes from, `home`, what cuts those of other homes:
    rows of CUTS_DDL."""
    component, regular = frame["component"].to_numpy(), (frame["shape"] == REGULARISED).to_numpy()
    rank = precedence(regular, frame["pixels"].to_numpy(), component)
    kept, cut = overlapping(shapely.from_wkb(frame["planar"].to_numpy()), rank, regular)
    home = frame["home"].to_numpy()
    foreign = home[kept] != home[cut]
    field = {name: frame[name].iloc[0] for name in ("layer", "epoch", "grid")}
    return pd.DataFrame(field | {"component": component[cut[foreign]], "cut": frame["planar"].to_numpy()[kept[foreign]]})
