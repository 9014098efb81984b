"""Mumbai: how informal its quarters look, beside 2,542 outlines of slums drawn by others.
Run after `./spark-submit.sh flow --place mumbai`: python -m benchmarks.mumbai WAREHOUSE"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import deltalake
import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

PLANE = "EPSG:32643"
MEASURES = {"score": 1, "ndvi": -1, "swir_ratio": 1, "contrast": -1, "alignment": -1}
"""With the sign of what speaks for an informal quarter."""
MOSTLY = 0.5
"""Share of a cell that is slum, and built, to be called so."""


def slums_of(data: Path) -> NDArray[Any]:
    """Outlines of slums on PLANE, whole and apart."""
    outlines = gpd.read_file(data / "mumbai" / "slum_clusters.geojson").to_crs(PLANE).geometry.make_valid()
    return np.asarray(shapely.get_parts(shapely.union_all(outlines.to_numpy())))


def slum_m2(shapes: NDArray[Any], slums: NDArray[Any]) -> NDArray[np.float64]:
    """Of each shape how much of it is slum."""
    ours, theirs = shapely.STRtree(slums).query(shapes)
    return np.bincount(ours, shapely.area(shapely.intersection(shapes[ours], slums[theirs])), len(shapes))


def on_plane(wkb: Any) -> NDArray[Any]:
    return np.asarray(gpd.GeoSeries.from_wkb(wkb, crs="EPSG:4326").to_crs(PLANE).to_numpy())


def cells_beside(cells: Any, slums: NDArray[Any]) -> dict[str, Any]:
    """Area under the curve of each measure, of all cells with built-up land and of those that are mostly built; and of `informal`."""
    shapes = on_plane(cells["geometry"])
    whole = shapely.area(shapes)
    is_slum, is_built = slum_m2(shapes, slums) / whole > MOSTLY, (cells["built_m2"] / whole > MOSTLY).to_numpy()
    seen = (cells["score"].notna() & (cells["pixels"] == cells["cell_px"] ** 2)).to_numpy()
    figures: dict[str, Any] = {}
    for name, rows in (("built", seen), ("mostly_built", seen & is_built)):
        auc = {key: round(roc_auc_score(is_slum[rows], sign * cells[key][rows]), 3) for key, sign in MEASURES.items()}
        figures[name] = {"cells": int(rows.sum()), "slum": int(is_slum[rows].sum()), "auc": auc}
    called = cells["informal"][seen].to_numpy(bool)
    hits = int((called & is_slum[seen]).sum())
    return {**figures, "precision": round(hits / called.sum(), 3), "recall": round(hits / is_slum[seen].sum(), 3)}


def wards_beside(tables: dict[str, Any], epoch: str, slums: NDArray[Any]) -> dict[str, Any]:
    """Of wards with a value: share of built-up land that looks informal, beside slum land over built-up land."""
    told = tables["indicators"].query("indicator == '11.1.1-proxy' and period_end == @epoch and value == value")
    wards = tables["units"].query("level == level.max()")
    sums = tables["unit_statistics"].query("epoch == @epoch")
    rows = told.merge(wards, on="unit_id").merge(sums, on="unit_id")
    # What the image does not show is in neither.
    slum = slum_m2(on_plane(rows["geometry"]), slums) / rows["built_m2"] * rows["valid_m2"] / rows["total_m2"]
    value = rows["value"].astype(float)
    bare = bare_share(tables["informality"].query("epoch == @epoch"), on_plane(rows["geometry"]))
    return {
        "spearman_ndvi": round(spearmanr(bare, slum).statistic, 3), "mean_difference_ndvi": round(np.abs(bare - slum).mean(), 3),
        "wards": len(rows), "spearman": round(spearmanr(value, slum).statistic, 3), "pearson": round(np.corrcoef(value, slum)[0, 1], 3),
        "mean": round(value.mean(), 3), "mean_slum": round(slum.mean(), 3), "mean_difference": round((value - slum).abs().mean(), 3),
    }  # fmt: skip


def bare_share(cells: Any, wards: NDArray[Any]) -> NDArray[np.float64]:
    """Of each ward the share of built-up land in cells of least NDVI, as many of them as look informal: a plain threshold."""
    known = cells[cells["informal"].notna()]
    bare = known["ndvi"].rank(method="first") <= known["informal"].astype(bool).sum()
    ward, cell = shapely.STRtree(shapely.centroid(on_plane(known["geometry"]))).query(wards, predicate="contains")
    built = known["built_m2"].to_numpy()[cell]
    return np.bincount(ward, built * bare.to_numpy()[cell], len(wards)) / np.bincount(ward, built, len(wards))


def main(warehouse: Path, data: Path) -> None:
    slums = slums_of(data)
    names = ("informality", "indicators", "units", "unit_statistics")
    tables = {name: deltalake.DeltaTable(str(warehouse / "mumbai" / name)).to_pandas() for name in names}
    for epoch, cells in tables["informality"].groupby("epoch"):
        found = {"epoch": epoch, **cells_beside(cells.reset_index(drop=True), slums), **wards_beside(tables, str(epoch), slums)}
        print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["URBANTRACE_DATA"]))
