"""The yardstick of change: a bi-temporal network of the same encoder and decoders, to which dates tell nothing of each other."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import nn

from conf.rasters import ONE
from conf.windows import CHOOSE
from models.bundle import ModelSpec
from models.change_integration import edges_of
from models.change_metrics import shown_changes
from models.course import Course
from models.fitting import normaliser
from models.metrics import threshold_of_best_f1
from models.predictor import Predictor
from models.series import ImageSeries
from models.series_crops import SeriesDraw
from models.series_fitting import fit_series
from models.series_judging import Answer, of_pairs, of_states, states_alone
from models.series_predictor import series_predictor_of
from models.series_training import Said, predicted_series

HALF = 0.5


class Bitemporal(NamedTuple):
    """A network of pairs, and from which probability changes count; states do from HALF on."""

    spec: ModelSpec
    network: nn.Module
    change_threshold: float

    def answers(self, series: ImageSeries) -> dict[str, Answer]:
        """`pairs`: what it says of every two dates that show a pixel in turn, and of the first and the last; `pairs_states`: what its
        states differ in."""
        said, seen = self._said(series), series.known
        return {"pairs": of_pairs(said, seen, self.change_threshold), "pairs_states": of_states(states_alone(said, HALF), seen)}

    def _said(self, series: ImageSeries) -> Said:
        return predicted_series(self.network, series, normaliser(self.spec), edges_of("dense", len(series.days)))


def train_bitemporal(
    spec: ModelSpec, series: list[ImageSeries], course: Course, draw: SeriesDraw, start: Predictor | None, report: Callable[[str], None]
) -> Bitemporal:
    """On pairs of dates of the same series, for as many steps; the threshold of changes has the best F1 on the choosing series."""
    paired = replace(spec, architecture={**spec.architecture, "layers": 0, "frozen": False})
    two = replace(draw, least_dates=2, most_dates=2)
    fitted = fit_series(paired, series, course, two, "best_f1", report, start)
    network = series_predictor_of(fitted.spec, fitted.tensors).network
    found, labels = [], []
    for each in (one for one in series if one.split == CHOOSE):
        changed, told = shown_changes(each.built, each.known)
        said = predicted_series(network, each, normaliser(spec), edges_of("adjacent", len(each.days)))
        found.append(said.changes[told] / ONE)
        labels.append(changed[told])
    return Bitemporal(fitted.spec, network, threshold_of_best_f1(np.concatenate(found), np.concatenate(labels)))
