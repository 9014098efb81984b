"""Traced outlines to regular ones ÷ buildingregulariser, one core: mean IoU to the true buildings no worse, none invalid."""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from benchmarks.pairs import Measure, speed_ratio
from udfs.components import label_components
from udfs.polygon_metrics import complexity_aware_iou, iou, max_tangent_angle_error, polis, vertex_counts, vertex_ratio
from udfs.regularisation import regular_polygons
from udfs.tracing import Rings, corners_of_labels, corners_of_parts, polygons_of_rings, rings_of_corners

PX, CELL_PX, ACROSS = 0.3, 100, 20
DETAIL_M, TOLERANCE_M = 1.2, 2.0
NOISE = 0.12
Polygons = NDArray[np.object_]


class Town(NamedTuple):
    """True buildings, in pixels, and the rings of the components that a map shows of them, one each."""

    truth: Polygons
    rings: Rings


def town(seed: int = 3) -> Town:
    """Rectangles, L and T shapes at any angle, as a network sees them: blurred, with noise that neighbouring pixels share."""
    random = np.random.default_rng(seed)
    truth = np.array([_building(random, row, col) for row in range(ACROSS) for col in range(ACROSS)])
    share = ndimage.gaussian_filter(rasterize(truth, [CELL_PX * ACROSS] * 2).astype(float), 1.5)
    noise = ndimage.gaussian_filter(random.standard_normal(share.shape), 2.5)
    labels, _ = label_components(share + NOISE * noise / noise.std() > 0.5)
    return Town(truth, rings_of_corners(corners_of_labels(_largest_in_cells(labels))))


def _building(random: np.random.Generator, row: int, col: int) -> shapely.Polygon:
    width, depth = random.uniform(8, 18), random.uniform(7, 12)
    wing, out = random.uniform(3, width - 3), random.uniform(2, 6)
    at = random.uniform(0, width - wing) * random.integers(0, 2)
    shape = shapely.unary_union([shapely.box(0, 0, width, depth), shapely.box(at, depth, at + wing, depth + out)])
    turned = affinity.rotate(shape, random.uniform(0, 90), origin="centroid")
    middle = turned.centroid
    placed = affinity.scale(affinity.translate(turned, -middle.x, -middle.y), 1 / PX, 1 / PX, origin=(0, 0))
    return affinity.translate(placed, (col + 0.5) * CELL_PX, (row + 0.5) * CELL_PX)


def _largest_in_cells(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Noise makes specks: of each cell the largest component stays, numbered by cell."""
    kept = np.zeros_like(labels)
    for row in range(ACROSS):
        for col in range(ACROSS):
            cell = np.s_[row * CELL_PX : (row + 1) * CELL_PX, col * CELL_PX : (col + 1) * CELL_PX]
            kept[cell][labels[cell] == np.argmax(np.bincount(labels[cell].ravel())[1:]) + 1] = row * ACROSS + col + 1
    return kept


def ours(rings: Rings, px: float = PX) -> Polygons:
    return regular_polygons(rings, (px, px), DETAIL_M, TOLERANCE_M).polygons


def theirs(rings: Rings, px: float = PX, tolerance: float = 0.5) -> Polygons:
    """With the highest mean IoU of simplify_tolerance 0.3 to 1.5 m and parallel_threshold 0.5 to 2 m; in Perth, of those with as few
    vertices."""
    from buildingregulariser import regularize_geodataframe

    metric = shapely.transform(polygons_of_rings(rings), lambda xy: xy * px)
    frame = geopandas.GeoDataFrame(geometry=metric, crs=32636)
    found = regularize_geodataframe(frame, simplify_tolerance=tolerance, parallel_threshold=tolerance, allow_45_degree=True, num_cores=1)
    return np.asarray(shapely.transform(found.geometry.to_numpy(), lambda xy: xy / px))


def agree(truth: Polygons, own: Polygons, other: Polygons) -> None:
    """Raises ValueError unless ours are as many, valid, and as near to the truth."""
    if len(own) != len(truth) or not shapely.is_valid(own).all():
        raise ValueError(f"{len(own)} polygons, {(~shapely.is_valid(own)).sum()} invalid, of {len(truth)} buildings")
    near = [float(np.mean(iou(shapes, truth))) for shapes in (own, shapely.make_valid(other))]
    if near[0] < near[1]:
        raise ValueError(f"mean IoU {near[0]:.4f}, theirs {near[1]:.4f}")


def figures(shapes: Polygons, truth: Polygons) -> str:
    metric, known = (shapely.transform(each, lambda xy: xy * PX) for each in (shapely.make_valid(shapes), truth))
    near, c_iou, angle = np.mean(polis(metric, known)), np.mean(complexity_aware_iou(metric, known)), max_tangent_angle_error(metric, known)
    return (
        f"IoU {np.mean(iou(metric, known)):.3f}, PoLiS {near:.2f} m, C-IoU {c_iou:.3f}, MTA {np.nanmean(angle):.1f} degrees, "
        f"N ratio {vertex_ratio(metric, known):.2f}"
    )


def measure() -> list[Measure]:
    truth, rings = town()
    note = f"{len(truth)} buildings; ours {figures(ours(rings), truth)}; theirs {figures(theirs(rings), truth)}"
    town_measure = speed_ratio("regularize", partial(ours, rings), partial(theirs, rings), partial(agree, truth), 3.0, note=note)
    return [town_measure, *([perth()] if "URBANTRACE_DATA" in os.environ else [])]


def perth() -> Measure:
    """1,296 stair-stepped outlines of Perth (DPIRD-DMA/Building-Regulariser, MIT), pixels of 1 m; near is near to the stairs."""
    rings = perth_rings()
    raw = polygons_of_rings(rings)
    own, other = partial(ours, rings, 1.0), partial(theirs, rings, 1.0, 1.0)
    note = f"{len(raw)} outlines; ours {shapes_told(own(), raw)}; theirs {shapes_told(other(), raw)}"
    return speed_ratio("regularize: Perth", own, other, partial(agree, raw), 3.0, note=note)


def perth_rings() -> Rings:
    """The outlines lie on whole pixels: drawn and traced they are the same. Raises ValueError where they are not."""
    path = Path(os.environ["URBANTRACE_DATA"]) / "perth_raw_polygons" / "test_data.gpkg"
    outlines = geopandas.read_file(path).geometry.to_numpy()
    west, south, east, north = shapely.total_bounds(outlines)
    placed = shapely.transform(outlines, lambda xy: np.column_stack([xy[:, 0] - west, north - xy[:, 1]]))
    labels = rasterize(zip(placed, range(1, len(placed) + 1), strict=True), (round(north - south), round(east - west)), dtype="int32")
    rings = rings_of_corners(corners_of_parts(labels))
    if shapely.area(shapely.symmetric_difference(polygons_of_rings(rings), placed)).max() > 1e-3:
        raise ValueError(f"{path.name}: outlines are not those of whole pixels of 1 m")
    return rings


def shapes_told(shapes: Polygons, raw: Polygons) -> str:
    valid = shapely.make_valid(shapes)
    corners = np.mean(vertex_counts(valid))
    return f"vertices {corners:.1f}, right angles {right_angles(valid):.3f}, IoU {np.mean(iou(valid, raw)):.3f}"


def right_angles(shapes: Polygons) -> float:
    """Share of corners within 1 degree of a right angle."""
    rings = shapely.get_rings(shapely.get_parts(shapes))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    edge, of = np.diff(xy, axis=0)[ring[1:] == ring[:-1]] @ np.array([1, 1j]), ring[1:][ring[1:] == ring[:-1]]
    first = np.searchsorted(of, of)
    before = np.where(np.arange(len(of)) == first, edge[np.searchsorted(of, of, "right") - 1], np.roll(edge, 1))
    turn = np.abs(np.degrees(np.angle(edge / before)))
    return float(np.mean(np.abs(turn - 90) < 1))
