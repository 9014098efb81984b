"""Figures of polygons, by region, from what was counted by confidence."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.average_precision import CONFIDENCE_BINS, THRESHOLDS, average_precision, average_recall
from udfs.polygon_matching import VALUES

EVERYWHERE = "all"
NANO = 1_000_000_000
"""Values are summed as whole numbers of billionths: the same bytes in any order."""
COUNTS = {
    "hits": "count(1)",
    "vertices": "sum(vertices)",
    "known_vertices": "sum(known_vertices)",
    **{f"{name}_sum": f"sum(cast(round({name} * {NANO}) as bigint))" for name in VALUES},
    **{f"{name}_count": f"count({name})" for name in VALUES},
    **{f"hits_{number}": f"count_if(iou >= {least})" for number, least in enumerate(THRESHOLDS)},
    **{f"boundary_hits_{number}": f"count_if(least(iou, boundary_iou) >= {least})" for number, least in enumerate(THRESHOLDS)},
}
"""Of pairs by region and bin of confidence: name to SQL."""
Ints = NDArray[np.int64]


def figures_by_region(counts: pd.DataFrame, faults: pd.DataFrame) -> dict[str, dict[str, float]]:
    """`counts`: rows (region, bin, found, known, *COUNTS), `faults`: (region, invalid, overlapping). Region "all" is all ground."""
    counts, faults = counts.fillna(0), faults.set_index("region")
    if counts.empty:
        return {}
    named = {str(region): (rows, faults.loc[faults.index == region]) for region, rows in counts.groupby("region") if region}
    return {name: _figures(*rows) for name, rows in ({EVERYWHERE: (counts, faults)} | named).items()}


def _figures(counts: pd.DataFrame, faults: pd.DataFrame) -> dict[str, float]:
    total = counts.drop(columns="region").sum()
    found, known, hits = total["found"], total["known"], total["hits"]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {"precision": hits / found, "recall": hits / known, "f1": 2 * hits / (found + known)}
        means = {name: total[f"{name}_sum"] / NANO / total[f"{name}_count"] for name in VALUES}
        means["n_ratio"] = total["vertices"] / total["known_vertices"]
    faulty = {name: faults[name].sum() for name in ("invalid", "overlapping")}
    figures = {"found": found, "known": known, "hits": hits} | shares | _precisions(counts, int(known)) | means | faulty
    return {name: float(value) for name, value in figures.items() if np.isfinite(value)}


def _precisions(counts: pd.DataFrame, known: int) -> dict[str, float]:
    found = _by_bin(counts, "found")
    each, at_boundary = (
        np.array([average_precision(_by_bin(counts, f"{kind}_{number}"), found, known) for number in range(len(THRESHOLDS))])
        for kind in ("hits", "boundary_hits")
    )
    recalled = np.array([counts[f"hits_{number}"].sum() for number in range(len(THRESHOLDS))])
    named = {"ap50": each[0], "ap75": each[5], "ar": average_recall(recalled, known)}
    return {"ap": float(each.mean()), "boundary_ap": float(at_boundary.mean())} | {name: float(value) for name, value in named.items()}


def _by_bin(counts: pd.DataFrame, name: str) -> Ints:
    return np.bincount(counts["bin"], counts[name], CONFIDENCE_BINS).astype(np.int64)
