"""Parts of one component keep a common wall: each is straightened for itself, and what falls between two of them goes to the one that
gives way."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.overlaps import GRID_PX, areas_of, largest_part

Shapes = NDArray[np.object_]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

OVER_PX = 2.0**-10
"""A part that grows up to another reaches so far into it, and is cut then. Walls lie on steps of 1 / 256 pixel: narrower gaps are last
bits."""
NEAR_PX = 1.0
"""A gap belongs to a seam of pixels that is no further."""
LEAST_INSIDE = 0.5
"""Of a gap, that pixels of the two cover; else it is the open ground beside them."""


class Seams(NamedTuple):
    """Pairs of parts (n,) by number, and the lines on which their pixels touch."""

    one: Ints
    other: Ints
    line: Shapes


def seams_of(raw: Shapes, least: float) -> Seams:
    """Of polygons of pixels: shorter ones than `least` are necks, no walls."""
    one, other = shapely.STRtree(raw).query(raw, predicate="touches")
    one, other = one[one < other], other[one < other]
    line = shapely.intersection(raw[one], raw[other])
    long = shapely.length(line) >= least
    order = np.lexsort((other[long], one[long]))
    return Seams(one[long][order], other[long][order], line[long][order])


def grown_together(polygons: Shapes, raw: Shapes, rank: Ints, regular: Mask, reach: float) -> Shapes:
    """Polygons (n,) of one plane, in pixels; of two whose `raw` outlines share a wall, the one of the higher rank, if regular, also covers
    the ground between them, as far as that is less than twice `reach` wide, and OVER_PX of the other."""
    seams = seams_of(raw, 2 * reach)
    keeps, gives = (np.where((rank[seams.one] < rank[seams.other]) == first, seams.one, seams.other) for first in (True, False))
    asked = regular[gives]
    keeps, gives, line = keeps[asked], gives[asked], seams.line[asked]
    both = areas_of(shapely.union(polygons[keeps], polygons[gives], grid_size=GRID_PX))
    closed = _widened(_widened(both, reach), -reach)
    gaps, seam = shapely.get_parts(_widened(shapely.difference(closed, both, grid_size=GRID_PX), -OVER_PX), return_index=True)
    inside = shapely.area(shapely.intersection(gaps, shapely.union(raw[keeps], raw[gives])[seam]))
    between = shapely.dwithin(gaps, line[seam], NEAR_PX) & (inside >= LEAST_INSIDE * shapely.area(gaps))
    gaps, seam = gaps[between], seam[between]
    fill = areas_of(shapely.intersection(closed[seam], _widened(gaps, 2 * OVER_PX), grid_size=GRID_PX))
    grown = polygons.copy()
    for number in np.unique(gives[seam]):
        grown[number] = largest_part(shapely.union_all([polygons[number], *fill[gives[seam] == number]], grid_size=GRID_PX))
    return grown


def _widened(shapes: Shapes, by: float) -> Shapes:
    """Corners stay corners. GEOS' buffers of such may cross themselves, which overlays do not take."""
    wide: Shapes = shapely.buffer(shapes, by, join_style="mitre")
    broken = ~shapely.is_valid(wide)
    wide[broken] = areas_of(shapely.make_valid(wide[broken]))
    return wide
