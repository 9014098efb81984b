"""Training: losses by hand, crops keep image and label together, a course repeats, self-training adds sure labels only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import course as courses
from models import training
from models.augmentation import Augmentation, Normaliser, draw_crops
from models.course import Course, Machine
from models.fitting import Teaching, fit, pseudo_labelled
from models.losses import power_jaccard, segmentation_loss
from models.networks import build_network
from models.streaming import WindowStream
from models.thresholds import region_thresholds
from models.training import train
from models.windows import Window
from tests.models.conftest import TINY
from tests.models.test_streaming import write_tiles

torch.set_num_threads(1)
PLAIN = Normaliser([0.0, 0.0], [1.0, 1.0], 10.0)


def window_of(split="train", seed=1, side=72):
    """Built where the first band is bright; no data and no label in a corner."""
    random = np.random.default_rng(seed)
    built = np.kron(random.random((side // 8, side // 8)) < 0.4, np.ones((8, 8))) > 0
    values = np.stack([np.where(built, 0.45, 0.15), random.normal(0.3, 0.05, built.shape)]).astype(np.float16)
    values[:, :6, :9] = np.nan
    weights = np.where(np.isnan(values[0]), 0, 10).astype(np.uint8)
    return Window(f"{split} {seed}", split, 1.0, values, np.where(built, 250, 0).astype(np.uint8), weights)


def test_power_jaccard_by_hand_and_unlabelled_pixels_do_not_count():
    p, y = torch.tensor([0.8, 0.3, 0.9]), torch.tensor([1.0, 0.0, 0.0])
    weights = torch.tensor([1.0, 1.0, 0.0])
    assert float(power_jaccard(p, y, weights)) == pytest.approx(1 - 0.8 / (0.64 + 0.09 + 1 - 0.8), abs=1e-5)
    logits = torch.tensor([2.0, -1.0, 5.0])
    assert float(segmentation_loss(logits, y, weights, 0.4)) == pytest.approx(float(segmentation_loss(logits[:2], y[:2], weights[:2], 0.4)))


@pytest.mark.parametrize("change", [Augmentation(), Augmentation(turn=True, scale=(0.8, 1.3))])
def test_crops_turn_image_and_label_together(change):
    images, labels, weights = draw_crops([window_of()], 16, 40, PLAIN, change, np.random.default_rng(2))
    sure = (weights > 0.99) & ((labels < 0.02) | (labels > 0.98))
    assert sure.float().mean() > 0.4
    bright = images[:, :1] > 0.3
    assert (bright == (labels > 0.5))[sure].float().mean() > 0.995
    assert not images[weights.expand_as(images) == 0].any()


def test_light_changes_the_image_and_never_the_label():
    change = Augmentation(gain=0.2, band_gain=0.1, offset=0.1, noise=0.05, blur=1.0, haze=0.3, gamma=0.2, holes=1.0)
    before, after = (draw_crops([window_of()], 4, 48, PLAIN, item, np.random.default_rng(2)) for item in (Augmentation(), change))
    assert not torch.equal(before.images, after.images)
    assert torch.equal(before.labels[0], after.labels[0])


def test_snow_hides_what_is_under_it():
    snowy = Augmentation(snow=1.0, snow_reflectance=(0.9, 0.1))
    plain, change = (draw_crops([window_of(side=200)], 6, 96, PLAIN, item, np.random.default_rng(4)) for item in (Augmentation(), snowy))
    again = draw_crops([window_of(side=200)], 6, 96, PLAIN, snowy, np.random.default_rng(4))
    assert all(torch.equal(one, other) for one, other in zip(change, again, strict=True))
    snow = change.images[:, 0] - change.images[:, 1]
    white, hidden = snow > 0.5, (change.weights[:, 0] == 0) & (change.images[:, 0] != 0)
    assert 0.1 < white.float().mean() < 0.95
    assert hidden.any()
    assert (change.labels[:, 0][hidden] > 0).all()  # what is built under snow is not known, open ground stays open ground
    assert plain.images[:, 0].max() < change.images[:, 0].max() <= 0.9 * 1.3**0.8
    with pytest.raises(ValueError, match="reflectance of snow in each band"):
        Augmentation(snow=0.1)


def test_a_course_learns_and_repeats():
    windows = [window_of(), window_of(seed=2), window_of("choose", 3), window_of("unlabelled", 4)]
    course = Course(steps=40, batch=4, side=48, learning_rate=0.02, looks=2, half=False)
    first, second = (fit(TINY, windows, course, Teaching(1, 10), "equal_area", lambda text: None) for _ in range(2))
    assert first.figures["f1"] > 0.9
    assert 0.8 < first.figures["area_ratio"] < 1.2
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert first.spec.threshold == second.spec.threshold != TINY.threshold


class Cut(Exception):
    """What cuts a course off."""


@pytest.mark.parametrize("at", [11, 34])
def test_a_course_that_is_cut_off_goes_on_to_the_same_bytes(at, tmp_path, monkeypatch):
    """In its first course, and in its third, which learns from what the second one said."""
    windows = [window_of(), window_of(seed=2), window_of("choose", 3), window_of("unlabelled", 4)]
    course = Course(steps=24, batch=4, side=48, learning_rate=0.02, looks=3, half=False, augmentation=Augmentation(noise=0.05))
    given = (TINY, windows, course, Teaching(2, 9), "equal_area", lambda text: None)
    whole = fit(*given)
    machine = Machine(checkpoints=tmp_path / "kept", seconds=0)
    steps, step = [], courses._step

    def cut(*values):
        steps.append(1)
        if len(steps) == at:
            raise Cut
        return step(*values)

    monkeypatch.setattr(courses, "_step", cut)
    with pytest.raises(Cut):
        fit(*given, machine=machine)
    resumed = fit(*given, machine=replace(machine, ahead=3))
    assert len(steps) == 24 + 18 + 1
    assert all(np.array_equal(whole.tensors[name], resumed.tensors[name]) for name in whole.tensors)
    assert whole.spec == resumed.spec and whole.looks == resumed.looks
    assert [look.step for look in whole.looks] == [8, 16, 24, 27, 30, 33, 36, 39, 42]
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {f"{course}.safetensors" for course in (1, 2, 3)}


def test_a_course_on_a_stream_goes_on_where_it_was_in_it(tmp_path, monkeypatch):
    paths = write_tiles(tmp_path)
    course = Course(steps=6, batch=2, side=32, looks=1, half=False, fresh=2)
    choosing = [window_of("choose")]
    seen = []

    def learn(steps, folder, ahead=0):
        stream = WindowStream(paths, "train", "ab", 3, 5)
        network = build_network(TINY.architecture, 1)
        machine = Machine(checkpoints=tmp_path / folder, seconds=0, ahead=ahead)
        return train(network, choosing, PLAIN, replace(course, steps=steps), lambda text: None, stream, machine).network

    draw = training.draw_crops
    monkeypatch.setattr(training, "draw_crops", lambda drawn, *rest: seen.append([w.source for w in drawn]) or draw(drawn, *rest))
    whole = learn(6, "whole")
    learn(4, "cut")
    learn(6, "cut")
    assert seen[:6] == seen[6:] and seen[3] != seen[4]
    drawn_ahead = learn(6, "ahead", 2)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), drawn_ahead.parameters(), strict=True))


def test_a_course_ends_when_looks_bring_nothing_more(monkeypatch):
    course = Course(steps=400, batch=2, side=32, looks=40, half=False, patience=3)
    scores = iter([0.1, 0.4, float("nan"), 0.4, 0.2, 0.9])
    monkeypatch.setattr(training.ImageLesson, "judge", lambda *given: (next(scores), 0.5))
    trained = train(build_network(TINY.architecture, 1), [window_of()], PLAIN, course, lambda text: None)
    assert (trained.steps, len(trained.looks)) == (50, 5)  # 0.4 comes twice: no gain, and the earlier one is kept


def test_regions_with_enough_ground_have_thresholds_between_their_own_and_that_of_all():
    random = np.random.default_rng(1)
    sizes = {"wide": 64 * 64**2, "small": 20 * 64**2, "tiny": 2 * 64**2, "bare": 30 * 64**2}
    probabilities = [random.random(size) for size in sizes.values()]
    shares = {"wide": 0.8, "small": 0.8, "tiny": 0.8, "bare": 2.0}
    labels = [values >= shares[name] for name, values in zip(sizes, probabilities, strict=True)]
    found = region_thresholds(probabilities, labels, list(sizes), "equal_area", 0.4)
    assert found == {"wide": pytest.approx((0.8 + 0.4) / 2, abs=0.01), "small": pytest.approx((20 * 0.8 + 64 * 0.4) / 84, abs=0.01)}


def test_the_last_network_is_kept_where_choosing_ground_would_mislead():
    misleading = window_of("choose", 3)
    windows = [window_of(), misleading._replace(labels=250 - misleading.labels)]
    course = Course(steps=40, batch=4, side=48, learning_rate=0.02, looks=8, half=False)
    best, last = (fit(TINY, windows, replace(course, keep=keep), Teaching(), "half", lambda text: None) for keep in ("best", "last"))
    assert last.figures["f1"] < best.figures["f1"] - 0.05
    with pytest.raises(ValueError, match="use best or last"):
        replace(course, keep="first")


def test_answers_become_labels_where_they_are_sure_or_doubtful_rules_say_the_same_firm_rules_yield_to_sure_answers_alone():
    window = window_of("unlabelled")._replace(labels=np.zeros((72, 72), np.uint8))
    window.weights[:] = 0
    doubtful_built, doubtful_other, firm_built, firm_other, sure = (np.s_[top : top + 8] for top in (10, 20, 30, 40, 50))
    window.labels[doubtful_built], window.labels[firm_built] = 250, 250
    for rows, weight in ((doubtful_built, 5), (doubtful_other, 5), (firm_built, 10), (firm_other, 10), (sure, 20)):
        window.weights[rows] = weight

    class Thirds(torch.nn.Module):
        """0.95 in the west, 0.38 in the middle, 0.05 in the east."""

        def forward(self, images):
            return torch.tensor([3.0, -0.5, -3.0]).repeat_interleave(32)[None, None, None].expand(len(images), 1, 96, 96)[..., :96]

    teaching = Teaching(1, 1, 0.8, 0.2, ruled_built_from=0.3, ruled_other_to=0.4)
    taught, same = pseudo_labelled(Thirds(), [window, window_of()], PLAIN, teaching)
    assert taught.split == "train" and np.array_equal(same.labels, window_of().labels)
    west, middle, east = (np.s_[left : left + 8] for left in (20, 40, 64))
    told = {name: [(int(taught.labels[rows, cols].max()), int(taught.weights[rows, cols].min())) for cols in (west, middle, east)]
            for name, rows in (("none", np.s_[60:70]), ("built?", doubtful_built), ("other?", doubtful_other), ("built", firm_built),
                               ("other", firm_other), ("sure", sure))}  # fmt: skip
    yes, no, open_ = (250, 10), (0, 10), (0, 0)
    assert told == {"none": [yes, open_, no], "built?": [yes, yes, no], "other?": [yes, no, no], "built": [yes, yes, no],
                    "other": [yes, no, no], "sure": [(0, 20)] * 3}  # fmt: skip
    assert not taught.weights[:6, :9].any()
    with pytest.raises(ValueError, match="give both"):
        Teaching(steps=600)


def test_dates_of_one_ground_are_told_by_their_mean():
    """What only one date shows is not built; where one date has no data, nothing is told."""
    spring, autumn = (window_of("unlabelled")._replace(values=np.zeros((2, 72, 72), np.float16), ground="hill") for _ in range(2))
    spring.values[0, :40], autumn.values[0, :20] = 3, 3
    autumn.values[:, 60:] = np.nan
    plain = [window._replace(labels=np.zeros((72, 72), np.uint8), weights=np.zeros((72, 72), np.uint8)) for window in (spring, autumn)]

    class First(torch.nn.Module):
        """0.95 where the first band is 3, 0.02 where it is 0."""

        def forward(self, images):
            return 2.3 * images[:, :1] - 4

    for taught in pseudo_labelled(First(), plain, PLAIN, Teaching(1, 1, 0.8, 0.2)):
        known, built = np.zeros((72, 72), bool), np.zeros((72, 72), bool)
        known[:20], known[40:60], built[:20] = True, True, True
        assert np.array_equal(taught.weights > 0, known)
        assert np.array_equal(taught.labels[known] == 250, built[known])
