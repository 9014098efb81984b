"""Connected components: of pixels in an array, of nodes in a graph."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


def label_components(built: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """4-connected components: int32 (height, width), 0 outside, 1 to n in the order of their first pixels; and n.

    Runs of pixels in rows are the nodes of a graph: on masks of buildings twice as fast as labelling pixel by pixel.
    """
    height, width = built.shape[0], built.shape[1] + 1
    flat = np.zeros(height * width + 2, bool)
    flat[1:-1].reshape(height, width)[:, 1:] = built
    ends_of_runs = np.flatnonzero(flat[1:] != flat[:-1])
    start, end = ends_of_runs[0::2], ends_of_runs[1::2]
    # Runs of the next row that share a column, as ranges of run numbers.
    first, last = np.searchsorted(end, start + width, "right"), np.searchsorted(start, end + width, "left")
    below = np.concatenate([[0], np.cumsum(np.maximum(last - first, 0))]).astype(np.int32)
    run = np.arange(below[-1], dtype=np.int32) + np.repeat(first - below[:-1], np.diff(below)).astype(np.int32)
    graph = csr_array((np.ones(len(run)), run, below), shape=(len(start), len(start)))
    count, component = connected_components(graph, directed=False) if len(start) else (0, run)
    values = np.zeros(2 * len(start) + 1, np.int32)
    values[1::2] = _by_first_node(component, count)[component] + 1
    labels = np.repeat(values, np.diff(ends_of_runs, prepend=0, append=height * width)).reshape(height, width)
    return labels[:, 1:], int(count)


def _by_first_node(component: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """The rank of each component by its least node."""
    least = np.empty(count, np.int64)
    least[component[::-1]] = np.arange(len(component) - 1, -1, -1)
    rank = np.empty(count, np.int32)
    rank[np.argsort(least)] = np.arange(count, dtype=np.int32)
    return rank


def connected(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Nodes of a graph given by pairs, and of each the least node of its component. Node numbers are any int64."""
    nodes, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    half = len(first)
    graph = coo_array((np.ones(half), (ends[:half], ends[half:])), shape=(len(nodes), len(nodes)))
    count, component = connected_components(graph, directed=False)
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, component, nodes)
    return nodes, least[component]
