"""One network against another on the same ground: by region, paired, with bounds."""

import numpy as np
import pytest

from models.comparing import Maps, compared
from models.judging import Judged, grouped_calibration, grouped_figures, own_threshold_figures, worst_squares
from models.metrics import bootstrap_difference, bootstrap_f1
from models.windows import Window, region_of


def windows(flip: tuple[float, float], seed: int) -> list[Judged]:
    """Two windows of 256 x 256; a network that errs in `flip` of the pixels of the first and of the second."""
    truth = [np.random.default_rng(number).random((256, 256)) < 0.3 for number in range(2)]
    random = np.random.default_rng(seed)
    found = [np.where(random.random(each.shape) < share, ~each, each) for each, share in zip(truth, flip, strict=True)]
    valid = np.ones((256, 256), bool)
    return [Judged((200 * each).astype(np.uint8), known, valid) for each, known in zip(found, truth, strict=True)]


def test_a_region_where_the_challenger_is_worse_shows_though_it_is_better_in_all() -> None:
    champion, challenger = Maps(windows((0.30, 0.10), 1), 0.5), Maps(windows((0.02, 0.14), 2), 0.5)
    groups = {"region": ["africa", "asia"], "sensor": ["", "rgb"]}
    africa, asia, rgb, everywhere = compared(champion, challenger, groups, 3)
    assert [each.title for each in (africa, asia, rgb, everywhere)] == ["region africa", "region asia", "sensor rgb", "all"]
    assert rgb.difference == asia.difference  # the one window that tells its sensor
    assert africa.difference.lower > 0 and not africa.is_worse
    assert asia.difference.upper < 0 and asia.is_worse
    assert everywhere.difference.lower > 0 and not everywhere.is_worse
    assert asia.difference.value == pytest.approx(asia.challenger.value - asia.champion.value)


def test_a_network_against_itself_differs_by_nothing_and_pairs_bind_tighter_than_two_intervals() -> None:
    maps = Maps(windows((0.1, 0.1), 1), 0.5)
    (_, itself) = compared(maps, maps, {"region": ["a", "a"]}, 3)
    assert itself.difference == (0, 0, 0) and not itself.is_worse
    counts = np.random.default_rng(5).integers(1, 200, (60, 3))
    slightly = np.add(counts, (2, 0, 0))
    paired = bootstrap_difference(counts, slightly, 1)
    alone = bootstrap_f1(counts, 1)
    assert 0 < paired.lower < paired.value < paired.upper < alone.upper - alone.lower


@pytest.mark.parametrize(
    ("source", "region"),
    [
        ("simulated_rgb 501 tropical 0.15 m", "tropical"),
        ("kampala/kyebando_z20.tif 0.667-1", "kampala"),
        ("africa/utm36n_10_512_r1_c2", "africa"),
        ("utm36n_10_512_r1_c2", "utm36n_10_512_r1_c2"),
        ("Côte d'Ivoire/t1", "Côte d_Ivoire"),
    ],
)
def test_sources_tell_their_region(source: str, region: str) -> None:
    assert region_of(source) == region


def test_calibration_error_and_own_thresholds_by_region() -> None:
    """In `sure` a probability of 0.8 comes true always, in `fair` eight times in ten, and only from there on; `none` is not judged."""
    valid = np.ones((64, 100), bool)
    truth = np.arange(100)[None, :] + np.zeros((64, 1)) < 80
    told = np.full(truth.shape, 200, np.uint8)
    sure, fair, none = Judged(told, valid, valid), Judged(told, truth, valid), Judged(told, truth, ~valid)
    errors = grouped_calibration([sure, fair, none], {"region": ["sure", "fair", "none"], "sensor": ["a", "a", ""]})
    expected = {"region_sure": 0.2, "region_fair": 0, "sensor_a": 0.1}
    assert errors == pytest.approx({f"calibration_error_{name}": value for name, value in expected.items()}, abs=1e-9)
    figures = own_threshold_figures([sure, fair], ["sure", "fair"], {"fair": 0.9, "elsewhere": 0.1}, 1)
    assert figures["own_threshold_region_fair"] == 0.9 and figures["own_threshold_area_ratio_region_fair"] == 0
    assert not any("sure" in name or "elsewhere" in name for name in figures)


def test_the_worst_squares_come_first_and_unjudged_ground_is_none() -> None:
    truth = np.zeros((200, 300), bool)
    found, valid = truth.copy(), np.ones_like(truth)
    found[:128, 128:256] = np.arange(128) < 32  # a quarter of one square
    found[128:, :64] = True  # half of a smaller one
    found[128:, 256:], valid[128:, 256:] = True, False
    values, plane = np.zeros((2, 200, 300), np.float16), np.ones((200, 300), np.uint8)
    window = Window("hills/t1", "judge", 1.0, values, plane * 0, plane)
    squares = worst_squares([Judged((200 * found).astype(np.uint8), truth, valid)], [window], 0.5)
    names = ["hills/t1, row 128, column 0", "hills/t1, row 0, column 128"]
    assert [(square.name, square.share) for square in squares] == list(zip(names, (0.5, 0.25), strict=True))
    assert squares[0].image.shape == (2, 72, 128)


def test_figures_by_region_and_by_density_of_settlement() -> None:
    """Four blocks of 64 pixels with 0, 2, 12 and 100 % built ground; of the last two regions the second is empty."""
    truth = np.zeros((64, 256), bool)
    truth[:8, 64:74] = truth[:8, 128:190] = truth[:, 192:] = True
    found = truth.copy()
    found[:4, 64:74] = False  # half of the sparse houses are missed
    found[0, 0] = True  # and one is seen where none is
    valid = np.ones_like(truth)
    judged = [Judged((200 * found).astype(np.uint8), truth, valid), Judged(np.zeros((64, 64), np.uint8), truth[:, :64], valid[:, :64])]
    figures = grouped_figures(judged, {"region": ["a", "b"], "sensor": ["x", "x"]}, 0.5, 1)
    assert figures["pixel_f1_density_sparse"] == pytest.approx(2 * 40 / (2 * 40 + 1 + 40))
    assert figures["pixel_f1_density_medium"] == figures["pixel_f1_density_dense"] == 1
    hits = int(truth.sum()) - 40
    assert figures["pixel_f1_region_a"] == pytest.approx(2 * hits / (2 * hits + 1 + 40))
    assert figures["pixel_f1_sensor_x"] == figures["pixel_f1_region_a"]
    assert "pixel_f1_region_b" not in figures
    assert figures["pixel_f1_density_sparse_lower"] <= figures["pixel_f1_density_sparse"] <= figures["pixel_f1_density_sparse_upper"]
