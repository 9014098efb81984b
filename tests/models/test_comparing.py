"""One network against another on the same ground: by region, paired, with bounds."""

import numpy as np
import pytest

from models.comparing import Maps, compared
from models.judging import Judged, grouped_figures
from models.metrics import bootstrap_difference, bootstrap_f1
from models.windows import region_of


def windows(flip: tuple[float, float], seed: int) -> list[Judged]:
    """Two windows of 256 x 256; a network that errs in `flip` of the pixels of the first and of the second."""
    truth = [np.random.default_rng(number).random((256, 256)) < 0.3 for number in range(2)]
    random = np.random.default_rng(seed)
    found = [np.where(random.random(each.shape) < share, ~each, each) for each, share in zip(truth, flip, strict=True)]
    valid = np.ones((256, 256), bool)
    return [Judged((200 * each).astype(np.uint8), known, valid) for each, known in zip(found, truth, strict=True)]


def test_a_region_where_the_challenger_is_worse_shows_though_it_is_better_in_all() -> None:
    champion, challenger = Maps(windows((0.30, 0.10), 1), 0.5), Maps(windows((0.02, 0.14), 2), 0.5)
    africa, asia, everywhere = compared(champion, challenger, ["africa", "asia"], 3)
    assert (africa.region, asia.region, everywhere.region) == ("africa", "asia", "all")
    assert africa.difference.lower > 0 and not africa.is_worse
    assert asia.difference.upper < 0 and asia.is_worse
    assert everywhere.difference.lower > 0 and not everywhere.is_worse
    assert asia.difference.value == pytest.approx(asia.challenger.value - asia.champion.value)


def test_a_network_against_itself_differs_by_nothing_and_pairs_bind_tighter_than_two_intervals() -> None:
    maps = Maps(windows((0.1, 0.1), 1), 0.5)
    (_, itself) = compared(maps, maps, ["a", "a"], 3)
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


def test_figures_by_region_and_by_density_of_settlement() -> None:
    """Four blocks of 64 pixels with 0, 2, 12 and 100 % built ground; of the last two regions the second is empty."""
    truth = np.zeros((64, 256), bool)
    truth[:8, 64:74] = truth[:8, 128:190] = truth[:, 192:] = True
    found = truth.copy()
    found[:4, 64:74] = False  # half of the sparse houses are missed
    found[0, 0] = True  # and one is seen where none is
    valid = np.ones_like(truth)
    judged = [Judged((200 * found).astype(np.uint8), truth, valid), Judged(np.zeros((64, 64), np.uint8), truth[:, :64], valid[:, :64])]
    figures = grouped_figures(judged, ["a", "b"], 0.5, 1)
    assert figures["pixel_f1_density_sparse"] == pytest.approx(2 * 40 / (2 * 40 + 1 + 40))
    assert figures["pixel_f1_density_medium"] == figures["pixel_f1_density_dense"] == 1
    hits = int(truth.sum()) - 40
    assert figures["pixel_f1_region_a"] == pytest.approx(2 * hits / (2 * hits + 1 + 40))
    assert not any("region_b" in name for name in figures)
    assert figures["pixel_f1_density_sparse_lower"] <= figures["pixel_f1_density_sparse"] <= figures["pixel_f1_density_sparse_upper"]
