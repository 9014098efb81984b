"""Which building is next, and how far."""

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from conf.table import BBOX
from udfs.polygon_matching import FOUND, KNOWN, SQUARE_DEGREES, is_polar, on_plane

REACH_M = 100.0
"""Further buildings are no neighbours."""
WIDER_M = (3.0, 15.0, REACH_M)
NEIGHBOURS_DDL = "layer string, epoch string, building_id string, neighbour_m double"
QUARTERS_DDL = "id string, quarter string, distance_m double"


def neighbour_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Buildings (layer, epoch, building_id, geometry in EPSG:4326 and its box, square_y, square_x) within REACH_M of one square to rows of
    NEIGHBOURS_DDL of those whose box touches it: metres between outlines, 0 where two meet; none for one without neighbour here."""
    shapes, own = on_plane(frame, shapely.from_wkb(frame["geometry"].to_numpy())), np.flatnonzero(_touches(frame))
    distance = nearest_m(shapes, own)
    near = np.isfinite(distance)
    found: pd.DataFrame = frame.iloc[own[near]][["layer", "epoch", "building_id"]]
    return pd.DataFrame({**found, "neighbour_m": distance[near]})


def nearest_m(shapes: NDArray[np.object_], own: NDArray[np.int64]) -> NDArray[np.float64]:
    """From those of the numbers `own` to the nearest of all others, metres, infinite beyond REACH_M: by what lies in ever wider boxes,
    which in towns is a tenth of the time of shapely's query_nearest."""
    tree, nearest, left = shapely.STRtree(shapes), np.full(len(own), np.inf), np.arange(len(own))
    bounds = shapely.bounds(shapes[own])
    for reach in WIDER_M:
        one, other = tree.query(shapely.box(*(bounds[left] + reach * np.array([-1, -1, 1, 1])).T))
        one, other = one[own[left[one]] != other], other[own[left[one]] != other]
        found = np.full(len(left), np.inf)
        np.minimum.at(found, one, shapely.distance(shapes[own[left[one]]], shapes[other]))
        nearest[left] = np.where(found <= reach, found, np.inf)
        left = left[found > reach]
    return nearest


def nearest_quarter_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Found and known polygons (kind, id, quarter of known ones, geometry in EPSG:4326 and its box, square_y, square_x) within REACH_M of
    one square to rows of QUARTERS_DDL: of each found one whose box touches it, the quarter of the nearest known one here."""
    shapes, known = on_plane(frame, shapely.from_wkb(frame["geometry"].to_numpy())), np.flatnonzero(frame["kind"] == KNOWN)
    known = known[np.argsort(frame["id"].to_numpy()[known])]
    found = np.flatnonzero(_touches(frame) & (frame["kind"] == FOUND))
    pairs, distance = shapely.STRtree(shapes[known]).query_nearest(shapes[found], REACH_M, return_distance=True)
    first = np.unique(pairs[0], return_index=True)[1]
    names = frame["id"].to_numpy()[found[pairs[0, first]]], frame["quarter"].to_numpy()[known[pairs[1, first]]]
    return pd.DataFrame({"id": names[0], "quarter": names[1], "distance_m": distance[first]})


def _touches(frame: pd.DataFrame) -> "pd.Series[bool]":
    """As rows are put on squares: by the squares of the box' corners."""
    square = {name: np.floor(frame[name] / SQUARE_DEGREES) for name in BBOX}
    x, y = frame["square_x"], frame["square_y"]
    along = ((square["xmin"] <= x) & (x <= square["xmax"])) | is_polar(y)
    touches: pd.Series[bool] = along & (square["ymin"] <= y) & (y <= square["ymax"])
    return touches
