"""Boulder 1950-1990: real footprints with their true years, shown as a satellite of today would have seen them, every other year; how
well the series tells how much was built when. Run: python -m benchmarks.boulder MODEL FOLDER; MODEL: a bundle of series; a picture."""

import datetime as dt
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyogrio
import shapely
import torch
from numpy.typing import NDArray

from conf.rasters import NO_DATA, ONE
from models.bundle import read_spec, read_tensors
from models.change_integration import Rule
from models.fitting import normaliser
from models.predictor import load_predictor
from models.registry import shipped_models
from models.series import ImageSeries
from models.series_fitting import calibrated_series
from models.series_predictor import series_predictor_of
from models.series_states import BUILT_FROM, USUAL, Steadiness, Told, series_of_maps
from models.series_teaching import maps_of
from models.series_training import predicted_series
from udfs.composites import median
from udfs.simulation.city import NO_BUILDING, City, Shapes, plan_city
from udfs.simulation.growth import FOREVER, Standing
from udfs.simulation.land import built_label
from udfs.training_windows import clear_reflectance

SEED, LOOK, SIZE_M = 90, "temperate", 7_040.0
ALWAYS = -9999
"""Year of what was there before anything was built."""
YEARS = tuple(range(1950, 1991, 2))
DECADES = (1950, 1960, 1970, 1980, 1990)
HELD = USUAL._replace(rule=Rule(monotone=True))
Mask = NDArray[np.bool_]


def main(model: str, folder: Path) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    city = boulder(Path(os.environ["URBANTRACE_DATA"]) / "boulder" / "buildings_to_1990.gpkg")
    series = seen(city)
    truth = np.asarray(series.labels > 0)
    ways = {"series": by_series(model, series), "maps integrated": by_maps(series, HELD), "maps": by_maps(series, None)}
    print(json.dumps({name: figures(states, truth) for name, states in ways.items()}, indent=1))
    draw(ways["series"], truth, folder / "boulder.png")


def boulder(path: Path) -> City:
    """The footprints on the open country of a simulated city; roofs, heights and shades are those of its houses."""
    base = plan_city(SEED, LOOK, SIZE_M, YEARS[0], YEARS[-1])
    frame = pyogrio.read_dataframe(path).to_crs("EPSG:32613")
    west, south, east, north = frame.total_bounds
    corner = np.array([(west + east - SIZE_M) / 2, (south + north - SIZE_M) / 2])
    local = shapely.transform(frame.geometry.to_numpy(), lambda points: points - corner)
    picked = np.random.default_rng(SEED).integers(0, len(base.footprints), len(local))
    years, forever = frame["year_built"].to_numpy(np.int16), np.full(len(local), FOREVER, np.int16)
    country = np.flatnonzero((base.shapes.building == NO_BUILDING) & (base.shapes.built == ALWAYS))
    houses = np.flatnonzero(base.shapes.building != NO_BUILDING)[picked]
    columns = {
        "geometry": local, "built": years, "gone": forever, "building": np.arange(len(local), dtype=np.int32),
        "cover": base.shapes.cover[houses], "shade": base.shapes.shade[houses],
    }  # fmt: skip
    shapes = Shapes(**{name: np.concatenate([getattr(base.shapes, name)[country], values]) for name, values in columns.items()})
    wild = base.trees.built == ALWAYS
    trees = replace(base.trees, centre=base.trees.centre[wild], radius=base.trees.radius[wild], built=base.trees.built[wild])
    return replace(
        base, shapes=shapes, footprints=local, standing=Standing(base.standing.plots.chosen(picked), years, forever), trees=trees
    )


def seen(city: City) -> ImageSeries:
    """Of each year the median of three cloudy dates; labels are the built share of a half or more."""
    spec = read_spec(shipped_models()["built_up_10m"].path)
    values, labels = [], []
    for year in YEARS:
        days = [dt.date(year, month, 5 + year % 20) for month in (4, 7, 10)]
        values.append(median([clear_reflectance(city, day, 0.1, spec.bands) for day in days]))
        labels.append(built_label(city, year, 10.0))
    days_of = np.array([dt.date(year, 7, 1).toordinal() for year in YEARS])
    built = np.stack(labels).astype(np.uint8) * np.uint8(250)
    return ImageSeries("boulder", "judge", 1.0, days_of, np.stack(values).astype(np.float16), built, np.full(built.shape, 10, np.uint8))


def by_series(model: str, series: ImageSeries) -> Mask:
    spec = read_spec(model)
    predictor = series_predictor_of(spec, read_tensors(Path(model).read_bytes(), model))
    said = calibrated_series(predicted_series(predictor.network, series, normaliser(spec)), spec.calibration, spec.change)
    thresholds = [round(spec.threshold * ONE)] * len(YEARS)
    return filled(series_of_maps(said.states, thresholds, series.dates, HELD, Told(said.edges, said.changes, spec.change["weight"])).values)


def by_maps(series: ImageSeries, held: Steadiness | None) -> Mask:
    """Of the shipped network of single images; without `held` each date by itself."""
    pin = shipped_models()["built_up_10m"]
    predictor = load_predictor(pin.path, pin.sha256)
    maps = maps_of(predictor, series)
    threshold = round(predictor.spec.threshold * ONE)
    if held is None:
        return filled(np.where(maps == NO_DATA, NO_DATA, np.where(maps >= threshold, ONE, 0)).astype(np.uint8))
    return filled(series_of_maps(maps, [threshold] * len(YEARS), series.dates, held).values)


def filled(values: NDArray[np.uint8]) -> Mask:
    """States; what a date does not show is as at the date before."""
    states = np.zeros(values.shape, bool)
    for date, one in enumerate(values):
        states[date] = np.where(one == NO_DATA, states[date - 1] if date else False, one >= BUILT_FROM)
    return states


def figures(states: Mask, truth: Mask) -> dict[str, Any]:
    """Built area by decade, km2, over the true one; whether it ever falls; the median error of the year of pixels built in both."""
    at = [YEARS.index(year) for year in DECADES]
    area, known = states.sum((1, 2)) / 1e4, truth.sum((1, 2)) / 1e4
    later = states[-1] & truth[-1] & ~states[0] & ~truth[0]
    error = np.abs(first_year(states)[later] - first_year(truth)[later])
    ratios = {str(DECADES[number]): round(float(area[date] / known[date]), 3) for number, date in enumerate(at)}
    return {"true km2": [round(float(known[date]), 3) for date in at], "ratio": ratios, "monotone": bool((np.diff(area) >= 0).all()),
            "median year error": float(np.median(error)), "mean year error": float(error.mean())}  # fmt: skip


def first_year(states: Mask) -> NDArray[np.int64]:
    return np.asarray(YEARS)[states.argmax(0)]


def draw(states: Mask, truth: Mask, path: Path) -> None:
    """First years, true and found, and the two curves."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5.5))
    for axis, one, title in ((left, truth, "built by, true"), (middle, states, "built by, found")):
        shown = np.where(one.any(0), first_year(one), np.nan)
        image = axis.imshow(shown, cmap="viridis", vmin=YEARS[0], vmax=YEARS[-1])
        axis.set_title(title)
        axis.set_axis_off()
    figure.colorbar(image, ax=[left, middle], shrink=0.7)
    for one, name in ((truth, "true"), (states, "found")):
        right.plot(YEARS, one.sum((1, 2)) / 1e4, label=name)
    right.set_xlabel("year")
    right.set_ylabel("built-up at 10 m, km2")
    right.legend()
    figure.savefig(path, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
