"""Training on image series: windows become series, crops keep images and labels together, a course learns, repeats and goes on."""

import datetime as dt
import hashlib
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from conf.errors import InputError
from models import course as courses
from models.augmentation import Augmentation, Normaliser
from models.bundle import Beside, ModelSpec, read_spec, write_bundle
from models.course import Course, Machine
from models.predictor import ModelError, predictor_of
from models.series import series_of
from models.series_crops import Seen, SeriesCrops, SeriesDraw, draw_series_crops
from models.series_fitting import Fitted, fit_series
from models.series_predictor import load_series_predictor, series_predictor_of
from models.series_states import needed_edges
from models.series_training import series_agreement, series_loss
from models.windows import Window

torch.set_num_threads(1)
SHAPE = {"in_channels": 2, "widths": [8, 8], "decoder": [8], "dilation": 1, "fold": 1}
ARCHITECTURE = {"kind": "series", **SHAPE, "hidden": [8, 8], "heads": 2, "layers": 1}
NORMAL = {"offset": [0.3, 0.3], "scale": [0.1, 0.1], "clip": 8.0}
SPEC = ModelSpec("tiny", "l", ("R", "G"), ("sentinel2_l2a",), (8, 20), "reflectance", 64, 16, 0.5, ARCHITECTURE, NORMAL)
COURSE = Course(steps=60, batch=2, side=48, learning_rate=0.01, looks=2, half=False, keep="last")
PLAIN = Seen(40, Normaliser([0.0, 0.0], [1.0, 1.0], 10.0), Augmentation(), SeriesDraw(least_dates=2, most_dates=5, missing=0.0))


def windows_of(split: str, seed: int, dates: int = 6) -> list[Window]:
    """A town that grows in blocks, bright in the first band; no data in a corner."""
    random = np.random.default_rng(seed)
    order = random.integers(0, 9, (12, 12))
    found = []
    for date in range(dates):
        built = np.kron(order <= date / 1.5, np.ones((8, 8))) > 0
        values = np.stack([np.where(built, 0.45, 0.15), np.full(built.shape, 0.3)]) + random.normal(0, 0.03, (2, *built.shape))
        values[:, :5, :9] = np.nan
        labels, weights = np.where(built, 250, 0).astype(np.uint8), np.where(np.isnan(values[0]), 0, 10).astype(np.uint8)
        name, day = f"{split} {seed}", f"{2015 + date}-07-01"
        found.append(Window(f"{name} {date}", split, 1.0, values.astype(np.float16), labels, weights, "", name, day))
    return found


SERIES = series_of([*windows_of("train", 1), *windows_of("train", 2), *windows_of("choose", 3)])


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_series(SPEC, SERIES, COURSE, SeriesDraw(), "best_f1", lambda text: None)


def test_windows_of_one_ground_are_a_series_by_date() -> None:
    windows = windows_of("train", 1)
    (series,) = series_of(windows[::-1])
    assert series.dates == [dt.date(2015 + date, 7, 1) for date in range(6)]
    np.testing.assert_array_equal(series.labels, np.stack([window.labels for window in windows]))
    with pytest.raises(InputError, match="window train 1 0: series are made of windows with ground and date"):
        series_of([windows[0]._replace(date="")])
    with pytest.raises(InputError, match="2 windows, 1 dates"):
        series_of([windows[0], windows[1]._replace(date=windows[0].date)])


def test_crops_turn_all_dates_as_one_and_teach_only_what_they_show() -> None:
    shown = PLAIN._replace(draw=replace(PLAIN.draw, missing=0.4))
    crops = draw_series_crops(SERIES[:2], 12, shown, np.random.default_rng(4))
    sure = crops.weights > 0
    assert crops.images.shape[:2] == crops.days.shape == (12, crops.labels.shape[1]) and 2 <= crops.days.shape[1] <= 5
    assert ((crops.images[:, :, 0] > 0.3) == (crops.labels > 0.5))[sure].float().mean() > 0.99
    missing = (crops.images == 0).all(2)
    assert missing.any() and not sure[missing].any()
    assert (crops.days.diff(dim=1) > 300).all()
    built = torch.where(sure, crops.labels, torch.nan)
    assert not (built[:, 1:] < built[:, :-1]).any(), "what is built stays built in these towns, however they are turned"


def test_some_dates_lie_a_pixel_beside_their_labels() -> None:
    (series,) = series_of(windows_of("train", 5))
    moved = PLAIN._replace(draw=replace(PLAIN.draw, shifted=1.0))
    crops = draw_series_crops([series], 12, moved, np.random.default_rng(4))
    built, labels = crops.images[:, :, 0] > 0.3, crops.labels > 0.5
    offsets = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    inner = np.s_[2:-2, 2:-2]
    found = set()
    for image, label, weight in zip(built.flatten(0, 1), labels.flatten(0, 1), crops.weights.flatten(0, 1), strict=True):
        sure = (weight > 0)[inner]
        agree = [(image.roll(by, (0, 1))[inner] == label[inner])[sure].float().mean() for by in offsets]
        found.add(offsets[int(np.argmax(agree))])
        assert max(agree) > 0.98
    assert len(found) > 5


def test_the_loss_of_a_change_by_hand() -> None:
    labels = torch.tensor([[0.0, 1.0, 1.0]]).reshape(1, 3, 1, 1)
    crops = SeriesCrops(
        torch.zeros(1, 3, 2, 1, 1), torch.zeros(1, 3), labels, torch.tensor([1.0, 1.0, 0.0]).reshape(1, 3, 1, 1), torch.ones(1)
    )
    states, changes = torch.tensor([0.2, 0.3, 9.0]).reshape(1, 3, 1, 1), torch.tensor([0.7, 9.0]).reshape(1, 2, 1, 1)
    p, q, c = (1 / (1 + np.exp(-value)) for value in (0.2, 0.3, 0.7))
    by_hand = (1 - q / (p * p + q * q + 1 - q)) + (1 - c / (c * c + 1 - c))
    assert float(series_loss(states, changes, crops, [(0, 1), (1, 2)], 1.0)) == pytest.approx(by_hand, abs=1e-5)
    only_changes = crops._replace(states=torch.zeros(1))
    assert float(series_loss(states, changes, only_changes, [(0, 1), (1, 2)], 1.0)) == pytest.approx(1 - c / (c * c + 1 - c), abs=1e-5)


def test_a_course_learns_and_repeats(fitted: Fitted) -> None:
    assert fitted.figures["change_f1"] > 0.95 and fitted.figures["f1"] > 0.95
    assert fitted.figures["series_date_error_days"] == 0
    assert fitted.figures["changed_percent"] < 0.01
    again = fit_series(SPEC, SERIES, COURSE, SeriesDraw(), "best_f1", lambda text: None)
    assert all(np.array_equal(fitted.tensors[name], again.tensors[name]) for name in fitted.tensors)
    assert fitted.spec == again.spec


def test_some_crops_run_backwards_as_far_apart() -> None:
    """What only grows in these towns only vanishes then."""
    (series,) = series_of(windows_of("train", 1))
    uneven = series._replace(days=series.days + np.array([0, 40, 90, 0, 0, 0]))
    shown = PLAIN._replace(draw=SeriesDraw(least_dates=6, most_dates=6, missing=0.0, backwards=0.5))
    crops = draw_series_crops([uneven], 20, shown, np.random.default_rng(2))
    sure = crops.weights.min(1).values > 0
    grows, fades = (((sign * crops.labels.diff(dim=1)).clamp(min=0) * sure[:, None]).flatten(1).sum(1) for sign in (1, -1))
    back = fades > 0
    assert 4 < back.sum() < 16 and not (grows[back] > 0).any()
    steps = torch.from_numpy(np.diff(uneven.days).astype(np.float32))
    for one, reverse in zip(crops.days, back, strict=True):
        assert torch.equal(one.diff(), steps.flip(0) if reverse else steps)
    seen = (crops.images[:, :, 0] > 0.3) == (crops.labels > 0.5)
    assert seen[crops.weights > 0].float().mean() > 0.99


TWO = Augmentation(beside=1)


def test_some_crops_do_without_one_of_two_sensors_at_all_dates() -> None:
    shown = PLAIN._replace(change=TWO, draw=replace(PLAIN.draw, withheld=0.3))
    random = np.random.default_rng(6)
    crops = [draw_series_crops(SERIES[:2], 1, shown, random) for _ in range(60)]
    gone = np.array([[bool((each.images[:, :, channel] == 0).all()) for channel in (0, 1)] for each in crops])
    assert 9 < gone[:, 0].sum() < 28 and 9 < gone[:, 1].sum() < 28 and not gone.all(1).any()
    assert all(each.weights.any() for each in crops), "what the other sensor shows still teaches"


def test_agreement_is_nothing_where_sensors_say_the_same_and_counts_where_both_see() -> None:
    class Said(torch.nn.Module):
        """States as the sum of channels, changes as those of the later date."""

        def forward(self, images, days, edges):
            states = images.sum(2)
            return states, torch.stack([states[:, second] for _, second in edges], 1)

    images = torch.zeros(1, 3, 2, 4, 4)
    images[:, :, :, :2] = 20.0
    crops = SeriesCrops(images, torch.arange(3.0)[None], torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1))
    assert float(series_agreement(Said(), crops, 1)) < 1e-3
    images[:, :, 1] = -20.0
    images[:, :, 0] = 30.0
    p = 1 / (1 + np.exp(-np.array([30.0, -20.0])))
    both = 1 / (1 + np.exp(-10.0))
    by_hand = np.mean([1 - value * both / (value**2 + both**2 - value * both) for value in p])
    assert float(series_agreement(Said(), crops, 1)) == pytest.approx(by_hand, abs=1e-3)


def test_sensors_learn_to_agree_on_series_without_labels() -> None:
    unlabelled = [each._replace(split="unlabelled", weights=np.zeros_like(each.weights)) for each in series_of(windows_of("train", 9))]
    apart = []
    for weight in (0.0, 2.0):
        course = replace(COURSE, consistency=weight, augmentation=TWO)
        spec = replace(SPEC, bands=("R",), beside=Beside(("sentinel1_grd",), ("VV",)))
        tensors = fit_series(spec, [*SERIES, *unlabelled], course, SeriesDraw(withheld=0.2), "best_f1", lambda text: None).tensors
        network = series_predictor_of(SPEC, tensors).network
        crops = draw_series_crops(unlabelled, 4, Seen(40, Normaliser(**NORMAL), TWO, SeriesDraw()), np.random.default_rng(1))
        with torch.no_grad():
            apart.append(float(series_agreement(network, crops, 1)))
    assert apart[1] < apart[0]
    with pytest.raises(ValueError, match=r"consistency 2\.0 of one sensor: give augmentation\.beside"):
        fit_series(SPEC, SERIES, replace(course, augmentation=Augmentation()), SeriesDraw(), "best_f1", lambda text: None)


class Cut(Exception):
    """What cuts a course off."""


def test_a_course_that_is_cut_off_goes_on_to_the_same_bytes(fitted: Fitted, tmp_path, monkeypatch) -> None:
    steps, step = [], courses._step
    machine = Machine(checkpoints=tmp_path, seconds=0)

    def cut(*values):
        steps.append(1)
        if len(steps) == 37:
            raise Cut
        return step(*values)

    monkeypatch.setattr(courses, "_step", cut)
    with pytest.raises(Cut):
        fit_series(SPEC, SERIES, COURSE, SeriesDraw(), "best_f1", lambda text: None, machine=machine)
    resumed = fit_series(SPEC, SERIES, COURSE, SeriesDraw(), "best_f1", lambda text: None, machine=machine)
    assert len(steps) == 61
    assert all(np.array_equal(fitted.tensors[name], resumed.tensors[name]) for name in fitted.tensors)


def test_a_bundle_gives_what_was_fitted_and_nothing_else_loads_it(fitted: Fitted, tmp_path) -> None:
    path = tmp_path / "series.safetensors"
    write_bundle(path, fitted.spec, fitted.tensors)
    assert read_spec(path) == fitted.spec and read_spec(path).of_series
    predictor = load_series_predictor(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    series = SERIES[0]
    windows = np.full((6, 2, 96, 96), np.nan, np.float32)
    windows[:] = series.values[:, :, :96, :96]
    states, changes = predictor.predict(windows, series.days, [(0, 1), (0, 5)])
    truth = series.labels[:, 16:80, 16:80] >= 125
    assert ((states >= 250 * fitted.spec.threshold) == truth).mean() > 0.97
    assert ((changes >= 125) == (truth[[1, 5]] != truth[[0, 0]])).mean() > 0.97
    with pytest.raises(ModelError, match="takes 2 bands of 96 pixels"):
        predictor.predict(windows[:, :, :64], series.days, [])
    with pytest.raises(InputError, match="sees image series; name it as layers"):
        predictor_of(fitted.spec, fitted.tensors)
    with pytest.raises(InputError, match=r"tensor head\.bias has shape None"):
        series_predictor_of(fitted.spec, {name: value for name, value in fitted.tensors.items() if name != "head.bias"})


def test_needed_edges_are_those_between_dates_that_show_a_pixel_in_turn() -> None:
    seen = np.random.default_rng(2).random((5, 4, 7)) < 0.4
    expected = {
        (first, second)
        for first, second in combinations(range(5), 2)
        if (seen[first] & seen[second] & ~seen[first + 1 : second].any(0)).any()
    }
    assert needed_edges(seen) == sorted(expected) and (0, 2) in expected
    assert needed_edges(np.zeros((3, 2, 2), bool)) == []
