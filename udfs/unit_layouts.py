"""Units in the layouts that publishers use: levels in a column, no parents. A unit's parent is told by where it lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from conf.errors import InputError
from udfs.units import levels_of, located, read_attributes, repaired, shapes_of, text_of, unique_ids

LayoutName = Literal["geoboundaries", "overture"]
INSIDE = 0.5
"""Share of a unit that lies in its parent, at least: borders of two levels seldom meet exactly."""
NOTED = 0.99


class Layout(NamedTuple):
    """Columns of ids, names and levels; levels from the coarsest; `only`: a column and the value of rows that are units."""

    unit_id: str
    name: str
    level: str
    levels: tuple[str, ...]
    only: tuple[str, str] | None = None


LAYOUTS: dict[LayoutName, Layout] = {
    "geoboundaries": Layout("shapeID", "shapeName", "shapeType", tuple(f"ADM{level}" for level in range(6))),
    "overture": Layout(
        "division_id", "names.primary", "subtype",
        ("country", "dependency", "macroregion", "region", "macrocounty", "county", "localadmin", "locality", "borough", "macrohood",
         "neighborhood", "microhood"),
        only=("class", "land"),
    ),
}  # fmt: skip
"""geoBoundaries (geoboundaries.org): one file a level. Overture Maps: type division_area of theme divisions."""


def read_layout(
    paths: Sequence[Path], name: LayoutName, wanted: Sequence[str], crs: str | None = None, encoding: str | None = None
) -> pd.DataFrame:
    """Rows as `udfs.units.read_units` gives them, of files in one layout. `wanted`: its levels that are taken; none: those there are.

    Raises InputError as `read_units`, on levels that the layout has not or that no row has, and where a unit lies in none that is coarser.
    """
    layout = LAYOUTS[name]
    if unknown := sorted(set(wanted) - set(layout.levels)):
        raise InputError(f"units.levels: {unknown[0]} is no level of {name}; it has {', '.join(layout.levels)}")
    rows = pd.concat([_rows(path, layout, crs, encoding) for path in paths], ignore_index=True)
    title = " and ".join(path.name for path in paths)
    if absent := [level for level in wanted if level not in set(rows["layout_level"])]:
        raise InputError(f"{title}: no unit of level {absent[0]}; there are {', '.join(sorted(set(rows['layout_level'])))}")
    rows = rows[rows["layout_level"].isin(wanted or layout.levels)].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{title}: no row has a level of {name}; check units.layout")
    rows["unit_id"] = unique_ids(rows["unit_id"], title, layout.unit_id)
    rows["geometry"], notes = repaired(rows["geometry"].to_numpy(), rows["unit_id"], title)
    rank = np.array([layout.levels.index(level) for level in rows["layout_level"]], np.int64)
    parents, shares = parents_by_place(rows["geometry"].to_numpy(), rank, list(rows["unit_id"]), title)
    rows["parent_id"] = [None if parent < 0 else rows["unit_id"].iloc[parent] for parent in parents]
    rows["note"] = [_note(note, share) for note, share in zip(notes, shares, strict=True)]
    rows["level"] = levels_of(dict(zip(rows["unit_id"], rows["parent_id"], strict=True)), title)
    return rows.sort_values(["level", "unit_id"], ignore_index=True)[["unit_id", "parent_id", "level", "name", "geometry", "note"]]


def _rows(path: Path, layout: Layout, crs: str | None, encoding: str | None) -> pd.DataFrame:
    only = [layout.only[0]] if layout.only else []
    frame, meta = read_attributes(path, [layout.unit_id, layout.name, layout.level, *only], geometry=True, encoding=encoding)
    if layout.only:
        frame = frame[frame[layout.only[0]] == layout.only[1]].reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{path.name}: no row has {' = '.join(layout.only or ())}; it holds no unit, leave it out")
    if blank := int(frame[layout.level].isna().sum()):
        raise InputError(f"{path.name}: {blank} of {len(frame)} rows have no {layout.level}; give each its level")
    shapes = located(shapes_of(frame["geometry"]), crs or meta["crs"], path.name)
    columns = {"unit_id": frame[layout.unit_id], "name": text_of(frame[layout.name]), "layout_level": text_of(frame[layout.level])}
    return pd.DataFrame(columns).assign(geometry=shapes)


def _note(repair: str | None, share: float) -> str | None:
    outside = f"{(1 - share) * 100:.2g} % of it lies outside of its parent" if share < NOTED else None
    return "; ".join(note for note in (repair, outside) if note) or None


def parents_by_place(
    shapes: NDArray[Any], rank: NDArray[np.int64], ids: Sequence[str], title: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the unit of the next coarser level that holds most of each, -1 for those of the coarsest, and the share of it inside.

    `rank`: 0 is the coarsest; levels may be missing between. Raises InputError where no coarser unit holds half of one.
    """
    parents, shares = np.full(len(shapes), -1, np.int64), np.ones(len(shapes))
    tree, area = shapely.STRtree(shapes), shapely.area(shapes)
    for index in np.flatnonzero(rank > rank.min()):
        near = tree.query(shapes[index], predicate="intersects")
        near = near[rank[near] < rank[index]]
        inside = shapely.area(shapely.intersection(shapes[near], shapes[index])) / area[index]
        held = np.flatnonzero(inside >= INSIDE)
        if not len(held):
            raise InputError(f"{title}: unit {ids[index]!r} lies in no unit of a coarser level; add that, or choose units.levels")
        best = max(held, key=lambda one: (rank[near[one]], inside[one]))
        parents[index], shares[index] = near[best], inside[best]
    return parents, shares
