"""Buildings of several sources on the same ground: which show the same building, and what each kept one keeps of its ground."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from conf.table import BBOX
from udfs.bridging import LEAST_SHARE
from udfs.polygon_matching import SHARED_M2, meeting_on_plane
from udfs.polygon_metrics import iou
from udfs.units import geodesic_area_m2

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RANK = ["preference", "size_m2", "id"]
"""Of two on the same ground the one of the more preferred source stands, then the larger one, then the first by id."""
LEAST_LEFT = 0.5
"""Of a building: one of which those before it leave less is told by them."""
LEAST_PART = 0.1
"""Of the largest part that is left of a polygon: smaller ones beside what others cut out are crumbs."""
MEETINGS_DDL = "first_id string, second_id string, overlap_m2 double, iou double, share double, conflict boolean, told boolean"
LEFT_DDL = "id string, geometry binary, xmin double, ymin double, xmax double, ymax double, area_m2 double, left_share double"


def meeting_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Polygons that touch one square (id, preference, size_m2, geometry in EPSG:4326, square_y, square_x) to rows of MEETINGS_DDL: pairs
    that share ground, each once, the one that stands first; `share`: of the second. `conflict`: the second falls if the first stands;
    `told`: they share LEAST_SHARE of the smaller, so the first may tell the second, or the other way round."""
    frame = frame.sort_values(RANK, ascending=[True, False, True], ignore_index=True)
    shapes, first, second = meeting_on_plane(frame)
    first, second = first[first < second], second[first < second]
    overlap = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    shared = overlap > SHARED_M2
    first, second, overlap = first[shared], second[shared], overlap[shared]
    of_first, of_second = overlap / shapely.area(shapes[first]), overlap / shapely.area(shapes[second])
    ids = frame["id"].to_numpy()
    return pd.DataFrame(
        {
            "first_id": ids[first], "second_id": ids[second], "overlap_m2": overlap,
            "iou": np.minimum(iou(shapes[first], shapes[second]), 1), "share": of_second,
            "conflict": _in_conflict(of_first, of_second), "told": np.maximum(of_first, of_second) >= LEAST_SHARE,
        }
    )  # fmt: skip


def _in_conflict(of_first: Floats, of_second: Floats) -> Mask:
    """Whether the second falls by the first. A first that lies in it and leaves half is a part of it, as a house is of a row: it takes
    its own ground alone."""
    part = of_first >= 1 - LEAST_SHARE
    return (of_second > 1 - LEAST_LEFT) | ((of_second >= LEAST_SHARE) & ~part)


def left_frames(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Polygons (id, geometry in EPSG:4326, cuts: polygons that they give way to, or null) to rows of LEFT_DDL: what is left of each without
    crumbs, its geodesic area, and `left_share`, crumbs counted; one of which nothing is left keeps its outline, and has `left_share` 0."""
    for frame in frames:
        whole = shapely.from_wkb(frame["geometry"].to_numpy())
        left, share = whole.copy(), np.ones(len(whole))
        for number in np.flatnonzero(frame["cuts"].notna()):
            rest = shapely.difference(whole[number], shapely.union_all(shapely.from_wkb(sorted(frame["cuts"].iloc[number]))))
            share[number] = shapely.area(rest) / shapely.area(whole[number])
            left[number] = _without_crumbs(rest) if share[number] > 0 else whole[number]
        bounds = dict(zip(BBOX, shapely.bounds(left).T, strict=True))
        told = {"geometry": shapely.to_wkb(left), **bounds, "area_m2": geodesic_area_m2(left), "left_share": share}
        yield pd.DataFrame({"id": frame["id"], **told})


def _without_crumbs(rest: Any) -> Any:
    parts = shapely.get_parts(rest)
    area = shapely.area(parts)
    kept = shapely.orient_polygons(parts[(area > 0) & (area >= LEAST_PART * area.max())], exterior_cw=False)
    return kept[0] if len(kept) == 1 else shapely.multipolygons(kept)
