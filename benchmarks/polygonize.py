"""Mask to valid geometries ÷ rasterio.features.shapes + shapely, one core: same count, same area, same bytes."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features

from benchmarks.pairs import Measure, speed_ratio
from udfs.tracing import polygons_from_mask

SIDE = 1024
Polygons = NDArray[np.object_]


def town(side: int, noise: float, seed: int = 1) -> NDArray[np.bool_]:
    """A mask of blocks and L shapes, about a quarter built; share `noise` of the pixels flipped."""
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), bool)
    for _ in range(side * side // 1500):
        (y, x), (height, width) = random.integers(0, side - 40, 2), random.integers(8, 40, 2)
        mask[y : y + height, x : x + width] = True
        mask[y : y + height // 2, x : x + width // 2] = False
    return mask ^ (random.random(mask.shape) < noise)


def shapes(mask: NDArray[np.bool_]) -> Polygons:
    """GDAL's polygons as shapely ones, built in bulk from the rings' coordinates."""
    outlines = [outline["coordinates"] for outline, _ in features.shapes(mask.view(np.uint8), mask=mask, connectivity=4)]
    rings = [ring for outline in outlines for ring in outline]
    offsets = np.cumsum([0, *map(len, rings)]), np.cumsum([0, *map(len, outlines)])
    coordinates = np.array([point for ring in rings for point in ring])
    polygons: Polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, coordinates, offsets)
    return polygons


def agree(ours: Polygons, theirs: Polygons) -> None:
    """Raises ValueError unless both are the same polygons, all valid."""
    if not shapely.is_valid(ours).all():
        raise ValueError("an invalid polygon")
    if sorted(shapely.to_wkb(shapely.normalize(ours))) != sorted(shapely.to_wkb(shapely.normalize(theirs))):
        raise ValueError(f"{len(ours)} and {len(theirs)} polygons differ")


def measure() -> list[Measure]:
    """Clean, and with 2 % noise."""
    measures = []
    for name, noise, reach in (("clean", 0.0, 2.0), ("2 % noise", 0.02, 1.5)):
        mask = town(SIDE, noise)
        count = len(polygons_from_mask(mask))
        measures.append(
            speed_ratio(
                f"polygonize {name}", lambda m=mask: polygons_from_mask(m), lambda m=mask: shapes(m), agree, reach, note=f"{count} polygons"
            )
        )
    return measures
