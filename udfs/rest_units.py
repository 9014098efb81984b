"""Ground of a unit that none of its children holds. What a parent has is summed from its smallest units, so that ground needs one too."""

from typing import Any

import numpy as np
import pandas as pd
import shapely

from conf.errors import InputError
from udfs.units import polygons_only, union_of

REST = "rest"
OWN_UNIT, NOISE = 0.01, 1e-6
"""Shares of the parent: from the first the rest is a unit; less is noted, as borders of two levels seldom meet exactly; under the second
it is digitising."""


def with_rests(units: pd.DataFrame, title: str) -> pd.DataFrame:
    """Rows unit_id, parent_id, level, name, geometry, note; and `<parent>:rest` for each parent whose children leave a part of it.

    Not counted as rest is what lies in a smallest unit of another parent. Raises InputError where such an id is taken.
    """
    rests = units_left(units)
    shares = rests["share"]
    own = rests[shares >= OWN_UNIT].drop(columns="share")
    if len(taken := own.loc[own["unit_id"].isin(units["unit_id"]), "unit_id"]):
        raise InputError(f"{title}: id {taken.iloc[0]!r} names the ground of its parent that no other unit holds; rename the unit")
    noted = rests[(shares >= NOISE) & (shares < OWN_UNIT)].set_index("parent_id")["note"]
    notes = [_both(note, noted.get(unit_id)) for note, unit_id in zip(units["note"], units["unit_id"], strict=True)]
    told = units.assign(note=pd.Series(notes, units.index, dtype=object))
    return pd.concat([told, own], ignore_index=True) if len(own) else told


def _both(note: str | None, more: str | None) -> str | None:
    return "; ".join(part for part in (note, more) if part) or None


def units_left(units: pd.DataFrame) -> pd.DataFrame:
    """A row for each parent that is not filled, with the `share` (of degrees squared) that is left."""
    shapes, parents = units["geometry"].to_numpy(), units["parent_id"]
    smallest = shapes[~units["unit_id"].isin(parents)]
    tree, children = shapely.STRtree(smallest), units.groupby("parent_id").indices
    rows = []
    for index in np.flatnonzero(units["unit_id"].isin(parents)):
        held = union_of(shapes[children[units["unit_id"].iloc[index]]])
        if shapely.equals_exact(held, shapes[index], normalize=True):
            continue
        left = shapely.difference(shapes[index], held)
        others = smallest[tree.query(left, predicate="intersects")]
        left = polygons_only(shapely.difference(left, shapely.union_all(others)))
        if left is not None:
            rows.append(_row(units.iloc[index], left))
    return pd.DataFrame(rows, columns=[*units.columns, "share"])


def _row(parent: pd.Series, left: Any) -> dict[str, Any]:
    share = float(shapely.area(left) / shapely.area(parent["geometry"]))
    return {
        "unit_id": f"{parent['unit_id']}:{REST}",
        "parent_id": parent["unit_id"],
        "level": parent["level"] + 1,
        "name": f"{parent['name'] or parent['unit_id']}: {REST}",
        "geometry": left,
        "note": f"{share * 100:.2g} % of {parent['unit_id']} lies in no unit inside it",
        "share": share,
    }
