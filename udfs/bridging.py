"""Buildings of two releases on one another: how much ground they share, and what became of each."""

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.polygon_matching import FOUND, KNOWN, meeting_on_plane
from udfs.polygon_metrics import iou

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]

EARLIER, LATER = KNOWN, FOUND
"""Kinds of rows."""
LEAST_SHARE = 0.3
"""Of the smaller of two: sharing less ground they are neighbours whose outlines are not exact."""
SAME_IOU = 0.5
"""The usual measure of one building told twice."""
MOVED_IOU = 0.8
"""One building laid upon the other, middle on middle, is the same in shape."""
LINKS_DDL = "from_id string, to_id string, overlap_m2 double, iou double, shift_m double, iou_unmoved double"


def link_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Polygons that touch one square (kind, id, geometry in EPSG:4326, square_y, square_x) to rows of LINKS_DDL: pairs of an earlier and a
    later one that share LEAST_SHARE of the smaller, each once. `iou_unmoved`: with the middle of one on that of the other."""
    shapes, one, other = meeting_on_plane(frame)
    kind = frame["kind"].to_numpy()
    wanted = (kind[one] == EARLIER) & (kind[other] == LATER)
    one, other = one[wanted], other[wanted]
    area = shapely.area(shapes)
    overlap = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    linked = overlap >= LEAST_SHARE * np.minimum(area[one], area[other])
    one, other, overlap = one[linked], other[linked], overlap[linked]
    ids, shift = frame["id"].to_numpy(), _shift(shapes[one], shapes[other])
    laid = _moved(shapes[other], -shift)
    return pd.DataFrame(
        {
            "from_id": ids[one], "to_id": ids[other], "overlap_m2": overlap, "iou": np.minimum(iou(shapes[one], shapes[other]), 1),
            "shift_m": np.hypot(*shift.T), "iou_unmoved": iou(shapes[one], laid),
        }
    )  # fmt: skip


def _shift(before: Shapes, after: Shapes) -> Floats:
    """Between centroids (n, 2)."""
    start, end = (shapely.centroid(each) for each in (before, after))
    return np.column_stack([shapely.get_x(end) - shapely.get_x(start), shapely.get_y(end) - shapely.get_y(start)])


def _moved(shapes: Shapes, by: Floats) -> Shapes:
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    moved: Shapes = shapely.set_coordinates(shapes.copy(), xy + by[owner])
    return moved
