"""Predictor: folding keeps the network, seams stay away, faulty bundles and outputs are refused."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save
from scipy.ndimage import gaussian_filter

from conf.errors import InputError
from models.bundle import KEY, Beside, read_spec
from models.inference import FoldedUnet
from models.networks import build_network, folded_tensors
from models.predictor import ModelError, Predictor, load_predictor
from models.registry import file_sha256
from tests.models.conftest import TINY


def _windows(count, side, bands=2):
    return np.random.default_rng(5).uniform(0, 0.6, (count, bands, side, side)).astype(np.float32)


def _load(path, **options):
    return load_predictor(str(path), file_sha256(path), **options)


@pytest.mark.parametrize(("fold", "dilation"), [(1, 1), (2, 3)])
def test_folding_keeps_what_the_trained_network_gives(fold, dilation):
    shape = {"in_channels": 2, "widths": [4, 6, 8], "decoder": [6, 4], "dilation": dilation, "fold": fold}
    trained = build_network({"kind": "slim_unet", **shape}, seed=1)
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    folded = FoldedUnet(shape).eval()
    folded.load_state_dict({name: torch.from_numpy(value) for name, value in folded_tensors(trained).items()})
    images = torch.from_numpy(_windows(2, 48))
    with torch.no_grad():
        assert torch.allclose(folded(images), trained.eval()(images), atol=1e-4)


def test_depth_is_told_beside_probability_and_in_pixels_of_the_image(make_bundle):
    told = {"architecture": {**TINY.architecture, "aids": ["edge", "distance"]}}
    near, far = (_load(make_bundle(name=name, zooms=zooms, **told)) for name, zooms in (("near", (1.0,)), ("far", (0.5,))))
    windows = _windows(2, TINY.window)
    for predictor in (near, far):
        layers = predictor.predict_layers(windows)
        assert layers.shape == (2, 2, TINY.centre, TINY.centre)
        assert np.array_equal(layers[:, 0], predictor.predict(windows)) and len(np.unique(layers[:, 1])) > 5
    images = torch.from_numpy(near.normalised(windows))
    with torch.no_grad():
        depth = torch.sigmoid(near.network(images, TINY.halo)[:, 1]) * 250
        seen = torch.nn.functional.interpolate(far.look(images, 0.5), scale_factor=1)
        coarse = torch.sigmoid(torch.nn.functional.interpolate(far.network(seen, 0), scale_factor=2, mode="bilinear"))[:, 1] / 0.5
    inner = np.s_[:, TINY.halo : TINY.halo + TINY.centre, TINY.halo : TINY.halo + TINY.centre]
    assert np.abs(near.predict_layers(windows)[:, 1] - depth.numpy()).max() <= 1
    assert np.abs(far.predict_layers(windows)[:, 1] - coarse.clamp(max=1).numpy()[inner] * 250).max() <= 2


def test_what_a_bundle_does_not_say_is_not_in_its_bytes(make_bundle):
    plain, told = make_bundle(), make_bundle(name="told", thresholds={"sahel": 0.3})
    assert read_spec(told).thresholds == {"sahel": 0.3} and read_spec(plain).thresholds == {}
    assert b"thresholds" not in plain.read_bytes()
    with pytest.raises(InputError, match="thresholds"):
        read_spec(make_bundle(name="wrong", thresholds={"sahel": 1.3}))


@pytest.mark.parametrize(("fold", "edge"), [(1, 0), (1, 5), (1, 16), (2, 15), (2, 20)])
def test_edges_that_are_not_needed_are_not_computed_and_change_nothing_else(fold, edge):
    shape = {"in_channels": 2, "widths": [4, 6, 8], "decoder": [6, 4], "dilation": 1, "fold": fold}
    torch.manual_seed(2)
    network, heads = FoldedUnet(shape).eval(), []
    network.head.register_forward_hook(lambda module, seen, given: heads.append(given.shape[-1] * fold))
    images = torch.from_numpy(_windows(1, 64))
    with torch.no_grad():
        whole, inner = network(images), network(images, edge)
    assert torch.allclose(inner, whole[..., edge : 64 - edge, edge : 64 - edge], atol=1e-5)
    assert heads[0] == 64 and 64 - 2 * edge <= heads[1] <= 64 - 2 * edge + 10 * fold


def test_one_window_gives_the_same_alone_and_in_any_company(make_bundle):
    predictor = _load(make_bundle(), batch=2)
    windows = _windows(3, 64)
    windows[1, :, 20:30, 8:50] = np.nan
    together = predictor.predict(windows)
    assert together.shape == (3, 32, 32)
    assert together.dtype == np.uint8
    assert together.max() <= 250
    assert len(np.unique(together)) > 5
    alone = np.concatenate([predictor.predict(windows[i : i + 1]) for i in range(3)])
    assert np.array_equal(together, alone)


def test_no_data_is_an_average_pixel_and_wild_values_are_clipped(make_bundle):
    predictor = _load(make_bundle())
    windows = _windows(1, 64)
    holes, average, wild, clipped = (windows.copy() for _ in range(4))
    holes[:, 1, 30:34, 9:40] = np.nan
    average[:, 1, 30:34, 9:40] = 0.3
    wild[:, 0, 20, 20] = 1e9
    clipped[:, 0, 20, 20] = 0.2 + 6.0 * 0.1
    assert np.array_equal(predictor.predict(holes), predictor.predict(average))
    assert np.array_equal(predictor.predict(wild), predictor.predict(clipped))


def test_flips_average_mirrored_copies(make_bundle):
    predictor = _load(make_bundle(flips=4))
    windows = _windows(1, 64)
    mirrored = predictor.predict(np.ascontiguousarray(windows[:, :, ::-1, ::-1]))
    assert np.array_equal(predictor.predict(windows), mirrored[:, ::-1, ::-1])


def test_zooms_average_looks_at_windows_made_coarser(make_bundle):
    windows = (gaussian_filter(_windows(1, 64), (0, 0, 3, 3), mode="wrap") - 0.3) * 8 + np.float32(0.3)
    near = _load(make_bundle(name="near", halo=8)).predict(windows[..., 8:-8, 8:-8]).astype(float)
    far = _load(make_bundle(name="far", zooms=(0.5,))).predict(windows).astype(float)
    both = _load(make_bundle(name="both", zooms=(1.0, 0.5))).predict(windows)
    assert np.abs(near - far).max() > 5
    assert np.abs(both - (near + far) / 2).max() <= 1
    seen = windows.reshape(1, 2, 32, 2, 32, 2).mean((3, 5))
    coarse = _load(make_bundle(name="coarse", centre=16, halo=8)).predict(seen)[0].astype(float)
    middles = far[0].reshape(16, 2, 16, 2).mean((1, 3))
    assert np.corrcoef(middles.ravel(), coarse.ravel())[0, 1] > 0.95


def test_windows_that_do_not_fit_the_networks_stride_at_every_zoom_are_refused(make_bundle):
    with pytest.raises(InputError, match=r"centre 36, at zoom 0\.5 do not fit its network's stride of 4"):
        _load(make_bundle(name="uneven", centre=36, halo=16, zooms=(1.0, 0.5)))
    with pytest.raises(InputError, match="zooms"):
        _load(make_bundle(name="split", zooms=(2.0,)))


def _rewritten(path, change):
    header = {KEY: json.dumps({**json.loads(_metadata(path)[KEY])})}
    tensors = load_file(path)
    change(tensors, header)
    path.write_bytes(save(tensors, header))


def _metadata(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


FAULTS = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "truncated"),
    "empty": (lambda p: p.write_bytes(b""), "truncated or no safetensors"),
    "header of 2^63 bytes": (lambda p: p.write_bytes((2**63).to_bytes(8, "little") + p.read_bytes()[8:]), "header of"),
    "html": (lambda p: p.write_bytes(b"<!doctype html><html>not found</html>"), "header of"),
    "header no JSON": (lambda p: p.write_bytes((9).to_bytes(8, "little") + b"{'a': 1}  " * 3), "not JSON"),
    "no spec": (lambda p: _rewritten(p, lambda tensors, header: header.clear()), "no usable spec"),
    "NaN weights": (lambda p: _rewritten(p, lambda tensors, header: tensors["head.bias"].fill(np.nan)), "not finite"),
    "missing key": (lambda p: _rewritten(p, lambda tensors, header: tensors.pop("head.bias")), "head.bias has shape None"),
    "unexpected key": (lambda p: _rewritten(p, lambda tensors, header: tensors.update(more=np.zeros(2, np.float32))), "more has shape"),
    "wrong shape": (lambda p: _rewritten(p, lambda tensors, header: tensors.update({"head.bias": np.zeros(2, np.float32)})), "has shape"),
    "half precision": (lambda p: _rewritten(p, lambda tensors, header: tensors.update({"head.bias": np.zeros(1, np.float16)})), "F16"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_bundles_are_refused_in_one_line(make_bundle, fault):
    path = make_bundle(name="faulty")
    change, says = FAULTS[fault]
    change(path)
    with pytest.raises(InputError, match=says) as error:
        _load(path)
    assert "\n" not in str(error.value)


def test_a_second_image_is_in_the_header_and_nothing_of_it_where_there_is_none(make_bundle):
    shape = {"in_channels": 4, "widths": [4, 6], "decoder": [4], "dilation": 1, "fold": 1, "kind": "slim_unet"}
    normal = {"offset": [0.3, 0.3, -11.0, -18.0], "scale": [0.1, 0.1, 4.0, 4.0], "clip": 6.0}
    beside = Beside(("sentinel1_grd",), ("VV", "VH"))
    path = make_bundle(name="two", architecture=shape, normalisation=normal, beside=beside)
    spec = read_spec(path)
    assert spec.beside == beside and spec.channels == ("red", "nir", "VV", "VH")
    predictor, windows = _load(path), _windows(1, 64, bands=4)
    assert not np.array_equal(predictor.predict(windows), predictor.predict(windows + np.array([0, 0, 0, 4])[:, None, None]))
    assert "beside" not in json.loads(_metadata(make_bundle())[KEY])
    for wrong, says in (
        ({"beside": replace(beside, bands=("VV", "nir"))}, r"\['nir'\] are the first image's, too"),
        ({"beside": replace(beside, values="decibels")}, "values decibels"),
        ({"beside": None}, "4 of 2 bands"),
        ({"beside": replace(beside, bands=("VV",))}, "4 of 3 bands"),
    ):
        with pytest.raises(InputError, match=says):
            read_spec(make_bundle(**{"name": "wrong", "architecture": shape, "normalisation": normal, **wrong}))


def test_another_sha256_and_pickles_are_refused_without_being_opened(make_bundle, tmp_path):
    with pytest.raises(InputError, match="was asked for"):
        load_predictor(str(make_bundle()), "0" * 64)
    marker = tmp_path / "ran"
    bomb = tmp_path / "model.pth"
    bomb.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    with pytest.raises(InputError, match="pickle models not accepted"):
        read_spec(bomb)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (lambda x, edge: x[:, :1, edge:-edge, edge:-edge] * torch.nan, "not finite"),
        (lambda x, edge: x[:, :1, edge:-edge], "gave shape"),
        (lambda x, edge: x[:, :2, edge:-edge, edge:-edge], "gave shape"),
        (lambda x, edge: x[:, :1, edge:-edge, edge:-edge] * 0 - 3, "constant -3"),
    ],
)
def test_faulty_outputs_are_errors(make_bundle, output, says):
    spec = read_spec(make_bundle())
    with pytest.raises(ModelError, match=says):
        Predictor(replace(spec, name="odd"), output, 1).predict(_windows(1, 64))


class _Short(torch.nn.Module):
    """A device with memory for so many windows at once; the CPU has more."""

    def __init__(self, network, room, room_on_cpu=64):
        super().__init__()
        self.network, self.room, self.room_on_cpu, self.sizes = network, room, room_on_cpu, []

    def forward(self, images, edge):
        self.sizes.append(len(images))
        if len(images) > (self.room_on_cpu if images.device.type == "cpu" else self.room):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.network(images, edge)


def test_too_little_memory_halves_the_batch_until_it_does_and_changes_no_pixel_by_more_than_a_step(make_bundle):
    whole = _load(make_bundle(), batch=8)
    windows = _windows(11, 64)
    short = _Short(whole.network, 0, room_on_cpu=3)
    found = Predictor(whole.spec, short, 8).predict(windows)
    assert short.sizes == [8, 4, *[2] * 6]
    assert np.abs(found.astype(int) - whole.predict(windows)).max() <= 1
    assert len(np.unique(found)) > 5


def test_a_device_without_memory_for_one_window_leaves_it_to_the_cpu_and_a_cpu_without_says_so(make_bundle, tmp_path, monkeypatch, caplog):
    whole = _load(make_bundle())
    windows = _windows(2, 64)
    # "meta" is torch's own device without memory; its lease is a file like any other's.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    moved = Predictor(whole.spec, _Short(whole.network, 0), 2, ("meta",))
    assert np.abs(moved.predict(windows).astype(int) - whole.predict(windows)).max() <= 1
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "out of memory on meta, batches of 1 from now on",
        "out of memory on meta for a single window, on the CPU from now on",
    ]
    with pytest.raises(ModelError, match="out of memory for one window"):
        Predictor(whole.spec, _Short(whole.network, 0, room_on_cpu=0), 2).predict(windows)


def test_windows_of_another_shape_are_errors(make_bundle):
    with pytest.raises(ModelError, match="takes windows"):
        _load(make_bundle()).predict(_windows(1, 60))
