"""How often the 95 % bounds of 11.3.1 hold the truth in the units of simulated cities that no network has seen, and how wide they are
beside bounds that know how far the maps err. An hour: python -m benchmarks.bounds [FOLDER]; FOLDER keeps what was mapped."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.adaptation import BANDS, NETWORK, made_place
from jobs.tracking import tracking_uri
from models.judging import predicted_map
from models.predictor import Predictor, load_predictor
from models.registry import resolve_model
from udfs.composites import median
from udfs.indicator_rows import PAIR_COLUMNS, indicator_rows
from udfs.lcrpgr import FORMULAS, Pair
from udfs.null_reasons import Limits
from udfs.rasters import NO_DATA
from udfs.repeats import Scatter, scatter
from udfs.simulation.agenda import sentinel2_agenda
from udfs.simulation.city import plan_city
from udfs.simulation.truth import city_districts, unit_sums, unit_truth
from udfs.training_windows import clear_reflectance
from udfs.uncertainty import Errors

Doubles = NDArray[np.float64]
SEEDS, YEARS, SIDE_M = range(801, 821), range(2017, 2023), 12_800.0
PEOPLE_SD = 0.02
"""Of counts of people, drawn here and declared."""
RATIO, RATE = ("11.3.1", "un-2021"), ("11.3.1-lcr", "un-2021")
PERIODS = {"whole": [(0, len(YEARS) - 1)], "consecutive": [(k, k + 1) for k in range(len(YEARS) - 1)]}


class Units(NamedTuple):
    """Of a city's units: built-up land by the maps and in truth, m2, and people (units, years); which are the smallest (units,)."""

    mapped: Doubles
    true: Doubles
    people: Doubles
    leaf: NDArray[np.bool_]


def units_of(seed: int, predictor: Predictor) -> Units:
    """Mapped from the year's images, as job `built_up` does."""
    city = plan_city(seed, "default", SIDE_M)
    truth = [unit_truth(city, year) for year in YEARS]
    mapped = []
    for year in YEARS:
        images = [clear_reflectance(city, image.when, image.cloud_cover, BANDS) for image in sentinel2_agenda(city, year)]
        probability = predicted_map(predictor, median(images))
        valid, built = probability != NO_DATA, (probability >= predictor.spec.threshold * 250) & (probability != NO_DATA)
        mapped.append(unit_sums(city, built) / unit_sums(city, valid) * truth[0]["total_m2"].to_numpy())
    true, people = (np.stack([each[name] for each in truth], axis=1) for name in ("built_m2", "people"))
    return Units(np.stack(mapped, axis=1), true, people, city_districts(city).leaf)


def scatter_known(units: Units, periods: list[tuple[int, int]]) -> Scatter:
    """From the true errors of growth in the smallest units and in their sum, the maps' common bias apart."""
    mapped, true = units.mapped[units.leaf], units.true[units.leaf]
    unbiased = mapped * true.sum() / mapped.sum()
    start, end = (list(side) for side in zip(*periods, strict=True))
    errors = (unbiased - true)[:, end] - (unbiased - true)[:, start]
    apart, together = (errors**2).sum(), (errors.sum(axis=0) ** 2).sum()
    own, of_sums = ((part[..., start] ** 2 + part[..., end] ** 2).sum() for part in (mapped, mapped.sum(axis=0)))
    common = max(together - apart, 0.0) / (of_sums - own)
    return Scatter(float((apart - common * own) / (mapped[:, start] + mapped[:, end]).sum()), float(np.sqrt(common)))


def beside_truth(seed: int, units: Units, periods: list[tuple[int, int]]) -> pd.DataFrame:
    """A row for each unit, period and formula with a value: bounds, the truth, and the width of bounds that know the errors."""
    factors = np.random.default_rng(seed).normal(-(PEOPLE_SD**2) / 2, PEOPLE_SD, units.people.shape)
    counted = units.people * np.exp(factors)
    told = scatter(np.array(YEARS, float), units.mapped[units.leaf])
    limits, pairs = Limits(0.5, 0.05, 1.5), _pairs(str(seed), units.mapped, counted, periods)
    ours, knowing = (
        indicator_rows(pairs, limits, Errors(people_sd=PEOPLE_SD, growth=growth)) for growth in (told, scatter_known(units, periods))
    )
    keys = ["unit_id", "period_start", "indicator", "formula_id"]
    rows = ours.merge(knowing[[*keys, "lower", "upper"]], on=keys, suffixes=("", "_knowing")).dropna(subset=["value", "lower"])
    rows = rows[[key in (RATIO, RATE) for key in zip(rows.indicator, rows.formula_id, strict=True)]]
    return rows.merge(_truth(pairs, units, periods), on=keys).dropna(subset=["true"])


def _pairs(seed: str, built: Doubles, people: Doubles, periods: list[tuple[int, int]]) -> pd.DataFrame:
    rows = []
    for start, end in periods:
        ends = {"start": start, "end": end}
        for unit in range(len(built)):
            row: dict[str, Any] = {"unit_id": f"{seed}-{unit}", "years": float(end - start), "boundary": "unit", "basis": "built_up"}
            for side, k in ends.items():
                row |= {f"period_{side}": str(YEARS[k]), f"built_{side}": built[unit, k], f"valid_{side}": 1e9, f"total_{side}": 1e9}
                row |= {f"people_{side}": people[unit, k], f"people_year_{side}": str(YEARS[k]), f"year_{side}": YEARS[k] + 0.5}
            rows.append(row)
    return pd.DataFrame(rows)[list(PAIR_COLUMNS)]


def _truth(pairs: pd.DataFrame, units: Units, periods: list[tuple[int, int]]) -> pd.DataFrame:
    parts = []
    for number, (start, end) in enumerate(periods):
        years = np.full(len(units.true), float(end - start))
        pair = Pair(units.true[:, start], units.true[:, end], units.people[:, start], units.people[:, end], years)
        rows = pairs.iloc[number * len(units.true) : (number + 1) * len(units.true)]
        told = rows[["unit_id", "period_start"]]
        level = np.where(units.leaf, "smallest", "parents")
        parts += [told.assign(indicator=key[0], formula_id=key[1], true=FORMULAS[key](pair), level=level) for key in (RATIO, RATE)]
    return pd.concat(parts, ignore_index=True)


def figures_of(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By indicator and level: rows, the share that holds the truth, and our width over that of bounds that know."""
    held = rows.assign(
        holds=(rows.lower <= rows.true) & (rows.true <= rows.upper),
        wider=(rows.upper - rows.lower).astype(float) / (rows.upper_knowing - rows.lower_knowing).astype(float),
    )
    groups = {f"{name} {level}": part for (name, level), part in held.groupby(["indicator", "level"])}
    groups |= {str(name): part for name, part in held.groupby("indicator")}
    return {
        name: {
            "rows": len(part), "holds": part.holds.mean(), "wider_median": part.wider.median(), "wider_p95": part.wider.quantile(0.95),
            "wider_most": part.wider.max(),
        }
        for name, part in groups.items()
    }  # fmt: skip


def _mapped(folder: Path, seed: int, predictor: Predictor) -> Units:
    """From the folder, if it is there."""
    path = folder / f"units_{seed}.npz"
    if not path.exists():
        np.savez(path, **units_of(seed, predictor)._asdict())
    with np.load(path) as kept:
        return Units(**kept)


def main(folder: Path) -> None:
    """Prints figures of all periods as JSON."""
    with tempfile.TemporaryDirectory() as store:
        pin = resolve_model(f"models:/{NETWORK}@champion", tracking_uri(made_place(Path(store))))
        predictor = load_predictor(pin.path, pin.sha256)
    cities = {seed: _mapped(folder, seed, predictor) for seed in SEEDS}
    for name, periods in PERIODS.items():
        rows = pd.concat([beside_truth(seed, units, periods) for seed, units in cities.items()], ignore_index=True)
        print(json.dumps({name: figures_of(rows)}, indent=1, default=lambda value: round(float(value), 4)), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept_nowhere:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else kept_nowhere))
