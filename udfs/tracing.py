"""Polygons of pixel components, traced on integer pixel corners.

A component is known by its corners: at a lattice point, turn = NW - NE - SW + SE of its four pixels (1 inside, 0 outside).
Turns are zero on straight edges and add up over disjoint parts, so parts of a component are united by adding their turns.
"""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from udfs.components import label_components

Ints = NDArray[np.int64]


class Corners(NamedTuple):
    """Lattice points where the boundary of component `owner` turns, one entry per owner and point, in any order.

    `y` and `x` are pixel lines (rows southwards); `turn` is +-1, or +-2 where two pixels touch by the corner only.
    """

    owner: Ints
    y: Ints
    x: Ints
    turn: Ints


class Rings(NamedTuple):
    """Polygons by owner: closed rings of (x, y) pixel corners, the exterior first, then holes by their top left corner.

    Exteriors are counter-clockwise on a north-up map. Ring r is `xy[ring_offsets[r]:ring_offsets[r + 1]]`, polygon p has
    the rings `polygon_offsets[p]` to `polygon_offsets[p + 1]`. The same pixels give the same rings, whatever their origin.
    """

    owner: Ints
    xy: Ints
    ring_offsets: Ints
    polygon_offsets: Ints


def corners_of_labels(labels: NDArray[np.int32]) -> Corners:
    """Corners of the 4-connected components in a label array (height, width), 0 outside; owner is the label."""
    inside = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), np.int8)
    inside[1:-1, 1:-1] = labels > 0
    step = inside[:, 1:] - inside[:, :-1]
    turn = step[1:] - step[:-1]
    # Many times faster than np.nonzero of the int8 array itself.
    found = np.flatnonzero(turn.ravel() != 0)
    y, x = np.divmod(found, turn.shape[1])
    turns = turn.ravel()[found].astype(np.int64)
    around = np.stack([_labels_at(labels, y + down, x + right) for down in (-1, 0) for right in (-1, 0)])
    one = around.max(axis=0)
    # Of the two pixels at a corner contact, the smaller label: the sum of both less the larger one.
    other = np.where(np.abs(turns) == 2, around.sum(axis=0) - one, one)
    apart = np.flatnonzero(other != one)
    turns[apart] //= 2
    parts = (one, y, x, turns), (other[apart], y[apart], x[apart], turns[apart])
    return Corners(*(np.concatenate(pair).astype(np.int64) for pair in zip(*parts, strict=True)))


def corners_of_parts(labels: NDArray[np.int32]) -> Corners:
    """The same of labels that may lie side by side: owner is the label less 1, owners in order, their corners by row and column. Each
    label's pixels must be 4-connected."""
    edged = np.pad(labels, 1)
    around = np.stack([edged[:-1, :-1], edged[:-1, 1:], edged[1:, :-1], edged[1:, 1:]])
    y, x = np.nonzero((around != around[0]).any(axis=0))
    at = around[:, y, x]
    parts = []
    for place in range(4):
        turn = ((at == at[place]) * np.array([1, -1, -1, 1])[:, None]).sum(axis=0)
        kept = (at[place] > 0) & (turn != 0) & ~(at[:place] == at[place]).any(axis=0)
        parts.append((at[place][kept] - 1, y[kept], x[kept], turn[kept]))
    owner, y, x, turn = (np.concatenate(values).astype(np.int64) for values in zip(*parts, strict=True))
    order = np.lexsort((x, y, owner))
    return Corners(owner[order], y[order], x[order], turn[order])


def mask_of_corners(corners: Corners, top: int, left: int, shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels that corners of one owner enclose, as an array whose first pixel is (top, left); all of them must lie in it."""
    return np.asarray(sums_of_turns(corners, top, left, shape_yx) > 0)


def sums_of_turns(corners: Corners, top: int, left: int, shape_yx: tuple[int, int]) -> NDArray[np.int32]:
    """Of each pixel, the turns above and left of it added: 1 inside of disjoint owners, 0 outside; of turns times a number, that number."""
    turns = np.zeros((shape_yx[0] + 1, shape_yx[1] + 1), np.int32)
    np.add.at(turns, (corners.y - top, corners.x - left), corners.turn)
    return turns.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)[:-1, :-1]


def _labels_at(labels: NDArray[np.int32], y: Ints, x: Ints) -> NDArray[np.int32]:
    """Labels of pixels, 0 for those outside the array."""
    height, width = labels.shape
    beyond = (y < 0) | (x < 0) | (y == height) | (x == width)
    return np.where(beyond, 0, labels[np.minimum(y, height - 1), np.minimum(x, width - 1)])


def united(corners: Corners) -> Corners:
    """Corners of the union of disjoint parts: turns at equal points of an owner added, points where none is left dropped."""
    row_key, _ = _keys(corners)
    order = np.argsort(row_key)
    key = row_key[order]
    first = np.flatnonzero(np.diff(key, prepend=key[:1] - 1))
    turn = np.add.reduceat(corners.turn[order], first) if len(first) else corners.turn
    keep = order[first][turn != 0]
    return Corners(corners.owner[keep], corners.y[keep], corners.x[keep], turn[turn != 0])


def rings_of_corners(corners: Corners) -> Rings:
    """Rings of whole components; an owner's pixels must be 4-connected. Rings then are simple and touch in points at most.

    Edges join consecutive corners of a line. Where an owner touches itself by a corner, the two pixels outside belong to
    different holes (or hole and outside), so a ring turns around the outside pixel and never meets itself.
    """
    if not len(corners.owner):
        return Rings(*(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)))
    row_key, column_key = _keys(corners)
    order = np.argsort(row_key)
    owner, y, x, turn = (values[order] for values in corners)
    copies = np.abs(turn)
    entry = np.repeat(np.arange(len(order)), copies)
    vertical = _vertical_partner(np.argsort(column_key[order]), turn, copies)
    # Edge k runs along row entries 2k and 2k+1; its pixels lie below where the turn at its left end is positive.
    below = turn[entry[0::2]] > 0
    start = np.arange(0, len(entry), 2) + below
    successor = vertical[start ^ 1] >> 1
    nodes, leaders, lengths = _cycles(successor)
    points = np.stack([start[nodes], start[nodes] ^ 1], axis=1).ravel()
    ends = np.cumsum(2 * lengths)
    corner = np.insert(entry[points], ends, entry[points][ends - 2 * lengths])
    ring_owner = owner[entry[2 * leaders]]
    first_ring = np.flatnonzero(np.diff(ring_owner, prepend=ring_owner[0] - 1))
    ring_offsets = np.concatenate([[0], ends + np.arange(1, len(ends) + 1)])
    return Rings(ring_owner[first_ring], np.stack([x[corner], y[corner]], axis=1), ring_offsets, np.append(first_ring, len(leaders)))


def _keys(corners: Corners) -> tuple[Ints, Ints]:
    """Sort keys by (owner, y, x) and by (owner, x, y)."""
    if not len(corners.owner):
        return corners.owner, corners.owner
    owner, y, x = (values - values.min() for values in (corners.owner, corners.y, corners.x))
    height, width = int(y.max()) + 1, int(x.max()) + 1
    if (int(owner.max()) + 1) * height * width >= 2**63:
        raise ValueError(f"{int(owner.max()) + 1} components over {height} x {width} pixels do not fit one pass; use smaller groups")
    plane = owner * (height * width)
    return plane + y * width + x, plane + x * height + y


def _vertical_partner(by_column: Ints, turn: Ints, copies: Ints) -> Ints:
    """For each row entry the one at the other end of its vertical edge."""
    first_entry = np.cumsum(copies) - copies
    entries = np.repeat(first_entry[by_column], copies[by_column])
    second = np.flatnonzero(np.diff(entries, prepend=-1) == 0)
    # Row entries of a self-contact: the first has its edge to the left, the second to the right. By columns, that of the
    # upper edge comes first: of a NW-SE contact (turn +2) it is the right one, which turns around the NE pixel.
    flipped = np.repeat(turn[by_column] == 2, copies[by_column])[second]
    entries[second] += ~flipped
    entries[second - 1] += flipped
    partner = np.empty_like(entries)
    partner[entries[0::2]] = entries[1::2]
    partner[entries[1::2]] = entries[0::2]
    return partner


def _cycles(successor: Ints) -> tuple[Ints, Ints, Ints]:
    """Nodes of a permutation, cycle by cycle, each from its least node on, cycles by that node; least nodes; lengths."""
    count = len(successor)
    ring_count, ring = connected_components(_graph(successor), connection="strong")
    leader = np.empty(ring_count, np.int64)
    leader[ring[::-1]] = np.arange(count - 1, -1, -1)
    lengths = np.bincount(ring, minlength=ring_count)
    order = np.argsort(leader)
    leaders = leader[order]
    # Each cycle is cut before its least node and tied to the next cycle: one path, walked once.
    predecessor = np.empty(count, np.int64)
    predecessor[successor] = np.arange(count)
    path = successor.copy()
    path[predecessor[leaders]] = np.append(leaders[1:], leaders[-1])
    nodes = breadth_first_order(_graph(path), leaders[0], return_predecessors=False)
    return nodes.astype(np.int64), leaders, lengths[order].astype(np.int64)


def _graph(successor: Ints) -> csr_array:
    count = len(successor)
    return csr_array((np.ones(count), successor.astype(np.int32), np.arange(count + 1, dtype=np.int32)), shape=(count, count))


def polygons_chosen(rings: Rings, chosen: NDArray[np.bool_]) -> Rings:
    """Some of the polygons, in their order."""
    ring = np.repeat(chosen, np.diff(rings.polygon_offsets))
    point = np.repeat(ring, np.diff(rings.ring_offsets))
    counts = np.diff(rings.ring_offsets)[ring], np.diff(rings.polygon_offsets)[chosen]
    return Rings(rings.owner[chosen], rings.xy[point], *(np.concatenate([[0], np.cumsum(count)]) for count in counts))


def polygons_of_rings(rings: Rings) -> NDArray[np.object_]:
    """Shapely polygons of rings, one per owner, in pixels."""
    offsets = (rings.ring_offsets, rings.polygon_offsets)
    polygons: NDArray[np.object_] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, rings.xy.astype(np.float64), offsets)
    return polygons


def polygons_from_mask(built: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Valid polygons (x = column, y = row) of the 4-connected components of a mask (height, width). No built pixel: empty."""
    labels, _ = label_components(built)
    return polygons_of_rings(rings_of_corners(corners_of_labels(labels)))
