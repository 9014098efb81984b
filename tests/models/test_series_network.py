"""The network of series: what it begins as, and what must not matter to it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import read_tensors
from models.predictor import load_predictor, read_spec
from models.registry import shipped_models
from models.series_network import SeriesNetwork, build_series_network

ATTENTION = {"hidden": [16, 16, 16, 16], "heads": 2, "layers": 1}
EDGES = [(0, 1), (1, 2), (2, 3), (0, 3)]


@pytest.fixture(scope="module")
def network() -> SeriesNetwork:
    """From the shipped weights, its attention stirred, so that dates matter to each other."""
    pin = shipped_models()["built_up_10m"]
    start = read_tensors(Path(pin.path).read_bytes(), pin.path)
    return build_series_network({**read_spec(pin.path).architecture, **ATTENTION}, 5, start).eval()


@pytest.fixture(scope="module")
def stirred(network: SeriesNetwork) -> SeriesNetwork:
    made = SeriesNetwork({**read_spec(shipped_models()["built_up_10m"].path).architecture, **ATTENTION})
    made.load_state_dict(network.state_dict())
    for refinement in made.refinements.values():
        torch.nn.init.normal_(refinement.out.weight, std=0.3)
    return made.eval()


def images(seed: int = 1, dates: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (1, dates, 10, 64, 96)).astype(np.float32))


DAYS = torch.tensor([[17000.0, 17365.0, 18300.0, 19000.0]])


def seen_by(network: SeriesNetwork, *arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        states, changes = network(*arguments)
    return states, changes


def test_it_begins_as_the_network_of_single_images(network: SeriesNetwork) -> None:
    pin, given = shipped_models()["built_up_10m"], images()
    single = load_predictor(pin.path, pin.sha256).network
    states, changes = seen_by(network, given, DAYS, EDGES)
    with torch.inference_mode():
        expected = single(given[0], 0)[:, 0]
    assert states.shape == (1, 4, 64, 96) and changes.shape == (1, 4, 64, 96)
    assert torch.allclose(states[0], expected, atol=1e-4)


def test_dates_are_told_apart_by_how_far_they_lie_from_each_other(stirred: SeriesNetwork) -> None:
    states, _ = seen_by(stirred, images(), DAYS, EDGES)
    later, _ = seen_by(stirred, images(), DAYS + 3000, EDGES)
    assert torch.allclose(later, states, atol=2e-3)
    nearer, _ = seen_by(stirred, images(), DAYS / 3, EDGES)
    assert (nearer - states).abs().max() > 0.05
    order = [2, 0, 3, 1]
    turned, _ = seen_by(stirred, images()[:, order], DAYS[:, order], EDGES)
    assert torch.allclose(turned, states[:, order], atol=1e-4)


def test_a_date_without_data_is_as_if_it_were_not_there(stirred: SeriesNetwork) -> None:
    given = images()
    given[:, 1] = 0
    states, _ = seen_by(stirred, given, DAYS, EDGES)
    moved = DAYS.clone()
    moved[0, 1], moved[0, 0], moved[0, 2], moved[0, 3] = DAYS.mean(), *(DAYS[0, [0, 2, 3]] - DAYS[0, [0, 2, 3]].mean() + DAYS.mean())
    without, _ = seen_by(stirred, given[:, [0, 2, 3]], DAYS[:, [0, 2, 3]], [])
    centred, _ = seen_by(stirred, given, moved, [])
    assert torch.allclose(centred[:, [0, 2, 3]], without, atol=2e-3)
    assert states.isfinite().all()
    nothing, _ = seen_by(stirred, torch.zeros_like(given), DAYS, EDGES)
    assert nothing.isfinite().all()


def test_what_is_left_out_at_the_edge_changes_nothing_inside(stirred: SeriesNetwork) -> None:
    whole, changes = seen_by(stirred, images(), DAYS, EDGES)
    inner, inside = seen_by(stirred, images(), DAYS, EDGES, 16)
    assert torch.allclose(inner, whole[..., 16:-16, 16:-16], atol=1e-4)
    assert torch.allclose(inside, changes[..., 16:-16, 16:-16], atol=1e-4)


def test_a_scale_without_attention_knows_one_date(stirred: SeriesNetwork) -> None:
    """Those that have some still tell dates of each other."""
    architecture = read_spec(shipped_models()["built_up_10m"].path).architecture
    for hidden, apart in (([0, 16, 16, 16], True), ([0, 0, 0, 0], False)):
        fewer = SeriesNetwork({**architecture, **ATTENTION, "hidden": hidden})
        fewer.load_state_dict({name: value for name, value in stirred.state_dict().items() if name in fewer.state_dict()})
        every, alone = seen_by(fewer.eval(), images(), DAYS, [])[0], seen_by(fewer, images()[:, :1], DAYS[:, :1], [])[0]
        assert torch.allclose(every[:, :1], alone, atol=1e-4) != apart


def test_one_date_has_no_change(stirred: SeriesNetwork) -> None:
    states, changes = seen_by(stirred, images(dates=1), DAYS[:, :1], [])
    assert states.shape == (1, 1, 64, 96) and changes.shape == (1, 0, 64, 96)


def test_a_second_sensor_is_as_nothing_until_the_network_has_learned(network: SeriesNetwork) -> None:
    pin, given = shipped_models()["built_up_10m"], images()
    start = read_tensors(Path(pin.path).read_bytes(), pin.path)
    two = build_series_network({**read_spec(pin.path).architecture, **ATTENTION, "in_channels": 12}, 5, start).eval()
    radar = torch.from_numpy(np.random.default_rng(3).normal(0, 1, (1, 4, 2, 64, 96)).astype(np.float32))
    states, _ = seen_by(two, torch.cat([given, radar], 2), DAYS, EDGES)
    expected, _ = seen_by(network, given, DAYS, EDGES)
    assert torch.allclose(states, expected, atol=1e-4)


def test_what_is_frozen_learns_changes_and_keeps_its_states(network: SeriesNetwork) -> None:
    pin = shipped_models()["built_up_10m"]
    start = read_tensors(Path(pin.path).read_bytes(), pin.path)
    frozen = build_series_network({**read_spec(pin.path).architecture, **ATTENTION, "frozen": True}, 5, start)
    optimizer = torch.optim.AdamW(frozen.parameters(), lr=0.01)
    for _ in range(2):
        _, changes = frozen(images(), DAYS, EDGES)
        optimizer.zero_grad()
        changes.square().mean().backward()
        optimizer.step()
    learned, expected = (seen_by(one.eval(), images(), DAYS, EDGES) for one in (frozen, network))
    assert torch.allclose(learned[0], expected[0], atol=1e-4)
    assert not torch.allclose(learned[1], expected[1], atol=0.05)


def test_drop_out_is_of_changes_and_of_training_alone(stirred: SeriesNetwork) -> None:
    made = SeriesNetwork({**read_spec(shipped_models()["built_up_10m"].path).architecture, **ATTENTION, "dropout": 0.4})
    made.load_state_dict(stirred.state_dict())
    torch.nn.init.normal_(made.change_head.weight, std=0.3)
    kept = [seen_by(made.eval(), images(), DAYS, EDGES) for _ in range(2)]
    learning = [seen_by(made.train(), images(), DAYS, EDGES) for _ in range(2)]
    assert torch.equal(kept[0][1], kept[1][1]) and not torch.allclose(learning[0][1], learning[1][1])
    assert torch.equal(learning[0][0], learning[1][0]) and torch.allclose(kept[0][0], learning[0][0], atol=1e-5)
