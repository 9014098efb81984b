"""What the tables say of a unit on which a country sheet is written."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from udfs.indicator_rows import Period

Row = Mapping[Hashable, Any]


def shown_period(rows: pd.DataFrame, epochs: list[str]) -> Period | None:
    """Of the periods of `rows` (of `indicators`) the longest, of equally long ones the latest; None where only states are told.
    `epochs` are names by date."""
    place = {name: number for number, name in enumerate(epochs)}
    told = {Period(*pair) for pair in zip(rows["period_start"], rows["period_end"], strict=True) if pair[0] != pair[1]}
    return max(told, key=lambda one: (place[one.end] - place[one.start], place[one.end]), default=None)


def rows_by_key(rows: pd.DataFrame, period: Period) -> dict[tuple[str, str], Row]:
    """Rows of one unit and period by indicator and formula."""
    chosen = rows[(rows["period_start"] == period.start) & (rows["period_end"] == period.end)]
    return {(row["indicator"], row["formula_id"]): row for row in chosen.to_dict("records")}


class SheetUnit(NamedTuple):
    """What the tables say of a unit and of those it is made of."""

    unit: dict[str, Any]
    """Its row of `units`."""
    children: pd.DataFrame
    """Rows of `units`."""
    sums: pd.DataFrame
    """By epoch, by date, of the unit: built_m2 of the whole, valid_m2, total_m2, people, people_year; images, sensors, dates."""
    children_sums: pd.DataFrame
    """unit_id and built_m2 of the whole, of the last epoch."""
    indicators: pd.DataFrame
    """Rows of the unit and its children, of their own bounds and built-up land."""

    @property
    def name(self) -> str:
        return str(self.unit["name"] or self.unit["unit_id"])

    @property
    def rows(self) -> pd.DataFrame:
        """Of the unit itself."""
        own: pd.DataFrame = self.indicators[self.indicators["unit_id"] == self.unit["unit_id"]]
        return own

    @property
    def period(self) -> Period | None:
        return shown_period(self.rows, list(self.sums.index))

    @property
    def parts(self) -> pd.DataFrame:
        """Its children with number and built_m2, most built-up land first."""
        told = self.children.merge(self.children_sums[["unit_id", "built_m2"]], on="unit_id", how="left")
        told = told.sort_values(["built_m2", "unit_id"], ascending=[False, True], ignore_index=True)
        return told.assign(number=range(1, len(told) + 1))
