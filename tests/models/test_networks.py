"""Networks: two streams answer for what each sensor sees, the library's run as they were trained, weights from elsewhere are checked."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from conf.errors import InputError
from models.aids import aid_loss, aid_targets
from models.augmentation import Augmentation, Normaliser, draw_crops
from models.bundle import read_spec, write_bundle
from models.course import Course
from models.inference import inference_network
from models.library_networks import as_shipped
from models.losses import consistency_loss, dual_loss, segmentation_loss
from models.networks import build_network, folded_tensors
from models.predictor import load_predictor
from models.registry import file_sha256
from models.training import predict_map, train
from models.windows import Window
from tests.models.conftest import TINY

torch.set_num_threads(1)
PLAIN = Normaliser([0.0] * 5, [1.0] * 5, 9.0)
DUAL = {"kind": "dual_stream", "in_channels": 5, "beside": 2, "widths": [4, 6], "decoder": [4], "dilation": 2, "fold": 2}
LIBRARY = {
    "kind": "library",
    "decoder": "Unet",
    "encoder": "resnet18",
    "in_channels": 4,
    "options": {"decoder_channels": [32, 16, 8, 8, 4]},
}


def _images(bands, side=64, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (2, bands, side, side)).astype(np.float32))


def _used(architecture):
    """A network whose normalisation has seen images."""
    network = build_network(architecture, 5).train()
    for seed in range(3):
        network(1 + 2 * _images(architecture["in_channels"], seed=seed))
    return network.eval()


def _as_it_runs(network, architecture):
    runs = inference_network(as_shipped(architecture)).eval()
    runs.load_state_dict({name: torch.from_numpy(values) for name, values in folded_tensors(network).items()})
    return runs


def test_each_pixel_is_told_by_the_sensors_that_see_it():
    network = _used(DUAL)
    images = _images(5)
    images[:, :3, 10:30, 5:50] = 0
    images[:, 3:, 20:60, 40:55] = 0
    with torch.no_grad():
        given, every = _as_it_runs(network, DUAL)(images), network(images)
    both = torch.ones(64, 64, dtype=torch.bool)
    both[10:30, 5:50] = both[20:60, 40:55] = False
    assert torch.allclose(given[:, 0, both], every[:, 0, both], atol=1e-4)
    assert torch.allclose(given[:, 0, 10:20, 5:50], every[:, 2, 10:20, 5:50], atol=1e-4)
    assert torch.allclose(given[:, 0, 30:60, 40:55], every[:, 1, 30:60, 40:55], atol=1e-4)
    assert not torch.allclose(every[:, 0], every[:, 1], atol=0.05)


def test_what_one_sensor_shows_does_not_change_what_the_other_alone_says():
    runs = _as_it_runs(_used(DUAL), DUAL)
    images, other = _images(5), _images(5, seed=9)
    images[:, 3:] = 0
    with torch.no_grad():
        alone = runs(images)
        assert not torch.equal(runs(torch.cat([images[:, :3], other[:, 3:]], 1)), alone)
        main = runs.heads["main"](runs.main.features(images[:, :3], 0))
    assert torch.allclose(torch.nn.functional.pixel_shuffle(main, 2), alone, atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-mobilenetv3_small_050", "densenet121"])
def test_a_network_of_the_library_runs_as_it_was_trained(tmp_path, encoder):
    architecture = {**LIBRARY, "encoder": encoder}
    network = _used(architecture)
    runs = _as_it_runs(network, architecture)
    with torch.no_grad():
        assert torch.allclose(runs(_images(4)), network(_images(4)), atol=1e-3)
    norms = [sum(isinstance(module, torch.nn.BatchNorm2d) for module in each.modules()) for each in (network, runs)]
    assert norms[1] < norms[0] / 2

    spec = replace(
        TINY, bands=("a", "b", "c", "d"), halo=16, architecture=architecture, normalisation={"offset": [0] * 4, "scale": [1] * 4, "clip": 9}
    )
    write_bundle(tmp_path / "model.safetensors", spec, folded_tensors(network))
    assert read_spec(tmp_path / "model.safetensors").architecture == architecture
    predictor = load_predictor(str(tmp_path / "model.safetensors"), file_sha256(tmp_path / "model.safetensors"))
    with torch.no_grad():
        expected = torch.sigmoid(network(_images(4)))[:, 0, 16:48, 16:48].numpy() * 250
    assert np.abs(predictor.predict(_images(4).numpy()) - expected).max() <= 1


def _encoder_file(tmp_path, **changes):
    torch.manual_seed(3)
    tensors = timm.create_model("resnet18", features_only=True).state_dict()
    path = tmp_path / "encoder.safetensors"
    save_file(tensors | changes, path)
    return tensors, f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_an_encoder_begins_with_weights_from_a_file_whatever_its_bands(tmp_path):
    tensors, uri = _encoder_file(tmp_path)
    network = build_network({**LIBRARY, "encoder": "tu-resnet18", "weights": uri}, 1)
    found = network.network.encoder.model.state_dict()
    first = found["conv1.weight"]
    assert first.shape[1] == 4
    assert torch.allclose(first.sum(1), tensors["conv1.weight"].sum(1), atol=1e-5)
    others = [name for name in tensors if name != "conv1.weight"]
    assert all(torch.equal(found[name], tensors[name]) for name in others)
    shipped = as_shipped({**LIBRARY, "weights": uri, "frozen": True})
    assert shipped == {**LIBRARY, "weights_sha256": uri[-64:]}


def test_weights_that_are_not_what_is_named_are_refused(tmp_path):
    tensors, uri = _encoder_file(tmp_path)
    for address, message in (
        (uri[:-1] + ("0" if uri[-1] != "0" else "1"), "was asked for"),
        (uri.partition("#")[0], "PATH#sha256=HEX"),
        (f"{tmp_path}/encoder.pth#sha256=00", "pickle models not accepted"),
        (f"{tmp_path}/none.safetensors#sha256=00", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            build_network({**LIBRARY, "encoder": "tu-resnet18", "weights": address}, 1)
    _, cut = _encoder_file(tmp_path, **{"layer1.0.conv1.weight": tensors["layer1.0.conv1.weight"][:5]})
    with pytest.raises(InputError, match=r"\(5, 64, 3, 3\) for tensor layer1.0.conv1.weight, \(64, 64, 3, 3\) is needed"):
        build_network({**LIBRARY, "encoder": "tu-resnet18", "weights": cut}, 1)


def _window(split, seed, built=True):
    """Built where the second sensor is bright; the first shows it in colours that differ from window to window."""
    random = np.random.default_rng(seed)
    roofs = np.kron(random.random((8, 8)) < 0.4, np.ones((8, 8))) > 0
    main = [np.where(roofs, 1.0, -1.0) * random.choice([1.0, 0.5]) + random.normal(0, 0.3, roofs.shape) for _ in range(3)]
    beside = [np.where(roofs, 0.5, -0.5) + random.normal(0, 0.5, roofs.shape) for _ in range(2)]
    weights = np.full(roofs.shape, 10 if built else 0, np.uint8)
    return Window(
        f"{split} {seed}", split, 1.0, np.stack(main + beside).astype(np.float16), np.where(roofs, 250, 0).astype(np.uint8), weights
    )


def test_a_frozen_encoder_stays_and_its_decoder_learns(tmp_path):
    _, uri = _encoder_file(tmp_path)
    network = build_network({**LIBRARY, "encoder": "tu-resnet18", "in_channels": 5, "weights": uri, "frozen": True}, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    windows = [_window("train", 1), _window("choose", 2)]
    course = Course(steps=2, batch=2, side=64, looks=1, keep="last", average=0.0, half=False)
    trained = train(network, windows, PLAIN, course, print).network
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not any(".encoder." in name for name in changed)


def test_losses_of_two_sensors_by_hand():
    logits = _images(3, side=8)
    labels = (_images(1, side=8, seed=2) > 0).float()
    weights = torch.ones_like(labels)
    seen = torch.ones_like(logits, dtype=torch.bool)
    seen[:, [0, 2], :4] = False
    expected = segmentation_loss(logits[:, 1:2], labels, weights, 0.5) + sum(
        segmentation_loss(logits[:, head : head + 1, 4:], labels[:, :, 4:], weights[:, :, 4:], 0.5) for head in (0, 2)
    )
    assert float(dual_loss(logits, labels, weights, seen, 0.5)) == pytest.approx(float(expected), abs=1e-5)


def test_both_sensors_together_teach_each_alone_and_learn_nothing_from_it():
    both = _images(1, side=8).sign() * 9
    seen = torch.ones(len(both), 3, 8, 8)
    seen[:, :, :2] = 0
    assert float(consistency_loss(torch.cat([both, both, both], 1), seen)) < 1e-3
    apart = both.clone()
    apart[:, :, :2] *= -1
    assert float(consistency_loss(torch.cat([both, apart, both], 1), seen)) < 1e-3
    assert float(consistency_loss(torch.cat([both, both, -both], 1), seen)) == pytest.approx(0.5, abs=0.01)
    logits = torch.cat([both, both / 9, both / 9], 1).requires_grad_()
    consistency_loss(logits, seen).backward()
    assert not logits.grad[:, 0].any() and logits.grad[:, 1].any() and logits.grad[:, 2].any()


def test_streams_learn_to_agree_where_there_is_no_label():
    windows = [_window("train", seed) for seed in range(3)] + [
        _window("choose", 8),
        *(_window("unlabelled", seed, False) for seed in range(20, 24)),
    ]
    normalise = PLAIN
    apart = []
    for weight in (0.0, 2.0):
        course = Course(steps=40, batch=4, side=48, looks=1, learning_rate=0.01, keep="last", half=False, consistency=weight)
        network = train(build_network(DUAL, 2), windows, normalise, course, print).network
        images = torch.from_numpy(windows[-1].values.astype(np.float32))[None]
        with torch.no_grad():
            apart.append(float(consistency_loss(network(images), torch.ones(1, 3, 64, 64))))
        assert predict_map(network, windows[-1].values, normalise).shape == (64, 64)
    assert apart[1] < apart[0]


def test_radar_keeps_its_decibels_when_the_light_changes_and_sensors_drop_out_whole():
    window = _window("train", 4)
    plain = Normaliser([0.0] * 5, [1.0] * 5, 99.0)
    change = Augmentation(gain=0.5, haze=0.5, noise=0.1, beside=2, dropped=0.3)
    crops = [draw_crops([window], 60, 64, plain, item, np.random.default_rng(1)).images for item in (Augmentation(), change)]
    gone = [(crops[1][:, part] == 0).flatten(1).all(1) for part in (slice(0, 3), slice(3, 5))]
    assert 5 < gone[0].sum() < 30 and 5 < gone[1].sum() < 30
    assert not (gone[0] & gone[1]).any()
    values = window.values[3:].astype(np.float32)
    for images in crops[1][~gone[1]][:5]:
        assert any(np.array_equal(_turned(values, k, flip), images[3:].numpy()) for k in range(4) for flip in (False, True))
        assert not any(
            np.allclose(_turned(window.values[:3], k, flip), images[:3].numpy(), atol=0.01) for k in range(4) for flip in (False, True)
        )


def _turned(values, quarters, flip):
    turned = np.rot90(values, quarters, (1, 2))
    return turned[:, :, ::-1] if flip else turned


def test_what_a_network_also_learns_by_hand():
    labels = torch.zeros(1, 1, 7, 9)
    labels[..., 1:6, 2:7] = 1
    edge, distance = aid_targets(labels, ("edge", "distance"))[0]
    assert torch.equal(distance[3, :], torch.tensor([0, 0, 1, 2, 3, 2, 1, 0, 0]) / 10)
    assert torch.equal(edge[3, :], torch.tensor([0.0, 1, 1, 0, 0, 0, 1, 1, 0]))
    assert edge[3, 4] == 0 and edge[1, 4] == edge[0, 4] == 1
    assert not aid_targets(torch.ones(1, 1, 4, 4), ("edge",)).any()
    logits = torch.where(aid_targets(labels, ("edge",)) > 0, 20.0, -20.0)
    assert float(aid_loss(logits, labels, torch.ones_like(labels), ("edge",))) < 1e-6
    assert float(aid_loss(-logits, labels, torch.ones_like(labels), ("edge",))) > 10


@pytest.mark.parametrize("architecture", [{**LIBRARY, "in_channels": 5}, {**TINY.architecture, "in_channels": 5, "fold": 2}])
def test_maps_show_the_depth_of_what_a_network_also_learns(architecture):
    """Its edges no map shows, and of a network of the library neither."""
    architecture = {**architecture, "aids": ["edge", "distance"]}
    course = Course(steps=3, batch=2, side=64, looks=1, keep="last", half=False)
    network = train(build_network(architecture, 1), [_window("train", 1), _window("choose", 2)], PLAIN, course, print).network
    with torch.no_grad():
        assert network.train()(_images(5)).shape[1] == 3
        runs, given = _as_it_runs(network, architecture)(_images(5)), network.eval()(_images(5))
    shown = [0, 2] if architecture["kind"] == "slim_unet" else [0]
    assert runs.shape == (2, len(shown), 64, 64)
    assert torch.allclose(runs, given[:, shown], atol=1e-3)


DATED = {"kind": "dated_unet", "in_channels": 6, "dates": 3, "widths": [4, 6], "decoder": [4], "dilation": 1, "fold": 2}


def test_dates_count_in_any_order_and_one_without_data_not_at_all():
    network = _used(DATED)
    runs = _as_it_runs(network, DATED)
    images = _images(6)
    first, second, third = images.split(2, 1)
    with torch.no_grad():
        given = runs(images)
        assert torch.allclose(given, network(images), atol=1e-4)
        assert torch.allclose(given, runs(torch.cat([third, first, second], 1)), atol=1e-5)
        assert not torch.allclose(given, runs(torch.cat([first, second, second], 1)), atol=1e-3)
        missing = torch.zeros_like(first)
        alone = runs(torch.cat([missing, first, missing], 1))
        assert torch.allclose(alone, runs(torch.cat([first, first, first], 1)), atol=1e-5)
        holed = second.clone()
        holed[:, :, :, 40:] = 0
        part = runs(torch.cat([first, holed, missing], 1))
        assert torch.allclose(part[..., 52:], alone[..., 52:], atol=1e-5)
        assert torch.isfinite(runs(torch.zeros_like(images))).all()


@pytest.mark.parametrize("architecture", [DUAL, DATED, LIBRARY])
@pytest.mark.parametrize("edge", [6, 20])
def test_logits_without_their_edge_are_the_same(architecture, edge):
    runs = _as_it_runs(_used(architecture), architecture)
    images = _images(architecture["in_channels"], side=96)
    images[:, : architecture["in_channels"] // 2, 30:50, 10:70] = 0
    with torch.no_grad():
        assert torch.allclose(runs(images, edge), runs(images)[..., edge:-edge, edge:-edge], atol=1e-5)
