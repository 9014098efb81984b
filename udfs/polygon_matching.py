"""Found polygons beside known ones: which lie on one another, and how close their outlines are. One square of ground at a time."""

from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from udfs.polygon_metrics import boundary_iou, complexity_aware_iou, iou, max_tangent_angle_error, polis, vertex_counts

Shapes = NDArray[np.object_]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SQUARE_DEGREES = 0.02
"""Side of the squares of ground that are compared at once, 2 km: flat enough for distances from their middle."""
POLAR_DEGREES = 85.0
"""Squares beyond are no longer square: a row of them is one."""
FOUND, KNOWN = "found", "known"
LEAST_IOU = 0.5
SHARED_M2 = 1e-3
"""Edges of neighbours, straight on the grid, bend apart on the earth: less than this in common is none."""
VALUES = ("iou", "boundary_iou", "polis", "polis_published", "c_iou", "c_iou_published", "mta")
PAIRS_DDL = "region string, found_id string, known_id string, confidence double, vertices bigint, known_vertices bigint, " + ", ".join(
    f"{name} double" for name in VALUES
)
FAULTS_DDL = "region string, invalid bigint, overlapping bigint"


def pair_frame(frame: pd.DataFrame, band_m: float) -> pd.DataFrame:
    """Polygons that touch one square (kind, id, region, confidence, geometry in EPSG:4326, square_y, square_x) to rows of PAIRS_DDL:
    pairs of found and known with an IoU of 0.5 or more, each once, in the square where their boxes begin to overlap. `band_m`: width of
    the boundary for its IoU."""
    shapes, one, other = meeting_on_plane(frame)
    kind = frame["kind"].to_numpy()
    wanted = (kind[one] == FOUND) & (kind[other] == KNOWN)
    near = iou(shapes[one[wanted]], shapes[other[wanted]]) >= LEAST_IOU
    found, known = frame.iloc[one[wanted][near]], frame.iloc[other[wanted][near]]
    values = _values(shapes[one[wanted][near]], shapes[other[wanted][near]], band_m)
    names = {"region": known["region"], "found_id": found["id"], "known_id": known["id"], "confidence": found["confidence"]}
    return pd.DataFrame({name: column.to_numpy() for name, column in names.items()} | values)


def _values(found: Shapes, known: Shapes, band_m: float) -> dict[str, NDArray[np.generic]]:
    return {
        "vertices": vertex_counts(found),
        "known_vertices": vertex_counts(known),
        "iou": iou(found, known),
        "boundary_iou": boundary_iou(found, known, band_m),
        "polis": polis(found, known),
        "polis_published": polis(found, known, as_published=True),
        "c_iou": complexity_aware_iou(found, known),
        "c_iou_published": complexity_aware_iou(found, known, as_published=True),
        "mta": max_tangent_angle_error(found, known),
    }


def fault_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Found polygons that touch one square to a row of FAULTS_DDL for each region: invalid ones that begin in the square, and pairs that
    share ground, counted where the first by id lies."""
    frame = frame.sort_values("id", ignore_index=True)
    lonlat, number = shapely.from_wkb(frame["geometry"].to_numpy()), np.arange(len(frame))
    shapes = _polygonal(on_plane(frame, lonlat))
    invalid = ~shapely.is_valid(lonlat) & _begin_here(frame, lonlat, number, number)
    one, other = _meeting(frame, lonlat, shapes)
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other])) > SHARED_M2
    pairs = np.bincount(one[shared & (one < other)], minlength=len(frame))
    rows = pd.DataFrame({"region": frame["region"].to_numpy(), "invalid": invalid.astype(np.int64), "overlapping": pairs})
    return rows.groupby("region", as_index=False).sum()


def meeting_on_plane(frame: pd.DataFrame) -> tuple[Shapes, Ints, Ints]:
    """Polygons that touch one square, as valid shapes in metres, and all pairs of them, both ways, that meet and whose boxes begin to
    overlap in it."""
    lonlat = shapely.from_wkb(frame["geometry"].to_numpy())
    shapes = _polygonal(on_plane(frame, lonlat))
    return shapes, *_meeting(frame, lonlat, shapes)


def on_plane(frame: pd.DataFrame, lonlat: Shapes) -> Shapes:
    """In metres from the middle of the frame's square."""
    y, x = ((float(frame[name].iloc[0]) + 0.5) * SQUARE_DEGREES for name in ("square_y", "square_x"))
    # A pole begins a square, and what lies about a polygon may reach beyond.
    flat = Transformer.from_crs("EPSG:4326", f"+proj=aeqd +lat_0={np.clip(y, -90, 90)} +lon_0={x} +datum=WGS84", always_xy=True)
    shapes: Shapes = shapely.transform(lonlat, flat.transform, interleaved=False)
    return shapes


def _polygonal(shapes: Shapes) -> Shapes:
    """Valid ones, of their areas alone: no lines and points of spikes."""
    valid: Shapes = shapely.make_valid(shapes, method="structure", keep_collapsed=False)
    return valid


def _meeting(frame: pd.DataFrame, lonlat: Shapes, shapes: Shapes) -> tuple[Ints, Ints]:
    """All pairs, both ways, that meet and whose boxes begin to overlap in the square."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    here = (one != other) & _begin_here(frame, lonlat, one, other)
    return one[here], other[here]


def _begin_here(frame: pd.DataFrame, lonlat: Shapes, one: Ints, other: Ints) -> Mask:
    """Whether the south-west corner of what the boxes of two polygons share lies in the square."""
    corner = shapely.bounds(lonlat)[:, :2]
    begin_x, begin_y = np.floor(np.maximum(corner[one], corner[other]) / SQUARE_DEGREES).T
    square_x, square_y = frame[["square_x", "square_y"]].to_numpy()[0]
    return np.asarray((begin_y == square_y) & ((begin_x == square_x) | is_polar(square_y)))


def is_polar(square_y: Any) -> Any:
    """Whether a row of squares is one square."""
    return np.abs(square_y + 0.5) * SQUARE_DEGREES > POLAR_DEGREES
