"""The exact integration of a series ÷ MAP by pgmpy's belief propagation, pixel by pixel, of the same pixels; states must be the same."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from pgmpy.factors.discrete import DiscreteFactor
from pgmpy.inference import BeliefPropagation
from pgmpy.models import DiscreteMarkovNetwork

from benchmarks.pairs import Measure, speed_ratio
from models.change_integration import STEP, Edges, edges_of, integrated, margins, terms

REACH = 1000.0
PIXELS, DATES = 2000, 5
"""Dates as in the published comparisons, all pairs an edge."""
States = NDArray[np.bool_]
Floats = NDArray[np.float64]


def measure() -> list[Measure]:
    """Five dates with all edges, a fifth of the dates hidden."""
    probability, change, edges = drawn(DATES, PIXELS)
    ours = partial(by_kernel, probability, change, edges)
    theirs = partial(by_pgmpy, probability, change, edges)
    note = f"{PIXELS} pixels, {DATES} dates, {len(edges)} edges"
    return [speed_ratio("change_integration", ours, theirs, _agree, REACH, pairs=3, note=note)]


def drawn(dates: int, pixels: int, seed: int = 4) -> tuple[Floats, Floats, Edges]:
    """Probabilities that leave no ties, NaN where hidden, of dates and of all edges."""
    random, edges = np.random.default_rng(seed), edges_of("dense", dates)
    probability, change = random.random((dates, 4 * pixels)), random.random((len(edges), 4 * pixels))
    probability[random.random(probability.shape) < 0.2] = np.nan
    clear = (np.abs(margins(terms(probability), terms(change), edges)) > STEP // 100).all(0)
    chosen = np.flatnonzero(clear)[:pixels]
    return probability[:, chosen], change[:, chosen], edges


def by_kernel(probability: Floats, change: Floats, edges: Edges) -> States:
    return integrated(terms(probability), terms(change), edges)


def by_pgmpy(probability: Floats, change: Floats, edges: Edges) -> States:
    """A network for each pixel, as its documentation shows."""
    return np.stack([_map(p, c, edges) for p, c in zip(probability.T, change.T, strict=True)], 1)


def _map(probability: Floats, change: Floats, edges: Edges) -> States:
    names = [f"s{date}" for date in range(len(probability))]
    network = DiscreteMarkovNetwork([(names[i], names[j]) for i, j in edges])
    seen = np.nan_to_num(probability, nan=0.5)
    network.add_factors(*(DiscreteFactor([name], [2], [1 - p, p]) for name, p in zip(names, seen, strict=True)))
    pairs = (DiscreteFactor([names[i], names[j]], [2, 2], [1 - c, c, c, 1 - c]) for (i, j), c in zip(edges, change, strict=True))
    network.add_factors(*pairs)
    found = BeliefPropagation(network).map_query(names, show_progress=False)
    return np.array([bool(found[name]) for name in names])


def _agree(ours: States, theirs: States) -> None:
    if not np.array_equal(ours, theirs):
        raise ValueError(f"{(ours != theirs).any(0).sum()} of {ours.shape[1]} pixels have other states")
